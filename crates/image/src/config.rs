//! The JSON texts of an image: its configuration, whose digest is the image's id, and the manifest
//! of a docker-archive. Keys stand in the order in which nixpkgs writes them.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::base::{BaseImage, Inherit, merge_env};
use crate::{Digest, Error, Image, Layer, LayerDigest, json};

#[derive(Serialize)]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
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
    comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest<'a> {
    config: &'a str,
    repo_tags: &'a [String],
    layers: &'a [String],
}

/// The text of the image's configuration.
///
/// # Errors
///
/// It cannot be serialised.
pub fn config_text(image: &Image, digests: &[LayerDigest]) -> Result<Vec<u8>, Error> {
    let created = image.created.python_text();
    let layers = image.layers();
    let history = |layer: &Layer<'_>| History {
        created: &created,
        comment: format!("store paths: {}", python_list(&layer.history_names())),
    };
    let config = Config {
        created: &created,
        architecture: &image.architecture,
        os: "linux",
        config: &own_config(image),
        rootfs: RootFs {
            diff_ids: digests
                .iter()
                .map(|layer| layer.diff_id.to_string())
                .collect(),
            kind: "layers",
        },
        history: layers.iter().map(history).collect(),
    };
    Ok(json::to_python_text(&config)?)
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
    Ok(json::to_python_text(&[Manifest {
        config,
        repo_tags,
        layers,
    }])?)
}

/// The image's `config` with what it takes over from its base under its own.
fn own_config(image: &Image) -> Value {
    let Some(base) = &image.base else {
        return image.config.clone();
    };
    let mut config = image.config.clone();
    if config.is_null() {
        config = Value::Object(Map::new());
    }
    let Value::Object(fields) = &mut config else {
        return config;
    };
    let has_env = base.config.pointer("/config/Env").is_some() || fields.contains_key("Env");
    if base.inherit.contains(&Inherit::Env) && has_env {
        fields.insert("Env".to_owned(), env(base, fields));
    }
    let has_command = fields.contains_key("Cmd") || fields.contains_key("Entrypoint");
    for inherit in Inherit::ALL {
        let Some(of_base) = base.inherits(inherit) else {
            continue;
        };
        match inherit {
            Inherit::Env => {}
            Inherit::Labels | Inherit::Ports | Inherit::Volumes => {
                add_missing(fields, inherit.key(), of_base);
            }
            // An own entry point wants its own arguments.
            Inherit::Cmd if has_command => {}
            _ => {
                fields
                    .entry(inherit.key())
                    .or_insert_with(|| of_base.clone());
            }
        }
    }
    config
}

/// Environment variables, the base's and the own.
fn env(base: &BaseImage, fields: &Map<String, Value>) -> Value {
    let own: Vec<String> = match fields.get("Env") {
        Some(Value::Array(texts)) => texts
            .iter()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    merge_env(&base.env(), &own).into()
}

/// Adds entries of a map that are not there.
fn add_missing(fields: &mut Map<String, Value>, key: &str, of_base: &Value) {
    let own = fields
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    if let (Value::Object(own), Value::Object(of_base)) = (own, of_base) {
        for (name, value) in of_base {
            own.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
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
