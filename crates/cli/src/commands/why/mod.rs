//! `why`: why a store path is in a closure, and in which layer.

mod chain;
mod fleet;
mod matching;
mod one_image;

use anyhow::Result;

use crate::args::WhyArgs;
use crate::output::console;
use crate::resolve::store::Store;

/// Runs the command.
pub fn run(args: &WhyArgs) -> Result<()> {
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(false);
    let store = Store::open(&settings.store)?;
    let explained = if args.fleet.is_empty() {
        one_image::text(args, &settings, &store)?
    } else {
        fleet::text(args, &settings, &store)?
    };
    console::print_lines(&explained)
}
