//! The fuzz targets' seeds, and what is near them.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use fuzz_seeds::replay;

#[path = "../fuzz/checks.rs"]
mod checks;

fn run(target: &str, check: impl Fn(&[u8])) {
    replay(env!("CARGO_MANIFEST_DIR"), target, 3, 100, check);
}

#[test]
fn base_archives() {
    run("base_archive", checks::base_archive);
}

#[test]
fn nix_images() {
    run("nix_image", checks::nix_image);
}

#[test]
fn oci_layouts() {
    run("oci_layout", |bytes| {
        if let Ok(text) = str::from_utf8(bytes) {
            checks::oci_layout(text);
        }
    });
}
