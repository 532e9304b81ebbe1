//! A derivation's structured attributes: the file `.attrs.json` that Nix writes for the builder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The attributes, and the text of the file, from which the closure is read.
pub struct Attributes<T> {
    /// The attributes that the step uses.
    pub values: T,
    /// The whole file.
    pub text: Vec<u8>,
    /// The derivation's output path.
    pub out: PathBuf,
}

/// Where Nix has put the attributes.
///
/// Nix before 2.14 names a path outside of the sandbox in `NIX_ATTRS_JSON_FILE`
/// (<https://github.com/NixOS/nix/issues/6736>), where a builder in the sandbox finds nothing. The
/// file itself is always at the top of the build's directory.
fn file() -> PathBuf {
    let in_build_top =
        || PathBuf::from(env::var_os("NIX_BUILD_TOP").unwrap_or_default()).join(".attrs.json");
    env::var_os("NIX_ATTRS_JSON_FILE")
        .map(PathBuf::from)
        .filter(|file| file.exists())
        .unwrap_or_else(in_build_top)
}

/// Reads the attributes of the derivation that this process builds.
pub fn read<T: DeserializeOwned>() -> Result<Attributes<T>> {
    let file = file();
    let text = fs::read(&file).with_context(|| {
        format!(
            "{}: this is a step of a derivation with __structuredAttrs",
            file.display()
        )
    })?;
    let all: Value =
        serde_json::from_slice(&text).with_context(|| format!("{}", file.display()))?;
    let out = all
        .pointer("/outputs/out")
        .and_then(Value::as_str)
        .with_context(|| format!("{}: it has no outputs.out", file.display()))?;
    Ok(Attributes {
        out: out.into(),
        values: T::deserialize(&all).with_context(|| format!("{}", file.display()))?,
        text,
    })
}

/// Writes the derivation's output.
pub fn write(out: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))
}
