//! A package of Debian as a closure in the Nix store.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::peer;
use crate::support::program::{repository, stderr};

/// Debian's hello and its closure as store paths, built by real Nix.
pub fn hello() -> Option<&'static Path> {
    static HELLO: OnceLock<Option<PathBuf>> = OnceLock::new();
    HELLO
        .get_or_init(|| {
            peer::program("STREAM_LAYERED_TEST_NIX", "nix")?;
            let tool = repository().join("tests/closures/debstore");
            let output = Command::new(tool).arg("hello").output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            Some(String::from_utf8(output.stdout).unwrap().trim().into())
        })
        .as_deref()
}
