//! `stream-layered`: turns the closure of Nix store paths into container images.
//!
//! What is typed is read in [`args`], resolved into values in [`resolve`], and run by one of
//! [`commands`]; [`output`] is what the user sees. [`nix_steps`] are the builders of the Nix
//! side's derivations.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod commands;
mod input;
mod jobs;
mod nix_steps;
mod output;
mod platform;
mod resolve;
mod signals;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command, mistyped};
use crate::commands::{diff, load, lock, manual, options_page, plan, push, stream, why};
use crate::output::exit;

fn main() -> ExitCode {
    if let Some(Err(error)) = first_word().as_deref().map(mistyped::refuse) {
        return exit::failure(&error.into());
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let command = cli.command.unwrap_or(Command::Stream(cli.stream));
    let result = signals::tell_size_limits()
        .map_err(anyhow::Error::from)
        .and_then(|()| jobs::limit_pool(command.jobs()))
        .and_then(|()| run(command));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&error),
    }
}

/// The first argument, unless it is not text.
fn first_word() -> Option<String> {
    std::env::args_os().nth(1)?.into_string().ok()
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Stream(args) => stream::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Lock(args) => lock::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::page(),
        Command::OptionsPage => options_page::print(),
        Command::Nix(step) => nix_steps::run(&step),
    }
}
