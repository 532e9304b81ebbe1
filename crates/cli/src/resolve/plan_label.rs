//! The plan that an image carries, so that the next release can be planned after the image alone.
//!
//! Which store paths are in which layer is in the `history` of every image that this program or
//! nixpkgs made, one comment for each layer. The rest of a plan is in a label, if the plan has a
//! history of changes.

use anyhow::{Result, ensure};
use image::base::BaseImage;
use layering::{History, Plan, PlanGraph, Reason};
use nix_compat::StoreDir;
use serde_json::{Value, json};

/// The label: the JSON of a plan without its layers.
pub const LABEL: &str = "io.github.stream-layered.plan";

/// Longest label, in bytes. A longer one leaves out the graph, which only explains differences.
const MAX_LABEL: usize = 64 * 1024;

/// The label for an image with this plan; none if the plan has no history.
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
    add_label(&mut plan, image.config.pointer("/config/Labels"));
    Ok(plan)
}

/// Adds to a plan what the label among an image's `labels` says. Parts that do not fit the plan's
/// layers are left out: the label may be that of the base image, which the image has inherited.
pub fn add_label(plan: &mut Plan, labels: Option<&Value>) {
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
