//! The plan of the layers of several images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use layering::{Closure, Fleet, FleetImage, FleetPlan, Strategy, plan_fleet};
use serde::Deserialize;
use serde_json::{Value, json};
use stores::{Graph, LocalStore};

use super::attributes::{self, Attributes};
use super::plan::{layers_of_base, release};
use crate::resolve::fleet_plan_source;
use crate::resolve::plan_request::LayerRules;

/// The attributes that affect the plan.
#[derive(Debug, Deserialize)]
struct FleetAttributes {
    images: BTreeMap<String, ImageAttributes>,
    /// The plan of the fleet before.
    previous: Option<PathBuf>,
}

/// One image of the fleet.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageAttributes {
    /// The attribute that has its closure.
    graph: String,
    /// Paths that are in no layer.
    exclude: Value,
    max_layers: usize,
    from_image: Option<PathBuf>,
    previous: Option<PathBuf>,
    lock: Option<PathBuf>,
}

/// Writes the plan of the fleet.
pub fn run() -> Result<()> {
    let attributes: Attributes<FleetAttributes> = attributes::read()?;
    let all: Value = serde_json::from_slice(&attributes.text)?;
    let FleetAttributes { images, previous } = attributes.values;
    let mut plans = previous
        .map(|file| fleet_plan_source::read(&file).context("previous"))
        .transpose()?
        .unwrap_or_default();
    let mut members = BTreeMap::new();
    for (name, image) in images {
        let context = || format!("image {name}");
        let member = member(&image, &all).with_context(context)?;
        let before = release(image.lock.as_deref(), image.previous.as_deref());
        if let Some(release) = before.with_context(context)? {
            plans.images.insert(name.clone(), release.plan);
        }
        members.insert(name, member);
    }
    let fleet = Fleet {
        previous: Some(plans).filter(|plans| *plans != FleetPlan::default()),
        ..Fleet::new(members)
    };
    let plan = plan_fleet(&fleet)?;
    attributes::write(&attributes.out, serde_json::to_string_pretty(&plan)? + "\n")
}

fn member(image: &ImageAttributes, all: &Value) -> Result<FleetImage> {
    let store = LocalStore::below(Path::new("/"));
    let text = json!({ "graph": all[&image.graph], "exclude_paths": image.exclude });
    let graph = Graph::parse(
        store.store_dir(),
        text.to_string().as_bytes(),
        store.files(),
    )
    .context("the derivation's exportReferencesGraph")?;
    let base_layers = match &image.from_image {
        Some(file) => layers_of_base(file)?,
        None => 0,
    };
    let rules = LayerRules::new(Strategy::Stable, image.max_layers);
    let request = rules
        .request(graph.exclude, base_layers)
        .map_err(|error| anyhow!(error.text("maxLayers = ", "fromImage")))?;
    Ok(FleetImage {
        closure: Closure::new(graph.paths).context("the closure is incomplete")?,
        hidden: request.hidden,
        max_store_layers: request.max_store_layers,
    })
}
