//! The plan of the image's layers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use image::base::BaseImage;
use layering::{Closure, Pipeline, Plan, Strategy};
use nix_compat::StorePath;
use serde::Deserialize;
use serde_json::Value;
use stores::{Graph, LocalStore};

use super::attributes::{self, Attributes};
use crate::output::console::say;
use crate::output::plan_table;
use crate::platform;
use crate::resolve::fleet_plan_source;
use crate::resolve::plan_request::{self, DEFAULT_STRATEGY, LayerRules};
use crate::resolve::plan_source::PlanSource;
use crate::resolve::registry_client::RegistrySettings;
use crate::resolve::release::Release;

/// The attributes that affect the plan.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanAttributes {
    max_layers: usize,
    from_image: Option<PathBuf>,
    strategy: Option<String>,
    layering_pipeline: Option<Value>,
    previous: Option<PathBuf>,
    lock: Option<PathBuf>,
    /// The plan of the fleet that the image belongs to.
    fleet_plan: Option<PathBuf>,
    /// The image's name in the fleet.
    fleet_image: Option<String>,
    #[serde(default)]
    debug: bool,
}

/// Writes the list of lists of paths, as nixpkgs' planners do; for the strategy `stable`, the whole
/// plan.
pub fn run() -> Result<()> {
    let attributes: Attributes<PlanAttributes> = attributes::read()?;
    let PlannedClosure { plan, .. } = plan(&attributes.values, &attributes.text)?;
    if attributes.values.debug {
        for line in plan_table::for_log(&plan).lines() {
            say!("{line}");
        }
    }
    let value = match plan.history {
        None => plan.to_layers_json(),
        // The image carries what the next plan needs.
        Some(_) => serde_json::to_value(&plan)?,
    };
    let text = serde_json::to_string_pretty(&value)? + "\n";
    attributes::write(&attributes.out, text)
}

/// A closure with the plan of its layers.
pub struct PlannedClosure {
    /// The closure.
    pub closure: Closure,
    /// The plan.
    pub plan: Plan,
    /// Paths that are in no layer.
    pub hidden: BTreeSet<StorePath>,
    /// The release that the plan was made after.
    pub release: Option<Release>,
}

/// Plans the closure in a derivation's attributes.
pub fn plan(attributes: &PlanAttributes, text: &[u8]) -> Result<PlannedClosure> {
    let store = LocalStore::below(Path::new("/"));
    let graph = Graph::parse(store.store_dir(), text, store.files())
        .context("the derivation's exportReferencesGraph.graph")?;
    let closure = Closure::new(graph.paths).context("the closure is incomplete")?;
    let release = release(attributes.lock.as_deref(), attributes.previous.as_deref())?;
    if let Some(file) = &attributes.fleet_plan {
        let fleet = fleet_plan_source::read(file)?;
        let plan = fleet_plan_source::plan_of(&fleet, attributes.fleet_image.as_deref())?;
        plan.check(&closure, &graph.exclude)?;
        return Ok(PlannedClosure {
            closure,
            plan,
            hidden: graph.exclude,
            release,
        });
    }
    let rules = LayerRules {
        previous: release.as_ref().map(|release| release.plan.clone()),
        ..LayerRules::new(strategy(attributes)?, attributes.max_layers)
    };
    let base_layers = match &attributes.from_image {
        Some(file) if rules.has_limit() => layers_of_base(file)?,
        _ => 0,
    };
    let request = rules
        .request(graph.exclude.clone(), base_layers)
        .map_err(|error| anyhow!(error.text("maxLayers = ", "fromImage")))?;
    Ok(PlannedClosure {
        plan: crate::resolve::plan::plan(&closure, &request)?,
        hidden: graph.exclude,
        closure,
        release,
    })
}

/// The number of a base image's layers.
pub fn layers_of_base(file: &Path) -> Result<usize> {
    let platform = platform::platform(None)?;
    Ok(BaseImage::open(file, None, &platform)?.layers.len())
}

/// The previous release, from a lock, or from a file or directory with an image or its plan.
pub fn release(lock: Option<&Path>, previous: Option<&Path>) -> Result<Option<Release>> {
    if let Some(file) = lock {
        return Release::of_lock(file).context("lock");
    }
    let Some(file) = previous else {
        return Ok(None);
    };
    let platform = platform::platform(None)?;
    let source = PlanSource::from(file.to_owned());
    let release = source.release(&RegistrySettings::default(), &platform);
    release.map(Some).context("previous")
}

/// The pipeline in `layeringPipeline`, a list or a file; else `strategy`.
fn strategy(attributes: &PlanAttributes) -> Result<Strategy> {
    match &attributes.layering_pipeline {
        None => plan_request::strategy(attributes.strategy.as_deref().unwrap_or(DEFAULT_STRATEGY)),
        Some(Value::String(file)) => plan_request::pipeline_file(file),
        Some(list) => Ok(Strategy::Pipeline(Pipeline::from_json(&list.to_string())?)),
    }
}
