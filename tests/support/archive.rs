//! Archives, read by an independent program.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::program::succeed;

/// The JSON of a member.
pub fn json(archive: &Path, member: &str) -> Value {
    let mut tar = Command::new("tar");
    let bytes = succeed(tar.arg("-xOf").arg(archive).arg(member));
    serde_json::from_slice(&bytes).unwrap()
}

/// The image configuration of a docker-archive, and the name of its member.
pub fn config(archive: &Path) -> (String, Value) {
    let manifest = json(archive, "manifest.json");
    let member = manifest[0]["Config"].as_str().unwrap();
    (member.to_owned(), json(archive, member))
}
