//! `stream-layered`: turns the closure of Nix store paths into container images.
//!
//! What is typed is read in [`args`]; [`input`] resolves it into a store, a closure and an image;
//! each command has a module of its own.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod carried_plan;
mod console;
mod diff;
mod image_input;
mod image_source;
mod input;
mod layer_memory;
mod load;
mod manual;
mod nix;
mod oci;
mod place;
mod plan;
mod progress;
mod push;
mod push_progress;
mod registries;
mod report;
mod result;
mod store;
mod strategy;
mod stream;
mod why;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

/// Wrong usage that only shows once files have been looked at; exit code 2, like clap's own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Stream(cli.stream)) {
        Command::Stream(args) => stream::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::page(),
        Command::Nix(step) => nix::run(&step),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(&error),
    }
}
