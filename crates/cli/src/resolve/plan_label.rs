//! The plan that an image carries, so that the next release can be planned after the image alone.
//!
//! Which store paths are in which layer is in the `history` of every image that this program or
//! nixpkgs made, a comment a layer. What else a plan knows is in a label, where the plan has
//! something to remember.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use image::base::BaseImage;
use layering::Plan;
use nix_compat::StoreDir;
use oci::ReferenceError;
use serde_json::{Map, Value, json};

use crate::args::RegistryArgs;
use crate::files;
use crate::resolve::source::ImageSource;

/// The label: the JSON of a plan without its layers.
pub const LABEL: &str = "io.github.stream-layered.plan";

/// Longest label, in bytes; a longer one leaves out what only people want to know.
const MAX_LABEL: usize = 64 * 1024;

/// Where a plan is: a file that holds one, or an image that carries one.
#[derive(Debug, Clone)]
pub struct PlanSource {
    text: String,
    image: ImageSource,
}

impl FromStr for PlanSource {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            text: text.to_owned(),
            image: text.parse()?,
        })
    }
}

impl fmt::Display for PlanSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<PathBuf> for PlanSource {
    fn from(file: PathBuf) -> Self {
        Self {
            text: file.display().to_string(),
            image: ImageSource::Archive(file),
        }
    }
}

/// Reads a plan; of an image for several platforms, that of `architecture`.
pub fn open(source: &PlanSource, registry: &RegistryArgs, architecture: &str) -> Result<Plan> {
    match &source.image {
        ImageSource::Archive(file) if is_plan(file)? => {
            let text = String::from_utf8(files::read_input(file)?).context("no UTF-8 text")?;
            Ok(Plan::from_json(&text)?)
        }
        // What `skopeo copy dir oci:` and `stream --format oci` write.
        ImageSource::Archive(file) if file.is_dir() => {
            let layout = ImageSource::Layout(PathBuf::from(file), None);
            of_image(&layout.open(registry, architecture)?)
        }
        image => of_image(&image.open(registry, architecture)?),
    }
}

/// The label for an image with this plan; none where the plan remembers nothing.
pub fn label(plan: &Plan) -> Result<Option<String>> {
    if plan.history.is_none() || plan.layers.is_empty() {
        return Ok(None);
    }
    let reasons = plan.layers.iter().map(|layer| layer.reason.to_string());
    let chances = plan.layers.iter().map(|layer| layer.chance_per_mille);
    let mut label = json!({
        "history": plan.history,
        "reasons": reasons.collect::<Vec<_>>(),
        "chances": chances.collect::<Vec<_>>(),
        "graph": plan.graph,
    });
    let text = serde_json::to_string(&label)?;
    if text.len() <= MAX_LABEL {
        return Ok(Some(text));
    }
    label["graph"].take();
    Ok(Some(serde_json::to_string(&label)?))
}

/// Plans are JSON, which images are not. Standard input is a plan.
fn is_plan(file: &Path) -> Result<bool> {
    if file == Path::new("-") {
        return Ok(true);
    }
    if file.is_dir() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let open = File::open(file).and_then(|open| open.take(64).read_to_end(&mut start));
    open.with_context(|| format!("cannot read {}", file.display()))?;
    let first = start.trim_ascii_start().first();
    Ok(matches!(first, Some(b'{' | b'[')))
}

/// The plan of an image.
fn of_image(image: &BaseImage) -> Result<Plan> {
    let entries = image.config.get("history").and_then(Value::as_array);
    let is_layer = |entry: &&Value| entry.get("empty_layer") != Some(&Value::Bool(true));
    let entries: Vec<&Value> = entries.into_iter().flatten().filter(is_layer).collect();
    let mut layers = Vec::new();
    for (entry, layer) in entries.iter().zip(&image.layers) {
        if let Some(paths) = store_paths(entry) {
            let blob = layer.blob().map(|blob| blob.size);
            let size = blob.unwrap_or_else(|| image.contents_of(layer).size());
            layers.push(json!({ "paths": paths, "size": size }));
        }
    }
    ensure!(
        !layers.is_empty(),
        "the image does not tell which store paths are in its layers; give one that this program or nixpkgs made, \
         or a plan"
    );
    of_layers(layers, image.config.pointer("/config/Labels"))
}

/// The plan of layers with `paths` and a `size`, and of what an image's labels say of them.
pub fn of_layers(mut layers: Vec<Value>, labels: Option<&Value>) -> Result<Plan> {
    let Some(mut label) = labels.and_then(carried) else {
        return Ok(Plan::from_value(json!({ "layers": layers }))?);
    };
    for (key, name) in [("reasons", "reason"), ("chances", "chancePerMille")] {
        let Some(Value::Array(values)) = label.remove(key) else {
            continue;
        };
        let fits = values.len() == layers.len();
        for (layer, value) in layers.iter_mut().zip(values).filter(|_| fits) {
            if !value.is_null() {
                layer[name] = value;
            }
        }
    }
    label.insert("layers".to_owned(), layers.into());
    label.retain(|_, value| !value.is_null());
    if let Ok(plan) = Plan::from_value(label.clone().into()) {
        return Ok(plan);
    }
    // The label may be that of an image that this one stands on.
    label.remove("graph");
    Ok(Plan::from_value(label.into())?)
}

fn carried(labels: &Value) -> Option<Map<String, Value>> {
    let text = labels.get(LABEL)?.as_str()?;
    serde_json::from_str(text).ok()
}

/// The store paths that a comment names; none where it names others, or the image's own files.
fn store_paths(entry: &Value) -> Option<Vec<&str>> {
    let comment = entry.get("comment")?.as_str()?;
    let list = comment.strip_prefix("store paths: [")?.strip_suffix(']')?;
    let texts = list.split(", ").map(|text| {
        let text = text.strip_prefix('\'')?.strip_suffix('\'')?;
        let (store_dir, base_name) = text.rsplit_once('/')?;
        let path = StoreDir::new(store_dir).ok()?.parse_base_name(base_name);
        path.ok().map(|_| text)
    });
    let texts = texts.collect::<Option<Vec<_>>>()?;
    let is_own = texts
        .iter()
        .any(|text| text.ends_with("-customisation-layer"));
    (!is_own).then_some(texts)
}
