//! Files of the repository that a test writes.

use std::path::Path;
use std::{env, fs};

/// Fails where a file does not hold this text. With `STREAM_LAYERED_RENEW=1` it is written there
/// instead, and `git diff` shows what changed.
pub fn is_as_written(file: &Path, expected: &str) {
    let text = fs::read_to_string(file).unwrap_or_default();
    if text == expected {
        return;
    }
    if env::var("STREAM_LAYERED_RENEW").as_deref() == Ok("1") {
        fs::write(file, expected).unwrap();
        return;
    }
    panic!(
        "{} is stale: run this test with STREAM_LAYERED_RENEW=1. It should be\n{expected}",
        file.display()
    );
}
