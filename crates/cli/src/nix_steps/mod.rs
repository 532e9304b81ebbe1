//! The steps of the Nix side's derivations. Each is the builder of one derivation (see
//! `nix/steps.nix`): it reads the derivation's structured attributes and writes its output.

mod attributes;
mod budget;
mod digests;
mod fleet_plan;
mod image_json;
mod link;
mod lock_check;
mod ownership;
mod plan;
mod registration;
mod root_layer;
mod script;
mod text;

use anyhow::Result;

use crate::args::NixStep;

/// Runs a step.
pub fn run(step: &NixStep) -> Result<()> {
    match step {
        NixStep::Link { directory } => link::run(directory),
        NixStep::RootLayer {
            directory,
            fakeroot_state,
        } => root_layer::run(directory.as_deref(), fakeroot_state.as_deref()),
        NixStep::Registration => registration::run(),
        NixStep::Plan => plan::run(),
        NixStep::FleetPlan => fleet_plan::run(),
        NixStep::Digests => digests::run(),
        NixStep::LockCheck => lock_check::run(),
        NixStep::Budget => budget::run(),
        NixStep::Conf => image_json::run(),
        NixStep::Script => script::run(),
        NixStep::Text => text::run(),
    }
}
