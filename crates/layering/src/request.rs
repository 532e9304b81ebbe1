//! What a plan is asked to do, and why planning can fail.

use std::collections::BTreeSet;

use nix_compat::StorePath;

use crate::pattern::LayerPattern;
use crate::pipeline::{Pipeline, PipelineError};
use crate::plan::Plan;

/// What a plan is asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// How paths are grouped into layers.
    pub strategy: Strategy,
    /// The most layers that the store paths may take: those of a base image and of the image's
    /// root are not among them.
    pub max_store_layers: usize,
    /// Paths that get no layer, such as the derivations that only hold the closure together. They
    /// need not be in the closure.
    pub hidden: BTreeSet<StorePath>,
    /// The plan of the previous release, for the stable strategy: what is in it and unchanged stays.
    pub previous: Option<Plan>,
    /// Layers that are asked for, for the stable strategy: in this order, the lowest first, with
    /// others below, between and above them.
    pub layers: Vec<LayerPattern>,
    /// Bytes of store paths that are worth a layer, for the stable strategy. It joins what is
    /// smaller, unless it would have to move what the previous plan has.
    pub min_layer_size: u64,
}

impl Request {
    /// Asks for at most this many layers, and for nothing else.
    pub fn new(strategy: Strategy, max_store_layers: usize) -> Self {
        Self {
            strategy,
            max_store_layers,
            hidden: BTreeSet::new(),
            previous: None,
            layers: Vec::new(),
            min_layer_size: MIN_LAYER_SIZE,
        }
    }
}

/// Bytes that take about as long to pull as one more request.
pub const MIN_LAYER_SIZE: u64 = 64 * 1024;

/// How paths are grouped into layers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// nixpkgs' until 25.05: the most popular paths get a layer each.
    Popularity,
    /// nixpkgs' since 25.11: large paths get a layer each, with what they alone need.
    Auto,
    /// nixpkgs' `layeringPipeline`, which may leave paths out and counts no layers: the most that
    /// there may be plays no part.
    Pipeline(Pipeline),
    /// Layers that survive releases: what changes together is together, what changes seldom is
    /// below, and what the previous plan has stays.
    Stable,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There are store paths, and no layer may hold them.
    #[error("no layer is left for {0} store paths; allow more layers")]
    NoLayers(usize),
    /// A layer is asked for that would be empty.
    #[error("no store path is left for the layer `{0}`; `plan` shows the names that there are")]
    NothingMatches(String),
    /// More layers are asked for than there may be.
    #[error(
        "{needed} layers are needed for what is asked for and the rest, but only {most} are allowed"
    )]
    TooManyAsked {
        /// The layers asked for, and one for the rest if there is any.
        needed: usize,
        /// The most that there may be.
        most: usize,
    },
    /// A pipeline's operation cannot do its work.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The request asks for something that only the stable strategy does.
    #[error("layers of one's own choice need the strategy `stable`")]
    OnlyStable,
}
