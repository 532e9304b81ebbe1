//! The workspace's crates, as cargo knows them.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::program::{repository, succeed};

/// A crate of the workspace.
pub struct Package {
    pub name: String,
    /// Its `lib.rs` or `main.rs`.
    pub root: PathBuf,
    /// The folder of its manifest.
    pub folder: PathBuf,
    /// The first files of all that cargo compiles of it: library, program, tests, benchmarks.
    pub targets: Vec<PathBuf>,
    /// Crates of the workspace that it imports; what only its tests import is not among them.
    pub imports: Vec<String>,
}

/// All of them, by name.
pub fn packages() -> Vec<Package> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let metadata = succeed(cargo.current_dir(repository()));
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |package: &Value| package["name"].as_str().unwrap().to_owned();
    let names: Vec<String> = packages.iter().map(name).collect();
    let mut packages: Vec<Package> = packages
        .iter()
        .map(|package| {
            let file = |target: &Value| -> PathBuf {
                // That of the test binary is `crates/cli/../../tests/main.rs`.
                let file = PathBuf::from(target["src_path"].as_str().unwrap());
                file.canonicalize().unwrap()
            };
            let is_product = |target: &&Value| {
                let kind = target["kind"][0].as_str().unwrap();
                ["lib", "bin", "proc-macro"].contains(&kind)
            };
            let targets = package["targets"].as_array().unwrap();
            let root = targets.iter().find(is_product).unwrap();
            let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
            let dependencies = package["dependencies"].as_array().unwrap();
            let product = dependencies.iter().filter(|other| other["kind"].is_null());
            let mut imports: Vec<String> = product.map(name).collect();
            imports.retain(|import| names.contains(import));
            imports.sort();
            Package {
                name: name(package),
                root: file(root),
                folder: manifest.parent().unwrap().to_owned(),
                targets: targets.iter().map(file).collect(),
                imports,
            }
        })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}
