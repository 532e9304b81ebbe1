//! `stream`: writes a docker-archive, or an OCI image.

use std::fs::File;
use std::io::{IsTerminal as _, stdout};
use std::os::fd::AsFd as _;

use anyhow::{Context, Result};
use image::sink::WriteSink;
use image::write::docker_archive::{self, Options, Summary};
use image::{BlobWriters, Compression, LayerTable, Output, Spool};
use oci::Digest;

use crate::args::{self, FormatArg, StreamArgs};
use crate::jobs;
use crate::output::console::{self, say};
use crate::output::learned;
use crate::output::made_twice;
use crate::output::oci_output::OciOutput;
use crate::output::output_file::OutputFile;
use crate::output::progress::{self, Progress};
use crate::resolve::image::ResolvedImage;
use crate::resolve::layer_table::layer_table;
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
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(args.quiet);
    let input = ResolvedImage::new(&settings)?;
    if !args.quiet {
        for warning in &input.warnings {
            say!("warning: {warning}");
        }
    }
    let mut annotations = input.annotations.clone();
    annotations.extend(args::annotations(&args.annotation)?);
    let mut cache = args.cache.settings().open();
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
    // A docker-archive is compressed as a whole.
    let of_layers = match args.format {
        FormatArg::DockerArchive => Compression::None,
        FormatArg::Oci | FormatArg::OciArchive => compression(args),
    };
    let table = layer_table(&input, of_layers, &cache)?;
    let spool = Spool::new(args.spool.spool_size);
    let write_image = || -> Result<(Digest, u64)> {
        if args.format == FormatArg::DockerArchive {
            let summary = write(args, &input, &table, &spool, file()?)?;
            return Ok((summary.image_id, summary.size));
        }
        let writers = BlobWriters::new(&table, input.store.trees(), jobs::jobs(args.jobs));
        let output = OciOutput {
            annotations: &annotations,
            verify: args.verify,
            index: args.index,
            spool: &spool,
            quiet: args.quiet,
        };
        let summary = match &args.output {
            Some(directory) if is_directory => output.layout(&writers, directory)?,
            _ => output.archive(&writers, file()?)?,
        };
        Ok((summary.documents.image_id, summary.written))
    };
    let mut written = write_image();
    // Each time, the table knows better about one more layer. What went into a pipe cannot be taken back.
    while let Err(error) = &written
        && is_disproved(error)
        && let Some(place) = &place
        && place.start_over().context("cannot write the image")?
    {
        written = write_image();
    }
    made_twice::tell(&spool, args.quiet);
    learned::keep(&table, &mut cache, args.quiet);
    let (image_id, size) = written?;
    finish(args, place, &input, &image_id, table.len(), size)
}

/// Whether an image could not be written because something was remembered wrongly of a layer.
fn is_disproved(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<image::Error>();
    matches!(error, Some(image::Error::Disproved { .. }))
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

fn write(
    args: &StreamArgs,
    input: &ResolvedImage,
    table: &LayerTable<'_>,
    spool: &Spool,
    file: File,
) -> Result<Summary> {
    const CONTEXT: &str = "cannot write the image";
    let trees = input.store.trees();
    let options = Options {
        names: &input.image.repo_tags,
        jobs: jobs::jobs(args.jobs),
        verify: args.verify,
        left_out: 0,
        spool,
    };
    let mut progress = Progress::new(args.quiet);
    let written = match compression(args) {
        Compression::None => {
            let mut output = Output::new(file).context(CONTEXT)?;
            let written = docker_archive::write(table, trees, &mut output, options, &mut progress);
            written.map_err(anyhow::Error::from).and_then(|summary| {
                output.finish().map_err(image::Error::Output)?;
                Ok(summary)
            })
        }
        compression => {
            let mut output =
                WriteSink::new(compression.encoder(file, options.jobs).context(CONTEXT)?);
            let written = docker_archive::write(table, trees, &mut output, options, &mut progress);
            written.map_err(anyhow::Error::from).and_then(|summary| {
                output.into_inner().finish().map_err(image::Error::Output)?;
                Ok(summary)
            })
        }
    };
    progress.clear();
    written
}
