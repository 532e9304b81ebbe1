//! Files that `-o` names, and limits on them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use test_peers::needs;

use crate::support::app::App;
use crate::support::program::{stderr, stream_layered, succeed};

/// As with a shell's `>`.
#[test]
fn the_mode_of_the_file_and_the_link_to_it_stay() {
    let app = App::new(10);
    let at = |name: &str| app.directory().join(name);
    fs::write(at("secret.tar"), "old").unwrap();
    fs::set_permissions(at("secret.tar"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("secret.tar", at("link.tar")).unwrap();
    symlink("second.tar", at("first.tar")).unwrap();
    symlink(at("new.tar"), at("second.tar")).unwrap();
    for (link, file) in [("link.tar", "secret.tar"), ("first.tar", "new.tar")] {
        succeed(app.command(&["stream", "-q"]).arg("-o").arg(at(link)));
        assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
        assert!(
            fs::symlink_metadata(at(file)).unwrap().len() > 1000,
            "{file}"
        );
    }
    let mode = fs::metadata(at("secret.tar")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(fs::symlink_metadata(at("second.tar")).unwrap().is_symlink());
}

/// The signal of `ulimit -f` would end the program without a word.
#[needs("prlimit")]
#[test]
fn a_limit_on_files_is_told() {
    let app = App::new(1 << 20);
    let layout = app.directory().join("layout");
    for options in [&[][..], &["--format", "oci"], &["--compression", "zstd"]] {
        let mut command = app.command(&["stream", "-q", "--no-cache"]);
        command.args(options).arg("-o").arg(&layout);
        let mut limited = Command::new("prlimit");
        limited
            .args(["--fsize=100000", "--"])
            .arg(stream_layered().get_program());
        let output = limited.args(command.get_args()).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{options:?}: {text}");
        assert!(
            text.contains("error: ") && text.contains("File too large"),
            "{options:?}: {text}"
        );
        let _ = fs::remove_dir_all(&layout);
        assert!(!layout.exists(), "{options:?}");
    }
}
