//! The JSON texts of an image: its configuration, whose digest is the image's id, and the manifest
//! of a docker-archive. Keys stand in the order in which nixpkgs writes them.

use oci::Digest;
use serde::Serialize;
use serde_json::Value;

use super::python_json;
use crate::error::Error;
use crate::recipe::{Image, Layer, OwnLayer};

#[derive(Serialize)]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    os: &'a str,
    config: &'a Value,
    rootfs: RootFs,
    history: Vec<History<'a>>,
}

#[derive(Serialize)]
struct RootFs {
    diff_ids: Vec<String>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
    // Not in nixpkgs' images. The history is the place that survives every copy: engines and registries
    // keep it, and so does skopeo where it writes a configuration of another form, unlike unknown
    // fields. Labels survive as well, but containerd refuses containers with long ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest<'a> {
    config: &'a str,
    repo_tags: &'a [String],
    layers: &'a [String],
}

/// The text of the image's configuration; `diff_ids` are those of all layers, bottom first.
///
/// # Errors
///
/// It cannot be serialised.
pub fn config_text(image: &Image, diff_ids: &[Digest]) -> Result<Vec<u8>, Error> {
    let created = image.created.python_text();
    let layers = image.layers();
    let plan_text = |layer: &Layer<'_>| match layer {
        Layer::Own(OwnLayer::Root(_)) => image.plan_text.as_deref(),
        Layer::Own(OwnLayer::Store(_)) | Layer::Base(..) => None,
    };
    let history = |layer: &Layer<'_>| History {
        created: &created,
        created_by: plan_text(layer),
        comment: format!("store paths: {}", python_list(&layer.history_names())),
    };
    let config = Config {
        created: &created,
        architecture: &image.platform.architecture,
        variant: image.platform.variant.as_deref(),
        os: "linux",
        config: &image.finished_config(),
        rootfs: RootFs {
            diff_ids: diff_ids.iter().map(Digest::to_string).collect(),
            kind: "layers",
        },
        history: layers.iter().map(history).collect(),
    };
    Ok(python_json::to_python_text(&config)?)
}

/// The text of a docker-archive's `manifest.json`.
///
/// # Errors
///
/// It cannot be serialised.
pub fn manifest_text(
    repo_tags: &[String],
    config: &Digest,
    layers: &[String],
) -> Result<Vec<u8>, Error> {
    manifest_text_of(repo_tags, &format!("{}.json", config.hex()), layers)
}

/// The text of a `manifest.json` that names its configuration's member so.
pub(crate) fn manifest_text_of(
    repo_tags: &[String],
    config: &str,
    layers: &[String],
) -> Result<Vec<u8>, Error> {
    Ok(python_json::to_python_text(&[Manifest {
        config,
        repo_tags,
        layers,
    }])?)
}

/// `repr` of a list of texts in Python.
fn python_list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| python_text(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// `repr` of a text in Python: single quotes, unless it holds those and no double ones.
fn python_text(text: &str) -> String {
    use std::fmt::Write as _;
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => out.extend(['\\', quote]),
            _ if character.is_ascii_control() => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\x{:02x}", character as u32);
            }
            _ => out.push(character),
        }
    }
    out.push(quote);
    out
}
