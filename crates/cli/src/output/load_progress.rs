//! What is shown while an image is loaded into an engine, and at its end.

use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Loaded, Observer};
use image::Layer;
use indicatif::DecimalBytes;

use crate::output::console::say;
use crate::output::progress_line::ProgressLine;

/// Shows how many bytes were sent.
pub struct LoadProgress {
    line: ProgressLine,
    /// Whether everything was sent, and only the engine is still at work.
    is_sent: AtomicBool,
}

impl LoadProgress {
    /// Shows nothing where `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self {
            line: ProgressLine::new(quiet, "{decimal_bytes} of {decimal_total_bytes}"),
            is_sent: AtomicBool::new(false),
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.line.clear();
    }
}

impl Observer for LoadProgress {
    fn missing(&self, layers: usize, of: usize, bytes: u64) {
        self.line.bar().set_position(0);
        self.line.bar().set_length(bytes);
        self.is_sent.store(false, Ordering::Relaxed);
        self.line.log(format_args!(
            "{layers} of {of} layers are sent, {}",
            DecimalBytes(bytes)
        ));
    }

    fn layer(&self, index: usize, of: usize, layer: &Layer<'_>, size: u64) {
        let text = format!(
            "layer {} of {of}: {}, {}",
            index + 1,
            layer.describe(),
            DecimalBytes(size)
        );
        self.line.log(&text);
        self.line.message(text);
    }

    fn bytes(&self, count: u64) {
        self.line.bar().inc(count);
        if count == 0 && !self.is_sent.swap(true, Ordering::Relaxed) {
            self.line.message("the engine unpacks the layers");
        }
    }

    fn warning(&self, text: &str) {
        self.line.note(format_args!("warning: {text}"));
    }

    fn again(&self) {
        self.line
            .note("the engine lacks a layer that it seemed to have: all are sent");
    }
}

/// Prints the image's names, and what was sent: `12 layers present, 2 sent, 3.1 MB of 1.6 GB`.
pub fn print_summary(repo_tags: &[String], loaded: &Loaded) {
    for tag in repo_tags {
        say!("{tag}");
    }
    let present = loaded.layers - loaded.sent;
    say!(
        "{present} layer{} present, {} sent, {} of {}",
        if present == 1 { "" } else { "s" },
        loaded.sent,
        DecimalBytes(loaded.sent_bytes),
        DecimalBytes(loaded.bytes),
    );
}
