//! Who may import whom among the workspace's crates: data flows one way.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

#[test]
fn crates_import_only_what_lies_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = [
        ("nix-compat", &[] as &[&str]),
        ("layering", &["nix-compat"]),
        ("sha256-lanes", &[]),
        ("image", &["nix-compat", "oci", "sha256-lanes"]),
        ("stores", &["layering", "net", "nix-compat"]),
        ("net", &[]),
        ("oci", &[]),
        ("registry", &["net", "oci"]),
        ("engine", &["image", "net", "nix-compat", "oci"]),
        ("test-peers", &[]),
        (
            "stream-layered",
            &[
                "engine",
                "image",
                "layering",
                "nix-compat",
                "oci",
                "registry",
                "stores",
            ],
        ),
    ]
    .into();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(crate::support::program::repository())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no place in the order of imports"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let imported = dependency["name"].as_str().unwrap();
            if dependency["kind"].is_null() && allowed.contains_key(imported) {
                assert!(may.contains(&imported), "{name} must not import {imported}");
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "the packages were not read");
}

/// A second backend of flate2, switched on by any crate, would change what is read and written.
#[test]
fn flate2_has_one_backend() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "-e",
            "features",
            "-i",
            "flate2",
            "--workspace",
        ])
        .current_dir(crate::support::program::repository())
        .output()
        .unwrap();
    let tree = String::from_utf8_lossy(&output.stdout);
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
