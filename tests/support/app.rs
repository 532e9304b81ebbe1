//! A small closure as a store that no Nix knows, with hashes, for tests that change it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::store_tree::{StoreRoot, store_path};

/// The program's path, and two that it needs.
const APP: &str = "g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0";
const LIBRARIES: [&str; 2] = [
    "0c4p0zvbd4dyfhivlpzj4q0nxh2z9x4m-liba-1.0",
    "1d5q1bqxw9r8c7v6n5m4k3j2h1gafds0-libb-1.0",
];

/// The closure, and a cache of its own.
pub struct App {
    root: StoreRoot,
}

impl App {
    /// Makes it. The libraries have `size` bytes each, which do not compress.
    pub fn new(size: usize) -> Self {
        let app = Self {
            root: StoreRoot::new(),
        };
        let bin = app.path(APP).join("bin");
        fs::create_dir_all(&bin).unwrap();
        let program = bin.join("app");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o555)).unwrap();
        for (seed, library) in LIBRARIES.iter().enumerate() {
            fs::create_dir(app.path(library)).unwrap();
            fs::write(app.path(library).join("lib.so"), noise(seed as u64, size)).unwrap();
        }
        app.describe([1, 2, 3]);
        app
    }

    /// Where a store path is.
    fn path(&self, base_name: &str) -> PathBuf {
        self.root.store().join(base_name)
    }

    /// The directory that all is in.
    pub fn directory(&self) -> &Path {
        self.root.path()
    }

    /// Writes the closure's graph, with these in place of hashes.
    fn describe(&self, hashes: [u8; 3]) {
        let entry = |base_name: &str, hash: u8, references: &[&str]| {
            let references: Vec<String> =
                references.iter().map(|other| store_path(other)).collect();
            json!({
                "path": store_path(base_name),
                "narHash": format!("sha256:{:02x}{}", hash, "0".repeat(62)),
                "narSize": 1000,
                "references": references,
            })
        };
        let [app, a, b] = hashes;
        let graph = [
            entry(APP, app, &LIBRARIES),
            entry(LIBRARIES[0], a, &[]),
            entry(LIBRARIES[1], b, &[]),
        ];
        self.root.describe(&graph);
    }

    /// Changes the program alone.
    pub fn change(&self) {
        let program = self.path(APP).join("bin/app");
        fs::remove_file(&program).unwrap();
        fs::write(&program, "#!/bin/sh\nexit\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o555)).unwrap();
        self.describe([4, 2, 3]);
    }

    /// Takes the libraries away, and the program's bytes: who reads them fails, or makes another
    /// image.
    pub fn take_contents_away(&self) {
        for library in LIBRARIES {
            fs::remove_dir_all(self.path(library)).unwrap();
        }
        let program = self.path(APP).join("bin/app");
        fs::remove_file(&program).unwrap();
        fs::write(&program, "#!/bin/no\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o555)).unwrap();
    }

    /// Forgets what was remembered of layers.
    pub fn forget(&self) {
        let _ = fs::remove_dir_all(self.directory().join("cache"));
    }

    /// The program that is tested, with this command and then the closure. A strategy that gives
    /// small paths layers of their own, so that there are some to be left out.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.root.command(words);
        command
            .args(["--strategy", "auto"])
            .arg("--cache")
            .arg(self.directory().join("cache"))
            .arg(format!("/nix/store/{APP}"));
        command
    }
}

/// Bytes without a pattern, the same for each seed.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}
