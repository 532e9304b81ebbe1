//! The fuzz targets' seeds, and what one wrong byte or a cut makes of them. A fuzzer looks much
//! further; this needs none.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks.rs"]
mod checks;

/// Runs a check on each seed, and on some of what is near it.
fn run(target: &str, check: impl Fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut count = 0;
    for seed in fs::read_dir(seeds.join(target)).unwrap() {
        let seed = fs::read(seed.unwrap().path()).unwrap();
        check(&seed);
        let step = seed.len() / 100 + 1;
        for at in (0..seed.len()).step_by(step) {
            check(&seed[..at]);
            let mut wrong = seed.clone();
            for byte in [0, 0xff, b'9', seed[at] ^ 1] {
                wrong[at] = byte;
                check(&wrong);
            }
        }
        count += 1;
    }
    assert!(count >= 3, "the seeds are gone");
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
