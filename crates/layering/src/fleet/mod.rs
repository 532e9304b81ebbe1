//! Fleets: several images planned together, so that what they share is in the same layers, stored and
//! pulled once.
//!
//! 1. The closures of all images are one graph ([`union`]); each path has the set of images that need
//!    it ([`members`]).
//! 2. An image whose paths did not change keeps its plan. The others take the layers of the previous
//!    plans that they still need, whichever image had them ([`anchor`]).
//! 3. The other paths are joined into layers, those that the same images need first ([`share`]). A
//!    path is in layers of two kinds only where an image would have too many layers otherwise.
//! 4. Images that share layers have them in the same order from the bottom, as far as that goes: a
//!    tree of chains ([`chains`]).

mod anchor;
mod chains;
mod costs;
mod fleet_plan;
mod members;
mod planner;
mod share;
mod union;

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::StorePath;

use crate::closure::{Closure, ClosureError};
use crate::request::MIN_LAYER_SIZE;

pub use costs::FleetCosts;
pub use fleet_plan::{FleetPlan, ParseFleetPlanError};
pub use planner::{plan_each, plan_fleet};

/// Several images that are planned together.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The images by name.
    pub images: BTreeMap<String, FleetImage>,
    /// The plan of the previous release. Plans of other names than those of the images are known
    /// layers, which an image may take.
    pub previous: Option<FleetPlan>,
    /// Bytes of store paths that are worth a layer. What is smaller is joined with what the same
    /// images need.
    pub min_layer_size: u64,
}

impl Fleet {
    /// A fleet of these images, without a previous release.
    pub fn new(images: BTreeMap<String, FleetImage>) -> Self {
        Self {
            images,
            previous: None,
            min_layer_size: MIN_LAYER_SIZE,
        }
    }
}

/// One image of a fleet.
#[derive(Debug, Clone)]
pub struct FleetImage {
    /// Its closure.
    pub closure: Closure,
    /// Paths of the closure that get no layer.
    pub hidden: BTreeSet<StorePath>,
    /// The most layers that its store paths may take.
    pub max_store_layers: usize,
}

/// Why there is no plan for a fleet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// An image has store paths, and no layer may hold them.
    #[error("image {image}: no layer is left for {paths} store paths; allow more layers")]
    NoLayers {
        /// The image's name.
        image: String,
        /// How many store paths it has.
        paths: usize,
    },
    /// Two images say different things of a path.
    #[error("the images do not fit together: {0}")]
    Closure(#[from] ClosureError),
}

#[cfg(test)]
mod tests;
