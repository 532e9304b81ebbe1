//! Where the system gives few threads or none: `ulimit -u`, or a container's limit of processes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use test_peers::needs;

use crate::support::app::App;
use crate::support::program::{stderr, stream_layered, succeed};

/// Users of whom no other process runs, one for each test: the limit counts all processes of a user.
const USERS: [u32; 2] = [65_531, 65_530];

/// Runs a command as a user whose processes and threads are limited to so many.
fn limited(command: &Command, directory: &Path, user: u32, processes: usize) -> Output {
    let mut run = Command::new("setpriv");
    run.args(["--clear-groups", "--regid"])
        .arg(user.to_string());
    run.arg("--reuid").arg(user.to_string());
    run.args(["--", "prlimit"])
        .arg(format!("--nproc={processes}"));
    run.arg("--")
        .arg(directory.join("program"))
        .args(command.get_args());
    run.current_dir("/").output().unwrap()
}

/// An app that every user may read, and a copy of the program.
fn app() -> App {
    let app = App::new(3 << 20);
    let (own, copy) = (stream_layered(), app.directory().join("program"));
    fs::copy(own.get_program(), &copy).unwrap();
    for path in [app.directory(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    app
}

#[needs(root, "setpriv", "prlimit")]
#[test]
fn fewer_threads_or_one_line() {
    let app = app();
    let commands: [&[&str]; 5] = [
        &["stream", "-q", "--no-cache"],
        &["stream", "-q", "--no-cache", "--jobs", "64"],
        &["stream", "-q", "--no-cache", "--compression", "gzip"],
        &["stream", "-q", "--no-cache", "--compression", "zstd"],
        &[
            "stream",
            "-q",
            "--no-cache",
            "--format",
            "oci-archive",
            "--compression",
            "zstd",
        ],
    ];
    for words in commands {
        let command = app.command(words);
        let whole = succeed(&mut app.command(words));
        let mut was_enough = false;
        for processes in [1, 2, 3, 4, 6, 9, 14, 100] {
            let output = limited(&command, app.directory(), USERS[0], processes);
            let text = stderr(&output);
            match output.status.code() {
                Some(0) => {
                    assert!(output.stdout == whole, "{words:?} {processes}");
                    was_enough = true;
                }
                Some(1) => {
                    let errors = text.lines().filter(|line| line.starts_with("error: "));
                    assert_eq!(errors.count(), 1, "{words:?} {processes}: {text}");
                    assert!(text.contains("ulimit -u"), "{words:?} {processes}: {text}");
                    // Below, it hangs on which threads have ended by then.
                    assert!(processes < 9, "{words:?} {processes}: {text}");
                }
                code => panic!("{words:?} {processes}: {code:?}: {text}"),
            }
        }
        assert!(was_enough, "{words:?}");
    }
}

/// Registries and engines that are not there: the first thing that fails is told, in one line.
#[needs(root, "setpriv", "prlimit")]
#[test]
fn no_panic_on_the_way_to_a_registry() {
    let app = app();
    let mut push = app.command(&["push", "-q", "--no-cache", "127.0.0.1:1/app:1"]);
    push.args(["--jobs", "8"]);
    for processes in [1, 2, 4, 9] {
        let text = stderr(&limited(&push, app.directory(), USERS[1], processes));
        assert!(
            text.contains("error: ") && !text.contains("panicked"),
            "{processes}: {text}"
        );
    }
}
