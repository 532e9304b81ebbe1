//! `stream`: writes a docker-archive, or an OCI image.

use std::fs::File;
use std::io::{IsTerminal as _, stdout};
use std::os::fd::AsFd as _;

use anyhow::{Context, Result};
use image::docker_archive::{self, Options, Summary};
use image::oci::LayerBlobs;
use image::sink::WriteSink;
use image::{Compression, Digest, Output};

use crate::args::{self, FormatArg, StreamArgs};
use crate::jobs;
use crate::output::console::{self, say};
use crate::output::oci_output::OciOutput;
use crate::output::output_file::OutputFile;
use crate::output::progress::{self, Progress};
use crate::resolve::image::ResolvedImage;
use crate::resolve::layer_keys::LayerKeys;
use crate::usage::UsageError;

/// Runs the command.
pub fn run(args: &StreamArgs) -> Result<()> {
    match stream(args) {
        Err(error) if console::is_closed_pipe(&error) => Ok(()),
        result => result,
    }
}

fn stream(args: &StreamArgs) -> Result<()> {
    let is_directory = args.format == FormatArg::Oci;
    if args.output.is_none() && is_directory {
        let usage = "--format oci writes a directory; name it with -o";
        return Err(UsageError(usage.to_owned()).into());
    }
    if args.output.is_none() && stdout().is_terminal() {
        let usage =
            "an image is not for a terminal; pipe it (`| docker load`), or name a file with -o";
        return Err(UsageError(usage.to_owned()).into());
    }
    if !args.annotation.is_empty() && args.format == FormatArg::DockerArchive {
        let usage = "--annotation: a docker-archive cannot have annotations; use --format oci or oci-archive";
        return Err(UsageError(usage.to_owned()).into());
    }
    if args.index && !is_directory {
        let usage = "--index needs a layout; use --format oci";
        return Err(UsageError(usage.to_owned()).into());
    }
    let mut input = ResolvedImage::new(&args.image.settings()?)?;
    if !args.quiet {
        for warning in &input.warnings {
            say!("warning: {warning}");
        }
    }
    let mut annotations = input.annotations.clone();
    annotations.extend(args::annotations(&args.annotation)?);
    let mut memory = LayerKeys::open(&args.cache.settings(), &input);
    let place = match &args.output {
        Some(path) if !is_directory => Some(OutputFile::create(path)?),
        _ => None,
    };
    let file = || -> Result<File> {
        match &place {
            Some(place) => place.file().context("cannot write the image"),
            None => Ok(stdout()
                .as_fd()
                .try_clone_to_owned()
                .context("standard output")?
                .into()),
        }
    };
    let kept = if args.format == FormatArg::DockerArchive {
        memory.recall(&mut input.image);
        let summary = write(args, &input, file()?)?;
        finish(
            args,
            place,
            &input,
            &summary.image_id,
            summary.layers.len(),
            summary.size,
        )?;
        memory.keep(&summary.layers)
    } else {
        let blobs = memory.recall_blobs(LayerBlobs::new(
            &input.image,
            input.store.trees(),
            compression(args),
            jobs::jobs(args.jobs),
        )?)?;
        let output = OciOutput {
            annotations: &annotations,
            verify: args.verify,
            index: args.index,
            quiet: args.quiet,
        };
        let summary = match &args.output {
            Some(directory) if is_directory => output.layout(&blobs, directory)?,
            _ => output.archive(&blobs, file()?)?,
        };
        let id = summary.documents.image_id;
        finish(
            args,
            place,
            &input,
            &id,
            summary.layers.len(),
            summary.written,
        )?;
        memory.keep_blobs(&blobs)
    };
    if let Err(error) = kept
        && !args.quiet
    {
        say!("warning: the digests of this image's layers are not cached: {error:#}");
    }
    Ok(())
}

/// Gives the output its name, and prints a summary.
fn finish(
    args: &StreamArgs,
    place: Option<OutputFile>,
    input: &ResolvedImage,
    image_id: &Digest,
    layers: usize,
    size: u64,
) -> Result<()> {
    if let Some(place) = place {
        place.finish()?;
    }
    if !args.quiet {
        progress::print_summary(&input.image.repo_tags, image_id, layers, size);
    }
    Ok(())
}

/// The compression if none is given. Every reader of layouts understands gzip, but some of them not
/// zstd.
fn compression(args: &StreamArgs) -> Compression {
    args.compression.unwrap_or(match args.format {
        FormatArg::DockerArchive | FormatArg::OciArchive => Compression::None,
        FormatArg::Oci => Compression::LAYER_GZIP,
    })
}

fn write(args: &StreamArgs, input: &ResolvedImage, file: File) -> Result<Summary> {
    const CONTEXT: &str = "cannot write the image";
    let ResolvedImage { image, store, .. } = input;
    let options = Options {
        jobs: jobs::jobs(args.jobs),
        verify: args.verify,
        left_out: 0,
    };
    let mut progress = Progress::new(args.quiet);
    let written = match compression(args) {
        Compression::None => {
            let mut output = Output::new(file).context(CONTEXT)?;
            let written =
                docker_archive::write(image, store.trees(), &mut output, options, &mut progress);
            written.map_err(anyhow::Error::from).and_then(|summary| {
                output.finish().map_err(image::Error::Output)?;
                Ok(summary)
            })
        }
        compression => {
            let mut output =
                WriteSink::new(compression.encoder(file, options.jobs).context(CONTEXT)?);
            let written =
                docker_archive::write(image, store.trees(), &mut output, options, &mut progress);
            written.map_err(anyhow::Error::from).and_then(|summary| {
                output.into_inner().finish().map_err(image::Error::Output)?;
                Ok(summary)
            })
        }
    };
    progress.clear();
    written
}
