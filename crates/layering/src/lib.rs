//! Which store paths go into which layer: planning alone, without files and sockets.
//!
//! Where many candidates are weighed, rayon's threads share them. A plan is the same for any number
//! of threads, of which there are as many as in the pool that the caller is in.
//!
//! A [`Closure`] is the graph of store paths, a [`Request`] says what is wanted, and [`plan()`]
//! gives the [`Plan`].

mod asked;
mod auto;
mod closure;
mod cost;
mod dag;
mod derivation_name;
mod diff;
mod dot;
mod fleet;
mod history;
mod merge;
mod order;
mod pattern;
mod pipeline;
mod plan;
mod plan_graph;
mod plan_text;
mod planning;
mod popularity;
mod request;
mod risk;
mod stable;
#[cfg(test)]
mod testing;
mod why;

pub use closure::{Closure, ClosureError};
pub use cost::{Compared, Cost, Costs, compare};
pub use diff::{Diff, LayerChange, PathChange, Pull};
pub use dot::dot;
pub use fleet::{
    Fleet, FleetCosts, FleetDiff, FleetError, FleetImage, FleetPlan, ImageDiff, PackageChange,
    ParseFleetPlanError, SharedLayer, layers_with, plan_each, plan_fleet,
};
pub use history::History;
pub use pattern::{LayerPattern, ParsePatternError};
pub use pipeline::{Pipeline, PipelineError, Problem};
pub use plan::{CheckError, ParsePlanError, Plan, PlannedLayer, Reason};
pub use plan_graph::PlanGraph;
pub use plan_text::PREFIX as PLAN_TEXT_PREFIX;
pub use planning::plan;
pub use request::{MIN_LAYER_SIZE, PlanError, Request, Strategy};
pub use why::why;
