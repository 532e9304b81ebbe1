//! `stream`: writes a docker-archive.

use std::fs::File;
use std::io::{IsTerminal as _, stdout};
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;

use anyhow::{Context, Result};
use image::docker_archive::{self, Options, Summary};
use image::sink::WriteSink;
use image::{Compression, Output};

use crate::UsageError;
use crate::args::StreamArgs;
use crate::image_input::{self, ImageInput};
use crate::layer_memory::LayerMemory;
use crate::place::Place;
use crate::progress::{self, Progress};

/// Runs the command.
pub fn run(args: &StreamArgs) -> Result<()> {
    if args.output.is_none() && stdout().is_terminal() {
        let usage =
            "an image is not for a terminal; pipe it (`| docker load`), or name a file with -o";
        return Err(UsageError(usage.to_owned()).into());
    }
    let mut input = image_input::resolve(&args.image)?;
    if !args.quiet {
        for warning in &input.warnings {
            eprintln!("warning: {warning}");
        }
    }
    let mut memory = LayerMemory::open(&args.cache, &input);
    memory.recall(&mut input.image);
    let place = args.output.as_deref().map(Place::create).transpose()?;
    let file = match &place {
        Some(place) => place.file().context("cannot write the image")?,
        None => stdout()
            .as_fd()
            .try_clone_to_owned()
            .context("standard output")?
            .into(),
    };
    let summary = write(args, &input, file)?;
    if let Some(place) = place {
        place.finish()?;
    }
    if let Err(error) = memory.keep(&summary.layers)
        && !args.quiet
    {
        eprintln!("warning: the digests of this image's layers are not kept: {error:#}");
    }
    if !args.quiet {
        progress::tell(&input.image.repo_tags, &summary);
    }
    Ok(())
}

fn write(args: &StreamArgs, input: &ImageInput, file: File) -> Result<Summary> {
    const CONTEXT: &str = "cannot write the image";
    let ImageInput { image, store, .. } = input;
    let options = Options {
        jobs: jobs(args.jobs),
        verify: args.verify,
    };
    let mut progress = Progress::new(args.quiet);
    let written = match args.compression {
        Compression::None => {
            let mut output = Output::new(file).context(CONTEXT)?;
            let written =
                docker_archive::write(image, store.trees(), &mut output, options, &mut progress);
            written.map_err(anyhow::Error::from).and_then(|summary| {
                output.finish().context(CONTEXT)?;
                Ok(summary)
            })
        }
        compression => {
            let mut output =
                WriteSink::new(compression.encoder(file, options.jobs).context(CONTEXT)?);
            let written =
                docker_archive::write(image, store.trees(), &mut output, options, &mut progress);
            written.map_err(anyhow::Error::from).and_then(|summary| {
                output.into_inner().finish().context(CONTEXT)?;
                Ok(summary)
            })
        }
    };
    progress.clear();
    written
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
