//! What is told on standard error while an image is written, and at its end.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use image::docker_archive::Observer;
use image::oci::{Destination, LayerBlob};
use image::{Digest, Layer, LayerDigest};
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::console::say;

/// Tells how far the writing of layers is: a bar on a terminal, a line a layer elsewhere.
pub struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    /// Tells nothing where `quiet`.
    pub fn new(quiet: bool) -> Self {
        let terminal = stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            None,
            if quiet || !terminal {
                ProgressDrawTarget::hidden()
            } else {
                ProgressDrawTarget::stderr()
            },
        );
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} layer {pos} of {len}  {elapsed}  {wide_msg}")
        {
            bar.set_style(style);
        }
        if terminal && !quiet {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self {
            bar,
            lines: !quiet && !terminal,
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn layer(&mut self, index: usize, of: usize, layer: &Layer<'_>, digest: &LayerDigest) {
        let text = format!("{}, {}", layer.describe(), DecimalBytes(digest.size));
        self.bar.set_length(of as u64);
        self.bar.set_position(index as u64 + 1);
        if self.lines {
            say!("layer {} of {of}: {text}", index + 1);
        }
        self.bar.set_message(text);
    }
}

impl Destination for Progress {
    fn making(&self, index: usize, of: usize, layer: &Layer<'_>) {
        let text = layer.describe();
        self.bar.set_length(of as u64);
        if self.lines {
            say!("layer {} of {of}: {text}", index + 1);
        }
        self.bar.set_message(text);
    }

    fn done(&self, _: usize, _: &LayerBlob, _: bool) {
        self.bar.inc(1);
    }
}

/// The lines that end a run: name, id and layers of the image.
pub fn tell(repo_tags: &[String], image_id: &Digest, layers: usize, size: u64) {
    for tag in repo_tags {
        say!("{tag}");
    }
    say!("{image_id}");
    say!("{layers} layers, {} ({size} bytes)", DecimalBytes(size));
}
