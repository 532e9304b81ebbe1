//! A package of Debian as a closure in the Nix store.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::peer;
use crate::support::program::{repository, succeed};

/// Debian's hello and its closure as store paths, built by real Nix.
pub fn hello() -> &'static Path {
    static HELLO: OnceLock<PathBuf> = OnceLock::new();
    HELLO.get_or_init(|| {
        peer::program("STREAM_LAYERED_TEST_NIX");
        let tool = repository().join("tests/closures/debstore");
        let output = succeed(Command::new(tool).arg("hello"));
        String::from_utf8(output).unwrap().trim().into()
    })
}
