//! OCI layouts and their archives, as `stream` writes them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use image::write::{OciOptions, OciSummary, write_oci_archive, write_oci_layout};
use image::{BlobWriters, Output, Spool};

use crate::output::progress::Progress;

/// How an OCI image is written.
pub struct OciOutput<'a> {
    /// Annotations of the manifest.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether layers with known digests are hashed again.
    pub verify: bool,
    /// Whether the image is added to the index of its tag.
    pub index: bool,
    /// Where an archive's layers are kept until they are written.
    pub spool: &'a Spool,
    /// Whether progress is hidden.
    pub quiet: bool,
}

impl OciOutput<'_> {
    /// Writes into the layout in a directory.
    pub fn layout(&self, writers: &BlobWriters<'_>, directory: &Path) -> Result<OciSummary> {
        self.with_progress(writers, |options| {
            write_oci_layout(writers, directory, options)
                .with_context(|| format!("cannot write the image to {}", directory.display()))
        })
    }

    /// Writes an archive of a layout.
    pub fn archive(&self, writers: &BlobWriters<'_>, file: File) -> Result<OciSummary> {
        self.with_progress(writers, |options| {
            let mut output = Output::new(file).context("cannot write the image")?;
            let summary = write_oci_archive(writers, &mut output, options)?;
            output.finish().map_err(image::Error::Output)?;
            Ok(summary)
        })
    }

    fn with_progress(
        &self,
        writers: &BlobWriters<'_>,
        write: impl FnOnce(&OciOptions<'_>) -> Result<OciSummary>,
    ) -> Result<OciSummary> {
        let progress = Progress::new(self.quiet);
        let summary = write(&OciOptions {
            names: &writers.table().image().repo_tags,
            annotations: self.annotations,
            verify: self.verify,
            index: self.index,
            spool: self.spool,
            destination: &progress,
        });
        progress.clear();
        summary
    }
}
