//! Files of the store that change while an image is written.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::fs::{CWD, FileType, Mode};
use serde_json::json;

use crate::support::program::{stderr, succeed};
use crate::support::store_tree::{StoreRoot, store_path};

const PATH: &str = "0c4p0zvbd4dyfhivlpzj4q0nxh2z9x4m-app";

/// Larger than every pipe: while its bytes stand in one, what comes after them was not read again.
const LARGE: usize = 24 << 20;

/// What happens to a file.
type Change<'a> = &'a dyn Fn(&Path);

/// A store path with a file that takes a while, and a small one after it.
struct Store(StoreRoot);

impl Store {
    fn new() -> Self {
        let root = StoreRoot::new();
        let path = root.store().join(PATH);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a-large"), vec![7; LARGE]).unwrap();
        fs::write(path.join("b-small"), "small").unwrap();
        root.describe(&[json!({
            "path": store_path(PATH), "narSize": LARGE, "references": [],
            "narHash": format!("sha256:{}", "0".repeat(64)),
        })]);
        Self(root)
    }

    fn small(&self) -> std::path::PathBuf {
        self.0.store().join(PATH).join("b-small")
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = self
            .0
            .command(&["stream", "-q", "--no-cache", "--cmd", "x"]);
        command.args(options).arg(store_path(PATH));
        command
    }

    /// Runs the program, and `change` once its layer was hashed and its first bytes have come.
    fn changed_between(&self, options: &[&str], change: impl FnOnce(&Path)) -> Output {
        let mut run = self.command(options);
        let mut child = run
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut vec![0; 64 << 10]).unwrap();
        change(&self.small());
        std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
        child.wait_with_output().unwrap()
    }
}

/// The layer's digest is in the archive before its bytes are.
#[test]
fn a_file_with_other_bytes_of_the_same_length_is_named() {
    let replace = |file: &Path, text: &str| {
        let other = file.with_extension("new");
        fs::write(&other, text).unwrap();
        fs::rename(other, file).unwrap();
    };
    let changes: [(&str, Change<'_>); 4] = [
        ("other bytes", &|file| fs::write(file, "other").unwrap()),
        ("more bytes", &|file| fs::write(file, "smaller").unwrap()),
        ("another file", &|file| replace(file, "other")),
        ("gone", &|file| fs::remove_file(file).unwrap()),
    ];
    for (name, change) in changes {
        for options in [&[][..], &["--verify"], &["--jobs", "1"]] {
            let store = Store::new();
            let output = store.changed_between(options, change);
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{name} {options:?}: {text}");
            assert!(text.contains("app/b-small"), "{name} {options:?}: {text}");
        }
    }
}

/// What Nix itself does to a store while programs read it: `auto-optimise-store` makes hard links.
#[test]
fn a_file_that_gets_a_further_hard_link_is_the_same() {
    let store = Store::new();
    let output = store.changed_between(&[], |file| {
        fs::set_permissions(file, fs::Permissions::from_mode(0o444)).unwrap();
        fs::hard_link(file, file.with_extension("link")).unwrap();
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A pipe that takes a file's place is not waited for.
#[test]
fn a_file_that_becomes_a_pipe() {
    let store = Store::new();
    let output = store.changed_between(&[], |file| {
        fs::remove_file(file).unwrap();
        rustix::fs::mknodat(CWD, file, FileType::Fifo, Mode::RUSR, 0).unwrap();
    });
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("b-small") && text.contains("not a file"),
        "{text}"
    );
    fs::remove_file(store.small()).unwrap();
    succeed(&mut store.command(&["-o", "/dev/null"]));
}
