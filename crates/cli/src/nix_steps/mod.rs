//! The steps of the Nix side's derivations: each is the builder of one (see `nix/steps.nix`), takes
//! what it is about from the derivation's structured attributes, and writes the derivation's output.

mod attributes;
mod digests;
mod image_json;
mod link;
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
        NixStep::Digests => digests::run(),
        NixStep::Conf => image_json::run(),
        NixStep::Script => script::run(),
        NixStep::Text => text::run(),
    }
}
