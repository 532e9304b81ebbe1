//! What is common to the commands that make OCI images, and the layouts and archives of `stream`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use image::Output;
use image::oci::{LayerBlobs, Options, Summary, write_archive as archive, write_layout as layout};

use crate::args::StreamArgs;
use crate::output::progress::Progress;
use crate::usage::UsageError;

/// Writes into the layout in a directory.
pub fn write_layout(
    args: &StreamArgs,
    annotations: &BTreeMap<String, String>,
    blobs: &LayerBlobs<'_>,
    directory: &Path,
) -> Result<Summary> {
    watched(args, annotations, |options| {
        layout(blobs, directory, options)
            .with_context(|| format!("cannot write the image to {}", directory.display()))
    })
}

/// Writes an archive of a layout.
pub fn write_archive(
    args: &StreamArgs,
    annotations: &BTreeMap<String, String>,
    blobs: &LayerBlobs<'_>,
    file: File,
) -> Result<Summary> {
    const CONTEXT: &str = "cannot write the image";
    watched(args, annotations, |options| {
        let mut output = Output::new(file).context(CONTEXT)?;
        let summary = archive(blobs, &mut output, options)?;
        output.finish().map_err(image::Error::Output)?;
        Ok(summary)
    })
}

fn watched(
    args: &StreamArgs,
    annotations: &BTreeMap<String, String>,
    write: impl FnOnce(&Options<'_>) -> Result<Summary>,
) -> Result<Summary> {
    let progress = Progress::new(args.quiet);
    let summary = write(&Options {
        annotations,
        verify: args.verify,
        index: args.index,
        destination: &progress,
    });
    progress.clear();
    summary
}

/// `--annotation`, over those that came with the image's configuration.
pub fn annotations(
    texts: &[String],
    of_conf: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| -> Result<(String, String)> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| UsageError(format!("--annotation {text}: NAME=VALUE was expected")))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    let mut annotations = of_conf.clone();
    for text in texts {
        annotations.extend([pair(text)?]);
    }
    Ok(annotations)
}
