//! `stream`: writes a docker-archive.

use std::io::{IsTerminal as _, stdout};
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;

use anyhow::{Context, Result};
use image::{Output, docker_archive};

use crate::UsageError;
use crate::args::StreamArgs;
use crate::image_input::{self, ImageInput};
use crate::place::Place;
use crate::progress::{self, Progress};

/// Runs the command.
pub fn run(args: &StreamArgs) -> Result<()> {
    if args.output.is_none() && stdout().is_terminal() {
        let usage =
            "an image is not for a terminal; pipe it (`| docker load`), or name a file with -o";
        return Err(UsageError(usage.to_owned()).into());
    }
    let ImageInput {
        image,
        files,
        warnings,
    } = image_input::resolve(&args.image)?;
    if !args.quiet {
        for warning in warnings {
            eprintln!("warning: {warning}");
        }
    }
    let place = args.output.as_deref().map(Place::create).transpose()?;
    let file = match &place {
        Some(place) => place.file()?.into(),
        None => stdout()
            .as_fd()
            .try_clone_to_owned()
            .context("standard output")?,
    };
    let mut output = Output::new(file).context("cannot write the image")?;
    let mut progress = Progress::new(args.quiet);
    let written =
        docker_archive::write(&image, &files, &mut output, jobs(args.jobs), &mut progress);
    progress.clear();
    let summary = written?;
    output.finish().context("cannot write the image")?;
    if let Some(place) = place {
        place.finish()?;
    }
    if !args.quiet {
        progress::tell(&image.repo_tags, &summary);
    }
    Ok(())
}

/// `--jobs`, what Nix gives a build, or one for each processor.
pub fn jobs(option: Option<NonZeroUsize>) -> NonZeroUsize {
    let of_nix = || {
        std::env::var("NIX_BUILD_CORES")
            .ok()?
            .parse::<NonZeroUsize>()
            .ok()
    };
    option
        .or_else(of_nix)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}
