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

/// A `ctr` that lists what it was sent, and tells what it was asked for.
struct Ctr {
    directory: TempDir,
    /// Where containerd would listen.
    _socket: UnixListener,
}

/// Takes an archive.
const IMPORT: &str = "cat > archive";

/// Lists the names of the archive.
const NAMES: &str =
    r#"tar -xOf archive index.json | grep -o 'stream-layered.invalid/loading:[^\"]*'"#;

impl Ctr {
    /// `import` and `names` are commands of a shell.
    fn new(version: &str, import: &str, names: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let script = format!(
            "#!/bin/sh\n\
             cd {}\n\
             echo \"$@\" >> log\n\
             case \"$*\" in\n\
             *' version') printf 'Client:\\n  Version:  {version}\\nServer:\\n  Version: 1\\n' ;;\n\
             *' images import '*) {import} ;;\n\
             *' images ls -q') {names} ;;\n\
             *' content ls -q') test ! -e archive || tar -tf archive | sed -n s,blobs/sha256/,sha256:,p ;;\n\
             esac\n",
            directory.path().display()
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

/// The name that this process gives to images while they are loaded.
fn own_name() -> String {
    let ctr = Ctr::new("1.6.20", IMPORT, NAMES);
    load(&ctr.find().unwrap()).0.unwrap();
    last_removed(&ctr.log())
}

/// Lists that name.
fn own_names() -> String {
    format!("echo {}", own_name())
}

#[test]
fn the_image_gets_its_name_when_it_is_whole_and_a_version_that_was_not_tried_is_told() {
    let ctr = Ctr::new("v9.1.0", IMPORT, NAMES);
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
    let remove = at(&format!("images remove {temporary}"));
    assert!(remove > tag, "{log:?}");
}

#[test]
fn what_it_says_last_is_told() {
    let import = "head -c 1 > /dev/null; exec 0<&-; sleep 0.1; echo 'ctr: disk full' >&2; exit 1";
    let ctr = Ctr::new("1.6.20", import, &own_names());
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
        let ctr = Ctr::new("1.6.20", import, &own_names());
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
    let own = own_name();
    let (repository, tag) = own.rsplit_once(':').unwrap();
    let parts: Vec<&str> = tag.split('-').collect();
    let [space, pid, start, since] = parts[..] else {
        panic!("{own}");
    };
    let name = |tag: String| format!("{repository}:{tag}");
    let gone = name(format!("{space}-{pid}-1-{since}"));
    let elsewhere = name(format!("01234567-{pid}-{start}-{since}"));
    let old = name(format!("01234567-{pid}-{start}-1"));
    let names = format!("printf '%s\\n' {own} {gone} {elsewhere} {old} docker.io/library/app:1");
    let ctr = Ctr::new("1.6.20", IMPORT, &names);
    let engine = ctr.find().unwrap();
    let removed = || last_removed(&ctr.log());
    load(&engine).0.unwrap();
    assert_eq!(removed(), [&*own, &gone, &old].join(" "));
    engine.abandon();
    assert_eq!(removed(), own);
    let error = load(&engine).0.unwrap_err();
    assert!(
        matches!(error, Error::Refused { .. }),
        "who is stopped does not go on: {error}"
    );
}

/// `ctr` says that it took the image, but the content store lacks a layer: it had that layer unpacked.
#[test]
fn an_image_whose_layer_is_not_there_is_an_error() {
    let ctr = Ctr::new("2.1.9", "cat > other", NAMES);
    let error = load(&ctr.find().unwrap()).0.unwrap_err();
    assert!(matches!(error, Error::NotWhole { .. }), "{error}");
    assert!(!ctr.log().iter().any(|line| line.contains(" images tag ")));
}
