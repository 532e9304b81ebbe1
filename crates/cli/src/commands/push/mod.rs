//! `push`: sends one image, or those of a fleet.

mod claims;
mod fleet;
mod one_image;

use std::fs;

use anyhow::{Context, Result};

use self::one_image::{Names, push_image};
use crate::args::{PushArgs, PushName};
use crate::output::console;
use crate::resolve::image::ResolvedImage;
use crate::resolve::registry_client;
use crate::usage::UsageError;

/// Runs the command.
pub fn run(args: &PushArgs) -> Result<()> {
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(args.quiet);
    if !args.fleet.is_empty() {
        return fleet::run(args, &settings);
    }
    let names = names_of_one(args)?;
    let client = registry_client::client(&settings.registry)?;
    let input = ResolvedImage::new(&settings)?;
    let digest = push_image(
        args,
        &client,
        &input,
        &names,
        &mut args.cache.settings().open(),
    )?;
    if let Some(file) = &args.digest_file {
        fs::write(file, format!("{digest}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    console::print(format!("{}\n", names.first().with_digest(digest)))
}

/// What one image is pushed to.
fn names_of_one(args: &PushArgs) -> Result<Names<'_>> {
    let reference = |name: &PushName| match name {
        PushName::One(reference) => Ok(reference.clone()),
        PushName::Each(text) => Err(UsageError(format!(
            "{text} stands for the references of several images; name them with --fleet"
        ))),
    };
    let all = [&args.reference].into_iter().chain(&args.also);
    let names = Names {
        references: all.map(reference).collect::<Result<_, _>>()?,
        siblings: &[],
    };
    // A digest names the manifest that is pushed, and not the index that it is put into.
    let mut with_digest = names
        .references
        .iter()
        .filter(|name| name.digest().is_some());
    match with_digest.next() {
        Some(reference) if args.index => {
            let usage = format!("--index: {reference} has a digest; leave it out");
            Err(UsageError(usage).into())
        }
        _ => Ok(names),
    }
}
