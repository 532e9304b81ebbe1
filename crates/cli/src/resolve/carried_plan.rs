//! The plan that an image carries, so that the next release can be planned after the image alone.
//!
//! Which store paths are in which layer is in the `history` of every image that stream-layered or
//! nixpkgs made, one comment for each layer. The rest of a plan is a short text (see
//! [`Plan::to_text`]) in the entry of the root's layer, under `created_by`, if the plan has a history of
//! changes. Images of version 0.1 have it as JSON in a label instead, which containerd refuses to run
//! where it is long.

use anyhow::{Result, ensure};
use image::base::BaseImage;
use layering::{History, PLAN_TEXT_PREFIX, Plan, PlanGraph, Reason};
use nix_compat::StoreDir;
use serde_json::{Value, json};

/// The label that images of version 0.1 have: the JSON of a plan without its layers.
const LABEL: &str = "io.github.stream-layered.plan";

/// The plan of an image.
///
/// # Errors
///
/// The image does not say which store paths are in its layers.
pub fn of_image(image: &BaseImage) -> Result<Plan> {
    let entries = image.config.get("history").and_then(Value::as_array);
    let is_layer = |entry: &&Value| entry.get("empty_layer") != Some(&Value::Bool(true));
    let entries: Vec<&Value> = entries.into_iter().flatten().filter(is_layer).collect();
    let mut layers = Vec::new();
    for (entry, layer) in entries.iter().zip(&image.layers) {
        if let Some(paths) = store_paths(entry) {
            let size = image.contents_of(layer).copied_size().unwrap_or_default();
            layers.push(json!({ "paths": paths, "size": size }));
        }
    }
    ensure!(
        !layers.is_empty(),
        "the image does not say which store paths are in its layers; give an image that stream-layered or nixpkgs \
         made, or a plan"
    );
    let mut plan = Plan::from_value(json!({ "layers": layers }))?;
    let texts = entries
        .iter()
        .filter_map(|entry| entry.get("created_by")?.as_str());
    let text = texts.rev().find(|text| text.starts_with(PLAN_TEXT_PREFIX));
    let config = image.config.get("config").unwrap_or(&Value::Null);
    add(&mut plan, text, config);
    Ok(plan)
}

/// Adds to a plan what an image's plan text says, or else the label in its `config`.
pub fn add(plan: &mut Plan, text: Option<&str>, config: &Value) {
    match text {
        Some(text) => plan.add_text(text),
        None => add_label(plan, config.get("Labels")),
    }
}

/// Adds to a plan what the label among an image's `labels` says. Parts that do not fit the plan's
/// layers are left out: the label may be that of the base image, which the image has inherited.
fn add_label(plan: &mut Plan, labels: Option<&Value>) {
    let Some(label) = labels.and_then(parse) else {
        return;
    };
    let list = |key: &str| {
        let list = label.get(key).and_then(Value::as_array);
        list.filter(|list| list.len() == plan.layers.len())
    };
    let (reasons, chances) = (list("reasons").cloned(), list("chances").cloned());
    for (layer, reason) in plan.layers.iter_mut().zip(reasons.iter().flatten()) {
        if let Some(text) = reason.as_str() {
            layer.reason = Reason::parse(text);
        }
    }
    for (layer, chance) in plan.layers.iter_mut().zip(chances.iter().flatten()) {
        layer.chance_per_mille = chance.as_u64().and_then(|chance| chance.try_into().ok());
    }
    plan.history = label.get("history").and_then(History::from_json);
    if plan.graph.is_none() {
        let paths = plan.paths().count();
        plan.graph = label
            .get("graph")
            .and_then(|graph| PlanGraph::from_json(graph, paths));
    }
}

fn parse(labels: &Value) -> Option<Value> {
    serde_json::from_str(labels.get(LABEL)?.as_str()?).ok()
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
