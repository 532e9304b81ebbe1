//! An image's archive, read by the machine's own tar.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// An archive, unpacked.
pub struct Archive {
    directory: TempDir,
    /// The first image's entry in `manifest.json`.
    pub manifest: Value,
    /// Its configuration.
    pub config: Value,
}

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `drwxr-xr-x`.
    pub mode: String,
    /// `0/0`.
    pub owner: String,
    /// `1970-01-01 00:00:01`.
    pub time: String,
    /// Where a link leads.
    pub target: Option<String>,
}

impl Archive {
    /// What a program writes.
    pub fn of(stream: &Path) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("image.tar");
        let status = Command::new(stream)
            .arg("-q")
            .stdout(File::create(&file).unwrap())
            .status();
        assert!(status.unwrap().success(), "{}", stream.display());
        Self::read(&file)
    }

    /// An archive in a file, compressed or not.
    pub fn read(file: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let status = Command::new("tar")
            .arg("-xf")
            .arg(file)
            .arg("-C")
            .arg(directory.path())
            .status();
        assert!(status.unwrap().success(), "{}", file.display());
        let json = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(directory.path().join(name)).unwrap()).unwrap()
        };
        let manifest = json("manifest.json")[0].take();
        let config = json(manifest["Config"].as_str().unwrap());
        Self {
            manifest,
            config,
            directory,
        }
    }

    /// The digests of the layers, bottom first.
    pub fn diff_ids(&self) -> Vec<&str> {
        let digests = self.config["rootfs"]["diff_ids"].as_array().unwrap();
        digests
            .iter()
            .map(|digest| digest.as_str().unwrap())
            .collect()
    }

    /// The layers' tars, bottom first.
    pub fn layers(&self) -> Vec<PathBuf> {
        let layers = self.manifest["Layers"].as_array().unwrap();
        let place = |layer: &Value| self.directory.path().join(layer.as_str().unwrap());
        layers.iter().map(place).collect()
    }

    /// The tar of the root's layer.
    pub fn root_layer(&self) -> PathBuf {
        self.layers().pop().unwrap()
    }

    /// What is in the root's layer, by absolute path.
    pub fn root(&self) -> BTreeMap<String, Entry> {
        entries(&self.root_layer())
    }

    /// What is in the layers below.
    pub fn store(&self) -> BTreeMap<String, Entry> {
        let layers = self.layers();
        let (_, below) = layers.split_last().unwrap();
        below.iter().flat_map(|layer| entries(layer)).collect()
    }

    /// The names of the store paths in the layers below, without their hashes; each path once.
    pub fn store_paths(&self) -> Vec<String> {
        let mut names = Vec::new();
        for layer in self.layers().split_last().unwrap().1 {
            for path in entries(layer).into_keys() {
                let name = path
                    .strip_prefix("/nix/store/")
                    .filter(|name| !name.is_empty());
                names.extend(
                    name.filter(|name| !name.contains('/'))
                        .map(|name| name[33..].to_owned()),
                );
            }
        }
        names.sort();
        names
    }

    /// The text of a file in the root's layer.
    pub fn text(&self, path: &str) -> String {
        let output = Command::new("tar")
            .arg("-xOf")
            .arg(self.root_layer())
            .arg(format!(".{path}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{path}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn entries(layer: &Path) -> BTreeMap<String, Entry> {
    let output = Command::new("tar")
        .args([
            "--list",
            "--verbose",
            "--absolute-names",
            "--numeric-owner",
            "--full-time",
            "--utc",
            "--quoting-style=literal",
            "--file",
        ])
        .arg(layer)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", layer.display());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(entry).collect()
}

fn entry(line: &str) -> (String, Entry) {
    let mut words = line.split_ascii_whitespace();
    let mut word = || words.next().unwrap().to_owned();
    let (mode, owner, _, day, time, name) = (word(), word(), word(), word(), word(), word());
    let target = line.split_once(" -> ").map(|(_, target)| target.to_owned());
    let name = name.strip_prefix('.').unwrap_or(&name);
    let name = if name.len() > 1 {
        name.trim_end_matches('/')
    } else {
        name
    };
    let entry = Entry {
        mode,
        owner,
        time: format!("{day} {time}"),
        target,
    };
    (name.to_owned(), entry)
}
