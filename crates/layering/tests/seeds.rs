//! The fuzz targets' seeds, and what is near them.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use fuzz_seeds::replay;

#[path = "../fuzz/checks.rs"]
mod checks;

fn run(target: &str, check: impl Fn(&[u8])) {
    replay(env!("CARGO_MANIFEST_DIR"), target, 3, usize::MAX, check);
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
