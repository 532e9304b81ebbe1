//! What is shown while an image is pushed, and at its end.

use indicatif::DecimalBytes;
use registry::{Arrival, Event, Observer, Summary};

use crate::output::console::say;
use crate::output::progress_line::ProgressLine;

/// Shows which blobs have arrived.
pub struct PushProgress(ProgressLine);

impl PushProgress {
    /// Shows nothing where `quiet`. The push has `blobs` blobs.
    pub fn new(quiet: bool, blobs: usize) -> Self {
        let line = ProgressLine::new(quiet, "{pos} of {len} blobs");
        line.bar().set_length(blobs as u64);
        Self(line)
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.0.clear();
    }
}

impl Observer for PushProgress {
    fn event(&self, name: &str, event: &Event<'_>) {
        match event {
            Event::Sending { all, .. } => {
                let text = format!("{} sent, {name}", DecimalBytes(*all));
                self.0.message(text);
            }
            Event::Waiting { why } => self.0.note(format_args!("{name}: trying again: {why}")),
            Event::Arrived(arrived) => {
                self.0.bar().inc(1);
                let size = DecimalBytes(arrived.size);
                match arrived.how {
                    Arrival::Sent => self.0.log(format_args!("{name}: sent, {size}")),
                    Arrival::Mounted => {
                        self.0.log(format_args!(
                            "{name}: taken over from another repository, {size}"
                        ));
                    }
                    Arrival::Present => {}
                }
            }
        }
    }
}

/// Prints what a push has sent.
pub fn print_summary(layers: &Summary) {
    let mounted = match layers.mounted {
        0 => String::new(),
        mounted => format!("{mounted} taken over, "),
    };
    say!(
        "{} layers present, {mounted}{} sent, {} of {}",
        layers.present,
        layers.sent,
        DecimalBytes(layers.bytes_sent),
        DecimalBytes(layers.bytes)
    );
}
