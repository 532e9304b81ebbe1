//! Stores laid out in a temporary directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::stream_layered;

/// What is put at one name.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Node {
    /// A directory.
    Directory { dir: BTreeMap<String, Node> },
    /// A file with some text.
    Text {
        text: String,
        #[serde(default)]
        exec: bool,
    },
    /// A file that repeats a text.
    Pattern {
        pattern: String,
        size: usize,
        #[serde(default)]
        exec: bool,
    },
    /// A symbolic link.
    Link { link: String },
    /// One more name of a file that is there.
    HardLink { hardlink: String },
    /// A copy of a file beside the case.
    Copy { copy: String },
}

impl Node {
    /// A directory with these names in it.
    pub fn directory<const N: usize>(entries: [(&str, Self); N]) -> Self {
        let entries = entries.map(|(name, node)| (name.to_owned(), node));
        Self::Directory {
            dir: entries.into(),
        }
    }

    /// A file with some text.
    pub fn text(text: &str) -> Self {
        Self::Text {
            text: text.to_owned(),
            exec: false,
        }
    }

    /// A program that does nothing.
    pub fn program() -> Self {
        Self::Text {
            text: "#!/bin/sh\n".to_owned(),
            exec: true,
        }
    }
}

/// The whole store path.
pub fn store_path(base_name: &str) -> String {
    format!("/nix/store/{base_name}")
}

/// A directory that holds `nix/store`, deleted at the end.
pub struct StoreRoot {
    directory: TempDir,
}

impl StoreRoot {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir_all(directory.path().join("nix/store")).unwrap();
        Self { directory }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the store is.
    pub fn store(&self) -> PathBuf {
        self.path().join("nix/store")
    }

    /// Puts a store path. Files to copy lie in `beside`.
    pub fn add(&self, base_name: &str, node: &Node, beside: &Path) {
        self.put(&self.store().join(base_name), node, beside);
    }

    /// Writes the closure for `command`: entries as Nix prints them.
    pub fn describe(&self, entries: &[Value]) {
        fs::write(self.closure(), serde_json::to_vec(entries).unwrap()).unwrap();
    }

    /// Where the closure is.
    pub fn closure(&self) -> PathBuf {
        self.path().join("graph.json")
    }

    /// The program that is tested, with this command on this store and its closure.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = stream_layered();
        command.args(words);
        command.arg("--store").arg(self.path());
        command.arg("--closure").arg(self.closure());
        command
    }

    fn put(&self, at: &Path, node: &Node, beside: &Path) {
        match node {
            Node::Directory { dir } => {
                fs::create_dir(at).unwrap();
                for (name, child) in dir {
                    self.put(&at.join(text(name)), child, beside);
                }
                return;
            }
            Node::Text { text, .. } => fs::write(at, text).unwrap(),
            Node::Pattern { pattern, size, .. } => {
                let bytes: Vec<u8> = pattern.bytes().cycle().take(*size).collect();
                fs::write(at, bytes).unwrap();
            }
            Node::Link { link } => std::os::unix::fs::symlink(text(link), at).unwrap(),
            Node::HardLink { hardlink } => {
                fs::hard_link(self.store().join(text(hardlink)), at).unwrap();
            }
            Node::Copy { copy } => {
                fs::copy(beside.join(copy), at).unwrap();
            }
        }
        if let Node::Text { exec, .. } | Node::Pattern { exec, .. } = node {
            let mode = if *exec { 0o555 } else { 0o444 };
            fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// Text, or `hex:` and the bytes in base 16.
fn text(text: &str) -> PathBuf {
    let bytes = match text.strip_prefix("hex:") {
        Some(hex) => hex
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect(),
        None => text.as_bytes().to_vec(),
    };
    PathBuf::from(OsStr::from_bytes(&bytes))
}
