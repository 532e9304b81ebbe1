//! A file with a text. It exists for the store paths that the text refers to.

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
