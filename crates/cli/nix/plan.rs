//! Which store paths go into which layer.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum as _;
use image::base::BaseImage;
use layering::{Closure, Plan, Request};
use serde::Deserialize;
use serde_json::Value;
use sources::{Graph, LocalStore};

use super::attributes::{self, Attributes};
use crate::args::StrategyArg;

/// What says how to plan.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanAttributes {
    max_layers: usize,
    from_image: Option<PathBuf>,
    strategy: Option<String>,
    layering_pipeline: Option<Value>,
    #[serde(default)]
    debug: bool,
}

/// Writes the list of lists of paths.
pub fn run() -> Result<()> {
    let attributes: Attributes<PlanAttributes> = attributes::read()?;
    let plan = plan(&attributes.values, &attributes.text)?;
    if attributes.values.debug {
        eprint!("{}", crate::plan::table(&plan));
    }
    attributes::write(
        &attributes.out,
        serde_json::to_string_pretty(&plan.to_layers_json())? + "\n",
    )
}

/// Plans the closure that a derivation's attributes hold.
pub fn plan(attributes: &PlanAttributes, text: &[u8]) -> Result<Plan> {
    let store = LocalStore::below(Path::new("/"));
    let graph = Graph::parse(store.store_dir(), text, store.files())
        .context("the derivation's exportReferencesGraph.graph")?;
    let closure = Closure::new(graph.paths, None).context("the closure is not whole")?;
    ensure!(
        attributes.layering_pipeline.is_none(),
        "layeringPipeline is not known yet; give a `strategy`"
    );
    let name = attributes.strategy.as_deref().unwrap_or("auto");
    let request = Request {
        strategy: StrategyArg::from_str(name, false)
            .ok()
            .with_context(|| format!("strategy `{name}` is not known; give {}", strategies()))?
            .into(),
        max_store_layers: store_layers(attributes)?,
        hidden: graph.exclude,
    };
    let plan = layering::plan(&closure, &request)?;
    plan.check(&closure, &request.hidden)?;
    Ok(plan)
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

fn strategies() -> String {
    let names = StrategyArg::value_variants()
        .iter()
        .filter_map(clap::ValueEnum::to_possible_value);
    let names: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
    names.join(" or ")
}
