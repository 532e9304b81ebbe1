//! The configuration of an image: nixpkgs' `conf.json` with its keys in the same order, and the
//! digests of the layers if the build has computed them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::timestamp::Timestamp;
use layering::Plan;
use nix_compat::{StoreDir, StorePath};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::attributes::{self, Attributes};
use super::digests::{self, DigestText, FileAttributes, KnownLayer};
use crate::input::read_input;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfAttributes {
    image_name: String,
    tag: Option<String>,
    created: String,
    from_image: Option<PathBuf>,
    base_json: PathBuf,
    customisation_layer: String,
    layers_json_file: PathBuf,
    layer_digests: Option<PathBuf>,
    annotations: Map<String, Value>,
    #[serde(rename = "store_dir")]
    store_dir: String,
}

#[derive(Deserialize)]
struct Base {
    architecture: Value,
    config: Value,
    os: Value,
}

/// Writes the configuration.
pub fn run() -> Result<()> {
    let attributes: Attributes<ConfAttributes> = attributes::read()?;
    let out = &attributes.out;
    let values = attributes.values;
    let files = attributes::read::<FileAttributes>()?.values;
    let base: Base = from_file(&values.base_json)?;
    let plan = Plan::from_value(from_file(&values.layers_json_file)?)
        .with_context(|| values.layers_json_file.display().to_string())?;
    let layers = plan.layers.iter().map(|layer| texts(&layer.paths));
    let layers: Vec<Vec<String>> = layers.collect();
    let digests = match &values.layer_digests {
        Some(file) => Some(layer_digests(&values, &layers, from_file(file)?, &files)?),
        None => None,
    };
    let tag = match values.tag {
        Some(tag) => tag,
        None => hash_part(out)?,
    };
    let mut conf = json!({
        "architecture": base.architecture,
        "config": base.config,
        "os": base.os,
        "store_dir": values.store_dir,
        "from_image": values.from_image,
        "store_layers": layers,
        "customisation_layer": values.customisation_layer,
        "repo_tag": format!("{}:{tag}", values.image_name),
        "created": normal("created", &values.created)?,
        "mtime": normal("mtime", &files.mtime)?,
        "uid": files.uid.to_string(),
        "gid": files.gid.to_string(),
        "uname": files.uname,
        "gname": files.gname,
    });
    if let Some(digests) = digests {
        conf["store_layer_digests"] = serde_json::to_value(digests)?;
    }
    if let Some(text) = plan.to_text() {
        conf["plan_text"] = text.into();
    }
    if !values.annotations.is_empty() {
        conf["annotations"] = values.annotations.into();
    }
    attributes::write(out, serde_json::to_string_pretty(&conf)? + "\n")
}

fn texts(paths: &[StorePath]) -> Vec<String> {
    paths.iter().map(|path| path.as_str().to_owned()).collect()
}

fn from_file<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let context = || format!("cannot read {}", file.display());
    serde_json::from_slice(&read_input(file)?).with_context(context)
}

/// The digests of `layers`. Most are known from the derivation `digests`, which depends on the store
/// paths that the configuration mentions, and on nothing else of it. So it plans without the
/// configuration's own size, and can come to another plan: the digests of the layers that it lacks
/// are computed here.
fn layer_digests(
    values: &ConfAttributes,
    layers: &[Vec<String>],
    known: Vec<KnownLayer>,
    files: &FileAttributes,
) -> Result<Vec<DigestText>> {
    let store_dir = StoreDir::new(&values.store_dir)?;
    let mut known: BTreeMap<Vec<String>, DigestText> = known
        .into_iter()
        .map(|layer| (layer.paths, layer.digest))
        .collect();
    let unknown = layers.iter().filter(|layer| !known.contains_key(*layer));
    let unknown: Vec<Vec<String>> = unknown.cloned().collect();
    let parse = |layer: &Vec<String>| layer.iter().map(|path| store_dir.parse(path)).collect();
    let paths: Vec<Vec<StorePath>> = unknown.iter().map(parse).collect::<Result<_, _>>()?;
    known.extend(
        unknown
            .into_iter()
            .zip(digests::hash(&paths, &files.rules()?)?),
    );
    let found = layers.iter().map(|layer| known.get(layer).cloned());
    found
        .collect::<Option<_>>()
        .context("a layer has no digest")
}

/// `now` stays, since it means the time when the image is written. Other times get one form.
fn normal(name: &'static str, text: &str) -> Result<String> {
    if text == "now" {
        return Ok(text.to_owned());
    }
    let time = Timestamp::parse(text, Timestamp::NIX).context(name)?;
    Ok(time.in_utc().python_text())
}

/// The hash in the name of a store path.
fn hash_part(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let (hash, _) = name
        .and_then(|name| name.split_once('-'))
        .with_context(|| format!("{} is no store path", path.display()))?;
    Ok(hash.to_owned())
}
