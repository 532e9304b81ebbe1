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
    /// What stands before each line: the engine's name, where there are several.
    prefix: String,
    /// Whether everything was sent, and only the engine is still at work.
    is_sent: AtomicBool,
}

impl LoadProgress {
    /// Shows nothing where `quiet`. `node` is the engine's name, if there are several at once; then there
    /// is no bar.
    pub fn new(quiet: bool, node: Option<&str>) -> Self {
        const COUNT: &str = "{decimal_bytes} of {decimal_total_bytes}";
        Self {
            line: match node {
                None => ProgressLine::new(quiet, COUNT),
                Some(_) => ProgressLine::without_bar(quiet),
            },
            prefix: node.map(prefix).unwrap_or_default(),
            is_sent: AtomicBool::new(false),
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.line.clear();
    }
}

impl Observer for LoadProgress {
    fn missing(&self, layers: usize, of: usize, bytes: Option<u64>) {
        self.line.bar().set_position(0);
        self.line.bar().set_length(bytes.unwrap_or(0));
        self.is_sent.store(false, Ordering::Relaxed);
        self.line.log(format_args!(
            "{}{layers} of {of} layers are sent{}",
            self.prefix,
            after_comma(bytes)
        ));
    }

    fn layer(&self, index: usize, of: usize, layer: &Layer<'_>, size: Option<u64>) {
        let text = format!(
            "{}layer {} of {of}: {}{}",
            self.prefix,
            index + 1,
            layer.describe(),
            after_comma(size)
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
        self.line
            .note(format_args!("warning: {}{text}", self.prefix));
    }

    fn again(&self) {
        self.line.note(format_args!(
            "{}the engine lacks a layer that it seemed to have: all are sent",
            self.prefix
        ));
    }
}

fn prefix(node: &str) -> String {
    format!("{node}: ")
}

/// A size that may not be known yet.
fn after_comma(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!(", {}", DecimalBytes(bytes)))
}

/// Prints what was sent: `12 layers present, 2 sent, 3.1 MB of 1.6 GB, 3.2 MB on the wire`. `node` is the
/// engine's name, if there are several.
pub fn print_summary(node: Option<&str>, loaded: &Loaded) {
    let present = loaded.layers - loaded.sent;
    say!(
        "{}{present} layer{} present, {} sent, {} of {}, {} on the wire",
        node.map(prefix).unwrap_or_default(),
        if present == 1 { "" } else { "s" },
        loaded.sent,
        DecimalBytes(loaded.sent_bytes),
        DecimalBytes(loaded.bytes),
        DecimalBytes(loaded.archive_bytes),
    );
}
