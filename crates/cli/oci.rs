//! What is common to the commands that make OCI images, and the layouts and archives of `stream`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use image::Output;
use image::oci::{LayerBlobs, Options, Summary, write_archive as archive, write_layout as layout};

use crate::UsageError;
use crate::args::StreamArgs;
use crate::progress::Progress;

/// Writes into the layout in a directory.
pub fn write_layout(
    args: &StreamArgs,
    blobs: &LayerBlobs<'_>,
    directory: &Path,
) -> Result<Summary> {
    watched(args, |options| {
        layout(blobs, directory, options)
            .with_context(|| format!("cannot write the image to {}", directory.display()))
    })
}

/// Writes an archive of a layout.
pub fn write_archive(args: &StreamArgs, blobs: &LayerBlobs<'_>, file: File) -> Result<Summary> {
    const CONTEXT: &str = "cannot write the image";
    watched(args, |options| {
        let mut output = Output::new(file).context(CONTEXT)?;
        let summary = archive(blobs, &mut output, options)?;
        output.finish().map_err(image::Error::Output)?;
        Ok(summary)
    })
}

fn watched(
    args: &StreamArgs,
    write: impl FnOnce(&Options<'_>) -> Result<Summary>,
) -> Result<Summary> {
    let progress = Progress::new(args.quiet);
    let summary = write(&Options {
        annotations: &annotations(&args.annotation)?,
        verify: args.verify,
        index: args.index,
        destination: &progress,
    });
    progress.clear();
    summary
}

/// `--annotation`.
pub fn annotations(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| UsageError(format!("--annotation {text}: NAME=VALUE was expected")))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}
