//! Who may import whom among the workspace's crates: data flows one way.

use std::process::Command;

use super::metadata::{Package, packages};
use crate::support::program::{repository, succeed};
use crate::support::written::is_as_written;

/// Each crate with those that it may import. Whoever is not here has no place in the order yet.
const MAY_IMPORT: [(&str, &[&str]); 13] = [
    ("files", &[]),
    ("nix-compat", &[]),
    ("oci", &[]),
    ("net", &["files"]),
    ("sha256-lanes", &[]),
    ("fuzz-seeds", &[]),
    ("test-peers", &[]),
    ("layering", &["nix-compat"]),
    ("stores", &["files", "net", "nix-compat", "sha256-lanes"]),
    ("registry", &["files", "net", "oci"]),
    ("image", &["files", "nix-compat", "oci", "sha256-lanes"]),
    ("engine", &["files", "image", "net", "nix-compat", "oci"]),
    (
        "stream-layered",
        &[
            "engine",
            "files",
            "image",
            "layering",
            "net",
            "nix-compat",
            "oci",
            "registry",
            "stores",
        ],
    ),
];

#[test]
fn crates_import_only_what_lies_below_them() {
    for Package { name, imports, .. } in packages() {
        let found = MAY_IMPORT.iter().find(|(known, _)| *known == name);
        let (_, may) =
            found.unwrap_or_else(|| panic!("{name} has no place in the order of imports"));
        for import in imports {
            assert!(
                may.contains(&import.as_str()),
                "{name} must not import {import}"
            );
        }
    }
}

/// The diagram of CONTRIBUTING: who imports whom, from the top down.
#[test]
fn the_diagram_of_crates_is_as_they_are() {
    let mut left = packages();
    left.retain(|package| !["fuzz-seeds", "test-peers"].contains(&package.name.as_str()));
    let width = left.iter().map(|package| package.name.len()).max().unwrap();
    let mut lines = Vec::new();
    while !left.is_empty() {
        let is_top = |package: &Package| {
            !left
                .iter()
                .any(|other| other.imports.contains(&package.name))
        };
        let top = left.iter().position(is_top).expect("a circle of crates");
        let Package { name, imports, .. } = left.remove(top);
        let line = match imports.as_slice() {
            [] => name,
            imports => format!("{name:width$} ─► {}", imports.join(", ")),
        };
        lines.push(format!("    {line}\n"));
    }
    let diagram = format!("\n{}\n", lines.concat());
    let file = repository().join("CONTRIBUTING.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    is_as_written(&file, &format!("{before}{BEGIN}{diagram}{END}{after}"));
}

const BEGIN: &str = "<!-- crates: begin -->\n";
const END: &str = "<!-- crates: end -->\n";

/// A second backend of flate2, switched on by any crate, would change what is read and written.
#[test]
fn flate2_has_one_backend() {
    let words = "tree --offline --workspace --edges features --invert flate2";
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(words.split(' ')).current_dir(repository());
    let tree = String::from_utf8(succeed(&mut cargo)).unwrap();
    assert!(tree.contains("flate2 feature \"zlib-rs\""), "{tree}");
    for other in [
        "miniz_oxide",
        "rust_backend",
        "zlib-ng",
        "zlib\"",
        "cloudflare_zlib",
    ] {
        assert!(
            !tree.contains(&format!("flate2 feature \"{other}")),
            "{tree}"
        );
    }
}
