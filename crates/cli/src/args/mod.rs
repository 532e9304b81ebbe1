//! The command line as it is typed: texts and plain values. Nothing here reads a file or resolves
//! anything: `settings.rs` hands the values to the resolvers, which do not know clap.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls,
    reason = "doc comments of options are the text of --help"
)]

mod commands;
mod image;
pub mod mistyped;
mod parse;
mod push_name;
mod settings;

use std::num::NonZeroUsize;

use clap::{Parser, Subcommand};

pub use self::commands::{
    DiffArgs, DiffFormat, FormatArg, LoadArgs, LockArgs, NixStep, PlanArgs, PlanFormat, PushArgs,
    StreamArgs, WhyArgs,
};
pub use self::push_name::PushName;
pub use self::settings::annotations;

/// Turn the closure of Nix store paths into a layered, reproducible container image.
///
/// `stream-layered /nix/store/…-hello | docker load` loads an image that runs hello.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// The command; `stream` if there is none.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of `stream`.
    #[command(flatten)]
    pub stream: StreamArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the image to standard output (for `docker load`), to a file or to an OCI layout.
    Stream(StreamArgs),
    /// Show which store paths go into which layer.
    Plan(PlanArgs),
    /// Print a lock file: the plan of the layers and their digests, for the argument `lock` of the Nix
    /// functions.
    Lock(LockArgs),
    /// Show what a machine that has OLD downloads for NEW, and why.
    Diff(DiffArgs),
    /// Show why a store path is in the closure, and in which layer.
    Why(WhyArgs),
    /// Load the image into Docker, podman or containerd. Layers that the engine already has are
    /// skipped.
    Load(LoadArgs),
    /// Push the image to a registry. Layers that the registry already has are skipped.
    ///
    /// Prints REF@DIGEST. Uses the credentials of Docker and podman.
    Push(PushArgs),
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
    /// Print docs/options.md.
    #[command(hide = true)]
    OptionsPage,
    /// A step of the Nix side's derivations.
    #[command(subcommand, hide = true)]
    Nix(NixStep),
}

impl Command {
    /// `--jobs`, where the command has it and it was given.
    pub fn jobs(&self) -> Option<NonZeroUsize> {
        match self {
            Self::Stream(args) => args.jobs,
            Self::Lock(args) => args.jobs,
            Self::Load(args) => args.jobs,
            Self::Push(args) => args.jobs,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
