//! What is shown while an image is written, and at its end.

use image::write::Destination;
use image::write::docker_archive::Observer;
use image::{BlobId, Layer};
use indicatif::DecimalBytes;
use oci::Digest;

use crate::output::console::say;
use crate::output::progress_line::ProgressLine;

/// Shows which layer is written.
pub struct Progress(ProgressLine);

impl Progress {
    /// Shows nothing where `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self(ProgressLine::new(quiet, "layer {pos} of {len}"))
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.0.clear();
    }
}

impl Observer for Progress {
    fn layer(&mut self, index: usize, of: usize, layer: &Layer<'_>, size: u64) {
        let text = format!("{}, {}", layer.describe(), DecimalBytes(size));
        self.0.bar().set_length(of as u64);
        self.0.bar().set_position(index as u64 + 1);
        self.0
            .log(format_args!("layer {} of {of}: {text}", index + 1));
        self.0.message(text);
    }
}

impl Destination for Progress {
    fn making(&self, index: usize, of: usize, layer: &Layer<'_>) {
        let text = layer.describe();
        self.0.bar().set_length(of as u64);
        self.0
            .log(format_args!("layer {} of {of}: {text}", index + 1));
        self.0.message(text);
    }

    fn done(&self, _: usize, _: &BlobId, _: bool) {
        self.0.bar().inc(1);
    }
}

/// Prints the name, ID and size of the image that was written.
pub fn print_summary(repo_tags: &[String], image_id: &Digest, layers: usize, size: u64) {
    for tag in repo_tags {
        say!("{tag}");
    }
    say!("{image_id}");
    say!("{layers} layers, {} ({size} bytes)", DecimalBytes(size));
}
