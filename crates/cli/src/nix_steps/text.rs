//! A file with a text, whose references are what counts.

use anyhow::Result;
use serde::Deserialize;

use super::attributes::{self, Attributes};

#[derive(Deserialize)]
struct TextAttributes {
    text: String,
}

/// Writes the text.
pub fn run() -> Result<()> {
    let attributes: Attributes<TextAttributes> = attributes::read()?;
    attributes::write(&attributes.out, attributes.values.text)
}
