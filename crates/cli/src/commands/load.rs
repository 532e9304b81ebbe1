//! `load`: sends an image to a container engine, without the layers that the engine already has.

use std::sync::Arc;

use anyhow::{Context, Result};
use engine::{Choice, Engine, Options};
use image::Compression;
use oci::reference::check_name;

use crate::args::LoadArgs;
use crate::jobs::jobs;
use crate::output::console::{self, say};
use crate::output::learned;
use crate::output::load_progress::{LoadProgress, print_summary};
use crate::resolve::image::ResolvedImage;
use crate::resolve::layer_table::layer_table;
use crate::signals;

/// Runs the command.
pub fn run(args: &LoadArgs) -> Result<()> {
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(args.quiet);
    // What was typed wrong is told before what is missing on this machine.
    let input = ResolvedImage::new(&settings)?;
    for name in &input.image.repo_tags {
        check_name(name).context("the image cannot be loaded")?;
    }
    let engine = Arc::new(Engine::find(args.engine.unwrap_or(Choice::Any))?);
    if !args.quiet {
        let of_input = input.warnings.iter().map(String::as_str);
        for warning in engine.warning().into_iter().chain(of_input) {
            say!("warning: {warning}");
        }
        say!("loading into {}", engine.name());
    }
    let mut cache = args.cache.settings().open();
    let table = layer_table(&input, Compression::None, &cache)?;
    let options = Options {
        jobs: jobs(args.jobs),
        verify: args.verify,
    };
    let progress = LoadProgress::new(args.quiet);
    let stopped = Arc::clone(&engine);
    signals::before_stop(move || stopped.remove_temporary_names())?;
    let loaded = engine.load(&table, input.store.trees(), options, &progress);
    progress.clear();
    learned::keep(&table, &mut cache, args.quiet);
    let loaded = loaded.map_err(|error| {
        let error = anyhow::Error::from(error);
        match input.too_many_layers() {
            Some(why) if format!("{error:#}").contains("max depth exceeded") => error.context(why),
            _ => error,
        }
    })?;
    if !args.quiet {
        print_summary(&input.image.repo_tags, &loaded);
    }
    console::print(format!("{}\n", loaded.image_id))
}
