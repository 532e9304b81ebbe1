//! Reads what describes a closure or an image.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};

/// Longest text that describes a closure or an image, in bytes.
const MAX_INPUT: u64 = 1 << 30;

/// Reads a whole file, or standard input for `-`.
pub fn read_input(file: &Path) -> Result<Vec<u8>> {
    if file == Path::new("-") {
        return files::read_from(io::stdin().lock(), MAX_INPUT)
            .context("cannot read standard input");
    }
    files::read(file, MAX_INPUT).with_context(|| format!("cannot read {}", file.display()))
}
