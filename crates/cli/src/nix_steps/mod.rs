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

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

/// The steps.
#[derive(Debug, Subcommand)]
pub enum Step {
    /// Links the files of `contents` into a directory, which becomes the image's root.
    Link {
        /// The directory, which is made.
        directory: PathBuf,
    },
    /// Writes the layer of the image's root.
    RootLayer {
        /// The root as other steps made it; without, it is linked from `contents`.
        directory: Option<PathBuf>,
        /// What `fakeroot -s` has saved.
        #[arg(long)]
        fakeroot_state: Option<PathBuf>,
    },
    /// Prints the closure as `nix-store --load-db` reads it.
    Registration,
    /// Writes which store paths go into which layer, as nixpkgs' planners do.
    Plan,
    /// Writes the digests of the layers.
    Digests,
    /// Writes the image's configuration.
    Conf,
    /// Writes a script that runs stream-layered.
    Script,
    /// Writes a text.
    Text,
}

/// Runs a step.
pub fn run(step: &Step) -> Result<()> {
    match step {
        Step::Link { directory } => link::run(directory),
        Step::RootLayer {
            directory,
            fakeroot_state,
        } => root_layer::run(directory.as_deref(), fakeroot_state.as_deref()),
        Step::Registration => registration::run(),
        Step::Plan => plan::run(),
        Step::Digests => digests::run(),
        Step::Conf => image_json::run(),
        Step::Script => script::run(),
        Step::Text => text::run(),
    }
}
