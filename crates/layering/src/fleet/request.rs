//! A fleet to be planned, and why it cannot be.

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::StorePath;

use super::fleet_plan::FleetPlan;
use crate::closure::{Closure, ClosureError};
use crate::plan::{CheckError, Plan};
use crate::request::MIN_LAYER_SIZE;

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

    /// Checks a plan of the fleet: each path of each image is in exactly one of its layers.
    ///
    /// # Errors
    ///
    /// The first image with a rule that its plan breaks.
    pub fn check(&self, plan: &FleetPlan) -> Result<(), (String, CheckError)> {
        let nothing = Plan {
            layers: Vec::new(),
            history: None,
            graph: None,
        };
        for (name, image) in &self.images {
            let plan = plan.images.get(name).unwrap_or(&nothing);
            let checked = plan.check(&image.closure, &image.hidden);
            checked.map_err(|error| (name.clone(), error))?;
        }
        Ok(())
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
