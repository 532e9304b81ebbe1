//! What is asked of a plan: the strategy, the number of layers and the previous plan.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use engine::LAYER_LIMITS;
use layering::{LayerPattern, MIN_LAYER_SIZE, Pipeline, Plan, Request, Strategy};
use nix_compat::StorePath;
use oci::Platform;

use crate::input;
use crate::resolve::fleet_plan_source::FleetPlanSource;
use crate::resolve::plan_source::PlanSource;
use crate::resolve::registry_client::RegistrySettings;
use crate::usage::UsageError;

/// The number of layers that nixpkgs allows by default.
pub const DEFAULT_MAX_LAYERS: usize = 100;

/// The strategy if none is given.
pub const DEFAULT_STRATEGY: &str = "stable";

/// The strategies that have names.
const NAMES: &str = "stable, auto, popularity";

/// How layers are made, as it was given.
#[derive(Debug, Clone)]
pub struct LayerSettings {
    /// The name of the strategy, or a file with a pipeline.
    pub strategy: String,
    /// Maximum number of layers of the whole image.
    pub max_layers: usize,
    /// The previous image or its plan; of a fleet, there may be several.
    pub previous: Vec<PlanSource>,
    /// The plan of a fleet that has this image's. With it, nothing else here counts.
    pub fleet_plan: Option<FleetPlanSource>,
    /// Paths that have a layer of their own.
    pub own: Vec<LayerPattern>,
    /// Minimum size of a layer, in bytes.
    pub min_layer_size: u64,
}

impl LayerSettings {
    /// Reads the strategy and the previous plan; of an image for several platforms, that for
    /// `platform`.
    ///
    /// # Errors
    ///
    /// One of them does not exist or cannot be read.
    pub fn resolve(&self, registry: &RegistrySettings, platform: &Platform) -> Result<LayerRules> {
        if self.previous.len() > 1 {
            let usage =
                "--previous names the one image or plan that came before; only a fleet has several";
            return Err(UsageError(usage.to_owned()).into());
        }
        let previous = self.previous.first().map(|source| {
            let plan = source.open(registry, platform);
            plan.context("--previous")
        });
        Ok(LayerRules {
            strategy: strategy(&self.strategy)?,
            max_layers: self.max_layers,
            previous: previous.transpose()?,
            own: self.own.clone(),
            min_layer_size: self.min_layer_size,
        })
    }
}

/// How layers are made.
#[derive(Debug)]
pub struct LayerRules {
    /// The strategy.
    pub strategy: Strategy,
    /// Maximum number of layers of the whole image.
    pub max_layers: usize,
    /// The plan of the previous image.
    pub previous: Option<Plan>,
    /// Paths that have a layer of their own.
    pub own: Vec<LayerPattern>,
    /// Minimum size of a layer, in bytes.
    pub min_layer_size: u64,
}

impl LayerRules {
    /// At most `max_layers` layers by `strategy`, and the defaults for all else.
    pub fn new(strategy: Strategy, max_layers: usize) -> Self {
        Self {
            strategy,
            max_layers,
            previous: None,
            own: Vec::new(),
            min_layer_size: MIN_LAYER_SIZE,
        }
    }

    /// Whether the number of layers is limited. A pipeline decides itself how many it makes; so it
    /// is in nixpkgs.
    pub fn has_limit(&self) -> bool {
        !matches!(self.strategy, Strategy::Pipeline(_))
    }

    /// The request for a plan of a closure that leaves out the `hidden` paths. Of the layers,
    /// `base_layers` belong to the base image and one to the image's root.
    ///
    /// # Errors
    ///
    /// No layer is left for store paths.
    pub fn request(
        self,
        hidden: BTreeSet<StorePath>,
        base_layers: usize,
    ) -> Result<Request, NoLayerLeft> {
        let max_store_layers = self.max_layers.saturating_sub(base_layers + 1);
        if max_store_layers == 0 && self.has_limit() {
            return Err(NoLayerLeft {
                max_layers: self.max_layers,
                base_layers,
            });
        }
        Ok(Request {
            hidden,
            previous: self.previous,
            layers: self.own,
            min_layer_size: self.min_layer_size,
            ..Request::new(self.strategy, max_store_layers)
        })
    }
}

/// The base image and the root take all layers.
#[derive(Debug, Clone, Copy)]
pub struct NoLayerLeft {
    max_layers: usize,
    base_layers: usize,
}

impl NoLayerLeft {
    /// The error's text, with the caller's names for the setting and the base image.
    pub fn text(&self, setting: &str, base: &str) -> String {
        let Self {
            max_layers,
            base_layers,
        } = self;
        let least = &(base_layers + 2);
        let docker = match LAYER_LIMITS.first() {
            Some(limit) if *least > limit.most => format!(" ({limit})"),
            _ => String::new(),
        };
        format!(
            "{setting}{max_layers}: {base_layers} layers of {base} and 1 of the image's root leave none for store \
             paths; allow {least} or more{docker}"
        )
    }
}

/// The strategy with this name, or the pipeline in this file.
///
/// # Errors
///
/// There is no such strategy, or the file holds no pipeline.
pub fn strategy(text: &str) -> Result<Strategy> {
    match text {
        "stable" => Ok(Strategy::Stable),
        "auto" => Ok(Strategy::Auto),
        "popularity" => Ok(Strategy::Popularity),
        _ if text.ends_with(".json") || Path::new(text).is_file() => pipeline_file(text),
        _ => {
            let usage = format!(
                "strategy `{text}` is not known; expected one of {NAMES}, or a file that ends in .json and holds a \
                 layeringPipeline"
            );
            Err(UsageError(usage).into())
        }
    }
}

/// The pipeline in a file.
///
/// # Errors
///
/// The file cannot be read, or holds no pipeline.
pub fn pipeline_file(file: &str) -> Result<Strategy> {
    let text = input::read_input(Path::new(file))?;
    let text = std::str::from_utf8(&text).with_context(|| format!("{file} is not UTF-8 text"))?;
    let pipeline = Pipeline::from_json(text).with_context(|| file.to_owned())?;
    Ok(Strategy::Pipeline(pipeline))
}
