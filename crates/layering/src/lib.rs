//! Which store paths go into which layer: planning alone, without files, sockets or threads.
//!
//! A [`Closure`] is the graph of store paths, a [`Request`] says what is wanted, and [`plan()`]
//! gives the [`Plan`].

mod auto;
mod closure;
mod cost;
mod dag;
mod diff;
mod dot;
mod graph;
mod history;
mod merge;
mod order;
mod pattern;
mod pipeline;
mod plan;
mod popularity;
mod risk;
mod source;
mod stable;
#[cfg(test)]
mod testing;
mod why;

use std::collections::BTreeSet;

use nix_compat::StorePath;
use petgraph::graph::NodeIndex;

pub use closure::{Closure, ClosureError};
pub use cost::{Compared, Cost, Costs, compare};
pub use diff::{Cause, Diff, LayerChange, PathChange, Pull};
pub use dot::dot;
pub use graph::PlanGraph;
pub use history::History;
pub use pattern::{EmptyPattern, LayerPattern};
pub use pipeline::{Pipeline, PipelineError, Problem};
pub use plan::{CheckError, ParsePlanError, Plan, PlannedLayer, Reason};
pub use why::why;

/// What is wanted of a plan.
#[derive(Debug, Clone)]
pub struct Request {
    /// How paths are put together.
    pub strategy: Strategy,
    /// The most layers that the store paths may take: those of a base image and of the image's
    /// root are not among them.
    pub max_store_layers: usize,
    /// Paths that get no layer, such as the derivations that only hold the closure together. They
    /// need not be in the closure.
    pub hidden: BTreeSet<StorePath>,
    /// The plan of the release before, for the stable strategy: what is in it and unchanged stays.
    pub previous: Option<Plan>,
    /// Layers that are asked for, for the stable strategy: in this order, the lowest first, with
    /// others below, between and above them.
    pub layers: Vec<LayerPattern>,
    /// Bytes of store paths that are worth a layer, for the stable strategy. It joins what is
    /// smaller, unless it would have to move what the plan before has.
    pub min_layer_size: u64,
}

impl Request {
    /// Asks for at most so many layers, and for nothing else.
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

/// About what one more request costs when an image is pulled, in bytes.
pub const MIN_LAYER_SIZE: u64 = 64 * 1024;

/// How paths are put together.
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
    /// below, and what the plan before has stays.
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
    /// Something is asked for that only the stable strategy does.
    #[error("layers of one's own choice need the strategy `stable`")]
    OnlyStable,
}

/// Plans the layers of a closure. The same closure and request give the same plan, in whatever
/// order the closure was listed.
///
/// # Errors
///
/// There are store paths, and the request allows no layer.
pub fn plan(closure: &Closure, request: &Request) -> Result<Plan, PlanError> {
    let hidden = |node: NodeIndex| request.hidden.contains(&closure.graph()[node].path);
    let shown: Vec<NodeIndex> = closure
        .graph()
        .node_indices()
        .filter(|&node| !hidden(node))
        .collect();
    let counted = !matches!(request.strategy, Strategy::Pipeline(_));
    if counted && request.max_store_layers == 0 && !shown.is_empty() {
        return Err(PlanError::NoLayers(shown.len()));
    }
    if !request.layers.is_empty() && request.strategy != Strategy::Stable {
        return Err(PlanError::OnlyStable);
    }
    Ok(match &request.strategy {
        Strategy::Popularity => {
            let mut single = popularity::order(closure, &[shown]);
            let single_most = request.max_store_layers.saturating_sub(1);
            let rest = single.split_off(single.len().min(single_most));
            let single = single.into_iter().map(|node| (vec![node], Reason::Popular));
            let rest = Some((rest, Reason::Rest)).filter(|(rest, _)| !rest.is_empty());
            Plan::new(closure, single.chain(rest))
        }
        Strategy::Auto => {
            let most = request.max_store_layers;
            Plan::new(closure, auto::layers(closure, most, hidden))
        }
        Strategy::Pipeline(pipeline) => {
            let layers = pipeline::layers(closure, pipeline, &shown)?;
            let layers = layers.into_iter().map(|nodes| (nodes, Reason::Pipeline));
            Plan::new(closure, layers)
        }
        Strategy::Stable => stable::plan(closure, request, &shown)?,
    })
}
