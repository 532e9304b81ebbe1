//! Reads files that describe a closure or an image.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context, Result};

/// Longest file that describes a closure or an image, in bytes.
const MAX_INPUT: u64 = 1 << 30;

/// Reads a whole file, or standard input for `-`.
pub fn read_input(file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let count = if file == Path::new("-") {
        io::stdin()
            .lock()
            .take(MAX_INPUT)
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?
    } else {
        let open = fs::File::open(file);
        open.and_then(|open| open.take(MAX_INPUT).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {}", file.display()))?
    };
    anyhow::ensure!(
        (count as u64) < MAX_INPUT,
        "{} is larger than {MAX_INPUT} bytes",
        file.display()
    );
    Ok(bytes)
}
