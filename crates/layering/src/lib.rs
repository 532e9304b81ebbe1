//! Which store paths go into which layer: planning alone, without files, sockets or threads.
//!
//! A [`Closure`] is the graph of store paths, a [`Request`] says what is wanted, and [`plan()`]
//! gives the [`Plan`].

mod auto;
mod closure;
mod dag;
mod plan;
mod popularity;
#[cfg(test)]
mod testing;

use std::collections::BTreeSet;

use nix_compat::StorePath;
use petgraph::graph::NodeIndex;

pub use closure::{Closure, ClosureError};
pub use plan::{CheckError, ParsePlanError, Plan, PlannedLayer, Reason};

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
}

/// How paths are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// nixpkgs' until 25.05: the most popular paths get a layer each.
    Popularity,
    /// nixpkgs' since 25.11: large paths get a layer each, with what they alone need.
    Auto,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There are store paths, and no layer may hold them.
    #[error("no layer is left for {0} store paths; allow more layers")]
    NoLayers(usize),
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
    if request.max_store_layers == 0 && !shown.is_empty() {
        return Err(PlanError::NoLayers(shown.len()));
    }
    Ok(match request.strategy {
        Strategy::Popularity => {
            let mut single = popularity::order(closure, &shown);
            let rest = single.split_off(single.len().min(request.max_store_layers - 1));
            let single = single.into_iter().map(|node| (vec![node], Reason::Popular));
            let rest = Some((rest, Reason::Rest)).filter(|(rest, _)| !rest.is_empty());
            Plan::new(closure, single.chain(rest))
        }
        Strategy::Auto => Plan::new(
            closure,
            auto::layers(closure, request.max_store_layers, hidden),
        ),
    })
}
