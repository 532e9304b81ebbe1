//! The fuzz targets' seeds, and what is near them.

use fuzz_seeds::replay;

#[path = "../fuzz/checks.rs"]
mod checks;

fn run(target: &str, check: impl Fn(&[u8])) {
    replay(env!("CARGO_MANIFEST_DIR"), target, 4, usize::MAX, check);
}

#[test]
fn nars() {
    run("nar", checks::nar);
}

#[test]
fn narinfos() {
    run("narinfo", |bytes| {
        if let Ok(text) = str::from_utf8(bytes) {
            checks::narinfo(text);
        }
    });
}
