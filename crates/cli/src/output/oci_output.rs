//! OCI layouts and their archives, as `stream` writes them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use image::Output;
use image::oci::{LayerBlobs, Options, Summary, write_archive, write_layout};

use crate::output::progress::Progress;

/// How an OCI image is written.
pub struct OciOutput<'a> {
    /// Annotations of the manifest.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether layers with known digests are hashed again.
    pub verify: bool,
    /// Whether the image is added to the index of its tag.
    pub index: bool,
    /// Whether progress is hidden.
    pub quiet: bool,
}

impl OciOutput<'_> {
    /// Writes into the layout in a directory.
    pub fn layout(&self, blobs: &LayerBlobs<'_>, directory: &Path) -> Result<Summary> {
        self.with_progress(|options| {
            write_layout(blobs, directory, options)
                .with_context(|| format!("cannot write the image to {}", directory.display()))
        })
    }

    /// Writes an archive of a layout.
    pub fn archive(&self, blobs: &LayerBlobs<'_>, file: File) -> Result<Summary> {
        self.with_progress(|options| {
            let mut output = Output::new(file).context("cannot write the image")?;
            let summary = write_archive(blobs, &mut output, options)?;
            output.finish().map_err(image::Error::Output)?;
            Ok(summary)
        })
    }

    fn with_progress(
        &self,
        write: impl FnOnce(&Options<'_>) -> Result<Summary>,
    ) -> Result<Summary> {
        let progress = Progress::new(self.quiet);
        let summary = write(&Options {
            annotations: self.annotations,
            verify: self.verify,
            index: self.index,
            destination: &progress,
        });
        progress.clear();
        summary
    }
}
