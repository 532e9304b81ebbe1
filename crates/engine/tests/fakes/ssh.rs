//! Engines behind something in place of `ssh`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use engine::{Destination, Error, Surroundings};
use tempfile::TempDir;

use crate::search::TIMEOUTS;

/// Connects by a shell's script in place of `ssh`; gives the error, and what the script was called with.
fn fails(destination: &str, script: &str) -> (String, Vec<String>) {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let ssh = directory.path().join("ssh");
    let text = format!("#!/bin/sh\necho \"$@\" >> {}\n{script}\n", log.display());
    fs::write(&ssh, text).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let surroundings = Surroundings {
        environment: &|_| None,
        usual: Vec::new(),
        ctr: "/there/is/no/ctr".into(),
        ssh: ssh.into(),
        timeouts: TIMEOUTS,
    };
    let destination: Destination = destination.parse().unwrap();
    let error: Error = destination.open(&surroundings).err().unwrap();
    let log = fs::read_to_string(log).unwrap();
    (error.to_string(), log.lines().map(str::to_owned).collect())
}

#[test]
fn what_ssh_says_is_told_with_what_to_do() {
    for (said, advice) in [
        (
            "me@there: Permission denied (publickey,password).",
            "nobody can be asked for a password",
        ),
        ("Host key verification failed.", "once, and compare the key"),
        (
            "ssh: Could not resolve hostname there: no",
            "write the host as",
        ),
        (
            "kex_exchange_identification: read: reset",
            "has to work before",
        ),
    ] {
        let script = format!("echo a warning >&2; echo '{said}' >&2; exit 255");
        let (error, log) = fails("ssh://me@there:7", &script);
        let said = said.trim_end_matches('.');
        let start = format!("ssh -p 7 -l me there docker system dial-stdio` says: {said}; ");
        assert!(error.contains(&start) && error.contains(advice), "{error}");
        // Whether the user's own connection is there, one attempt, and the end of that connection.
        assert_eq!(log.len(), 3, "{log:?}");
        assert!(log[1].contains("BatchMode=yes"), "{log:?}");
        assert!(
            log[1].ends_with("-p 7 -l me -- there docker system dial-stdio"),
            "{log:?}"
        );
        assert!(log[2].contains("-O exit"), "{log:?}");
    }
}

#[test]
fn a_host_without_an_engine_is_told_with_all_that_was_tried() {
    let script = "case \"$*\" in *docker*) exit 127;; esac; echo 'no socket' >&2; exit 125";
    let (error, log) = fails("ssh://there/a b.sock", script);
    assert!(
        error.starts_with("no container engine answers at ssh://there/a b.sock ("),
        "{error}"
    );
    assert!(error.contains("dial-stdio`: is not there; "), "{error}");
    assert!(error.contains("dial-stdio`: no socket"), "{error}");
    let docker = "-- there docker --host 'unix:///a b.sock' system dial-stdio";
    assert!(log[1].ends_with(docker), "{log:?}");
    // Where the user has a connection, there is none of this run's own.
    let script = format!("case \"$*\" in *check*) exit 0;; esac; {script}");
    let (_, log) = fails("ssh+podman://there", &script);
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(!log[1].contains("ControlMaster"), "{log:?}");
}
