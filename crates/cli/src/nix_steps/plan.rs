//! Which store paths go into which layer.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::base::BaseImage;
use layering::{Closure, Pipeline, Plan, Request, Strategy};
use serde::Deserialize;
use serde_json::Value;
use stores::{Graph, LocalStore};

use super::attributes::{self, Attributes};
use crate::args::{DEFAULT_STRATEGY, RegistryArgs};
use crate::output::console::say;
use crate::platform;
use crate::resolve::plan_label::{self, PlanSource};
use crate::resolve::strategy;

/// What says how to plan.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanAttributes {
    max_layers: usize,
    from_image: Option<PathBuf>,
    strategy: Option<String>,
    layering_pipeline: Option<Value>,
    previous: Option<PathBuf>,
    #[serde(default)]
    debug: bool,
}

/// Writes the list of lists of paths; for the strategy `stable`, the plan.
pub fn run() -> Result<()> {
    let attributes: Attributes<PlanAttributes> = attributes::read()?;
    let plan = plan(&attributes.values, &attributes.text)?;
    if attributes.values.debug {
        say!("{}", crate::output::plan_table::for_log(&plan).trim_end());
    }
    let value = match plan.history {
        None => plan.to_layers_json(),
        // The image is to carry what the next plan needs.
        Some(_) => serde_json::to_value(&plan)?,
    };
    let text = serde_json::to_string_pretty(&value)? + "\n";
    attributes::write(&attributes.out, text)
}

/// Plans the closure that a derivation's attributes hold.
pub fn plan(attributes: &PlanAttributes, text: &[u8]) -> Result<Plan> {
    let store = LocalStore::below(Path::new("/"));
    let graph = Graph::parse(store.store_dir(), text, store.files())
        .context("the derivation's exportReferencesGraph.graph")?;
    let closure = Closure::new(graph.paths).context("the closure is not whole")?;
    let strategy = strategy(attributes)?;
    let is_pipeline = matches!(strategy, Strategy::Pipeline(_));
    // nixpkgs, too, counts no layers of a pipeline.
    let max_store_layers = if is_pipeline {
        0
    } else {
        store_layers(attributes)?
    };
    let request = Request {
        hidden: graph.exclude,
        previous: attributes.previous.clone().map(previous).transpose()?,
        ..Request::new(strategy, max_store_layers)
    };
    let plan = layering::plan(&closure, &request)?;
    if !is_pipeline {
        // A pipeline may leave paths out.
        plan.check(&closure, &request.hidden)?;
    }
    Ok(plan)
}

/// The plan of the release before, from a file or a directory.
fn previous(file: PathBuf) -> Result<Plan> {
    let registry = RegistryArgs {
        plain_http: false,
        ca_file: Vec::new(),
    };
    let source = PlanSource::from(file);
    let architecture = platform::architecture(None)?;
    plan_label::open(&source, &registry, &architecture)
        .with_context(|| format!("previous = {source}"))
}

/// `layeringPipeline` as a list, or as a file that holds it; else `strategy`.
fn strategy(attributes: &PlanAttributes) -> Result<Strategy> {
    match &attributes.layering_pipeline {
        None => strategy::named(attributes.strategy.as_deref().unwrap_or(DEFAULT_STRATEGY)),
        Some(Value::String(file)) => strategy::pipeline_file(file),
        Some(list) => Ok(Strategy::Pipeline(Pipeline::from_json(&list.to_string())?)),
    }
}

/// The layers that the base image and the image's root leave.
fn store_layers(attributes: &PlanAttributes) -> Result<usize> {
    let base = attributes.from_image.as_deref().map(BaseImage::open);
    let of_base = base.transpose()?.map_or(0, |base| base.layers.len());
    let max = attributes.max_layers;
    ensure!(
        max > of_base + 1,
        "maxLayers = {max}: {of_base} layers of fromImage and 1 of the image's root leave none for store paths; allow \
         {} or more",
        of_base + 2
    );
    Ok(max - of_base - 1)
}
