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

/// Runs a check on each seed, and on all that is near it.
fn run(target: &str, check: impl Fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut count = 0;
    for seed in fs::read_dir(seeds.join(target)).unwrap() {
        let seed = fs::read(seed.unwrap().path()).unwrap();
        check(&seed);
        for at in 0..seed.len() {
            check(&seed[..at]);
            let mut wrong = seed.clone();
            for byte in [0, 0xff, b'9', b'"', seed[at] ^ 1, seed[at] ^ 0x80] {
                wrong[at] = byte;
                check(&wrong);
            }
        }
        count += 1;
    }
    assert!(count >= 3, "the seeds are gone");
}

#[test]
fn plans() {
    run("plan_json", |bytes| {
        if let Ok(text) = str::from_utf8(bytes) {
            checks::plan_json(text);
        }
    });
}

#[test]
fn plan_texts() {
    run("plan_text", checks::plan_text);
}
