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
mod diff;
mod fleet_plan;
mod members;
mod planner;
mod request;
mod share;
mod union;
mod why;

pub use costs::FleetCosts;
pub use diff::{FleetDiff, ImageDiff, PackageChange};
pub use fleet_plan::{FleetPlan, ParseFleetPlanError};
pub use planner::{plan_each, plan_fleet};
pub use request::{Fleet, FleetError, FleetImage};
pub use why::{SharedLayer, layers_with};

#[cfg(test)]
mod tests;
