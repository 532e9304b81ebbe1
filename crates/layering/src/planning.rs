//! Planning: a closure and a request give a plan, by the strategy that is asked for.

use petgraph::graph::NodeIndex;

use crate::closure::Closure;
use crate::plan::{Plan, Reason};
use crate::request::{PlanError, Request, Strategy};
use crate::{auto, pipeline, popularity, stable};

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
