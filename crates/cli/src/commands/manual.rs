//! `completions` and `man`: files that a package installs beside the program.

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

/// Prints the manual page with the help of all commands.
pub fn page() -> Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command().flatten_help(true)).render(&mut text)?;
    console::print(text)
}
