//! No test file is forgotten: one that no `mod` names would never run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::metadata::packages;
use super::source::Crate;
use crate::support::program::repository;

#[test]
fn every_file_of_a_crate_and_of_its_tests_is_compiled() {
    let mut compiled = BTreeSet::new();
    let mut there = BTreeSet::new();
    files(&repository().join("tests"), &mut there);
    for package in packages() {
        for root in package.targets {
            let source = Crate::read_with_tests(&root);
            compiled.extend(source.files().map(Path::to_owned));
        }
        for folder in ["src", "tests", "benches"] {
            files(&package.folder.join(folder), &mut there);
        }
    }
    let forgotten: Vec<&PathBuf> = there.difference(&compiled).collect();
    assert!(forgotten.is_empty(), "no `mod` names {forgotten:?}");
    assert!(there.len() > 100, "the files were not found");
}

/// All Rust files below a folder, if there is one.
fn files(folder: &Path, into: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.insert(path);
        }
    }
}
