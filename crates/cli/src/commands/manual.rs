//! `completions` and `man`: what the command line says of itself, for packages to install.

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::output::console;

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "stream-layered", &mut text);
    console::print(text)
}

/// Prints the manual page, with each command's own after it.
pub fn page() -> Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command().flatten_help(true)).render(&mut text)?;
    console::print(text)
}
