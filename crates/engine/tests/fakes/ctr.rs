//! Scripts in place of containerd's client.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use engine::{Choice, Engine, Error, Surroundings};
use tempfile::TempDir;

use crate::load::load;
use crate::search::TIMEOUTS;

/// A `ctr` that lists no blobs and tells what it was asked for.
struct Ctr {
    directory: TempDir,
    /// Where containerd would listen.
    _socket: UnixListener,
}

impl Ctr {
    /// `import` and `names` are commands of a shell.
    fn new(version: &str, import: &str, names: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let script = format!(
            "#!/bin/sh\n\
             echo \"$@\" >> {}\n\
             case \"$*\" in\n\
             *' version') printf 'Client:\\n  Version:  {version}\\nServer:\\n  Version: 1\\n' ;;\n\
             *' images import '*) {import} ;;\n\
             *' images ls -q') {names} ;;\n\
             esac\n",
            directory.path().join("log").display()
        );
        let program = directory.path().join("ctr");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let socket = UnixListener::bind(directory.path().join("c.sock")).unwrap();
        Self {
            directory,
            _socket: socket,
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("c.sock")
    }

    fn find(&self) -> Result<Engine, Error> {
        let socket = OsString::from(self.socket());
        let environment = |name: &str| (name == "CONTAINERD_ADDRESS").then(|| socket.clone());
        let surroundings = Surroundings {
            environment: &environment,
            usual: vec![PathBuf::from("/there/is/none.sock")],
            ctr: self.directory.path().join("ctr").into(),
            ssh: "/there/is/no/ssh".into(),
            timeouts: TIMEOUTS,
        };
        surroundings.find(Choice::Any)
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }
}

/// The name that was removed last.
fn last_removed(log: &[String]) -> String {
    let mut names = log
        .iter()
        .rev()
        .filter_map(|line| line.split_once(" images remove "));
    names.next().unwrap().1.to_owned()
}

#[test]
fn the_image_gets_its_name_when_it_is_whole_and_a_version_that_was_not_tried_is_told() {
    let ctr = Ctr::new("v9.1.0", "cat > /dev/null", "true");
    let engine = ctr.find().unwrap();
    let name = format!(
        "containerd at {}, namespace default",
        ctr.socket().display()
    );
    assert_eq!(engine.name(), name);
    let (loaded, warnings) = load(&engine);
    assert_eq!(loaded.unwrap().sent, 1);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("ctr 9.1.0"), "{warnings:?}");
    let log = ctr.log();
    let temporary = last_removed(&log);
    assert!(temporary.starts_with("stream-layered.invalid/loading:"));
    let at = |words: &str| log.iter().position(|line| line.ends_with(words)).unwrap();
    let tag = at(&format!(
        "images tag --force {temporary} docker.io/library/app:1"
    ));
    assert_eq!(
        at(&format!("images remove {temporary}")),
        tag + 1,
        "{log:?}"
    );
}

#[test]
fn what_it_says_last_is_told() {
    let import = "head -c 1 > /dev/null; exec 0<&-; sleep 0.1; echo 'ctr: disk full' >&2; exit 1";
    let ctr = Ctr::new("1.6.20", import, "true");
    let (loaded, warnings) = load(&ctr.find().unwrap());
    let error = loaded.unwrap_err().to_string();
    assert!(error.ends_with("says: disk full"), "{error}");
    assert_eq!(warnings, [""; 0]);
    last_removed(&ctr.log());
}

/// It reads no more, and does not end either.
#[test]
fn one_that_hangs_is_ended() {
    let ctr = Ctr::new(
        "1.6.20",
        "head -c 1 > /dev/null; exec sleep 600 0<&-",
        "true",
    );
    let error = load(&ctr.find().unwrap()).0.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

/// It takes no input, or takes it and does not come to an end: so does a containerd whose disk hangs.
#[test]
fn one_that_is_silent_is_given_up() {
    for import in ["exec sleep 600", "cat > /dev/null; exec sleep 600"] {
        let ctr = Ctr::new("1.6.20", import, "true");
        let error = load(&ctr.find().unwrap()).0.unwrap_err().to_string();
        let expected = "cannot import the image: containerd at ";
        assert!(error.starts_with(expected), "{error}");
        assert!(error.contains("was silent for 400ms"), "{error}");
        last_removed(&ctr.log());
    }
}

/// `ctr` would say so in the words of its libraries.
#[test]
fn a_containerd_that_is_not_there_is_told_in_plain_words() {
    let said = "echo 'ctr: failed to dial \"/x\": context deadline exceeded: connection error' >&2; exit 1";
    let ctr = Ctr::new("1.6.20", "true", "true");
    let program = ctr.directory.path().join("ctr");
    fs::write(&program, format!("#!/bin/sh\n{said}\n")).unwrap();
    let error = ctr.find().err().unwrap().to_string();
    let socket = ctr.socket().display().to_string();
    let expected = format!("{socket}: a program listens there, but does not answer within 400ms");
    assert!(error.contains(&expected), "{error}");
    fs::remove_file(ctr.socket()).unwrap();
    let error = ctr.find().err().unwrap().to_string();
    assert!(error.contains(&format!("{socket}: not there")), "{error}");
    drop(UnixListener::bind(ctr.socket()).unwrap());
    let error = ctr.find().err().unwrap().to_string();
    assert!(error.contains("nobody listens there"), "{error}");
}

#[test]
fn names_of_killed_runs_are_removed_and_no_others() {
    let probe = Ctr::new("1.6.20", "cat > /dev/null", "true");
    load(&probe.find().unwrap()).0.unwrap();
    let own = last_removed(&probe.log());
    let (before, _) = own.rsplit_once('-').unwrap();
    let (gone, elsewhere) = (
        format!("{before}-1"),
        "stream-layered.invalid/loading:a-1-1",
    );
    let names = format!("printf '%s\\n' {own} {gone} {elsewhere} docker.io/library/app:1");
    let ctr = Ctr::new("1.6.20", "cat > /dev/null", &names);
    let engine = ctr.find().unwrap();
    let removed = || -> Vec<String> {
        let log = ctr.log();
        let names = log
            .iter()
            .filter_map(|line| line.split_once(" images remove "));
        names.map(|(_, name)| name.to_owned()).collect()
    };
    load(&engine).0.unwrap();
    assert_eq!(removed(), [&own, &gone].map(String::clone));
    engine.abandon();
    assert_eq!(removed(), [&own, &gone, &own].map(String::clone));
}
