//! What is told on standard error while an image is pushed, and at its end.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use registry::{Arrival, Event, Observer, Summary};

use crate::output::console::say;

/// Tells what arrives: a bar on a terminal, a line for each blob that was sent elsewhere.
pub struct PushProgress {
    bar: ProgressBar,
    lines: bool,
}

impl PushProgress {
    /// Tells nothing where `quiet`. `blobs` will arrive in all.
    pub fn new(quiet: bool, blobs: usize) -> Self {
        let terminal = stderr().is_terminal();
        let target = if quiet || !terminal {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(blobs as u64), target);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos} of {len} blobs  {elapsed}  {wide_msg}")
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

impl Observer for PushProgress {
    fn event(&self, name: &str, event: &Event<'_>) {
        match event {
            Event::Sending { all, .. } => {
                self.bar
                    .set_message(format!("{} sent, {name}", DecimalBytes(*all)));
            }
            Event::Waiting { why } => {
                if self.lines {
                    say!("{name}: trying again: {why}");
                } else {
                    self.bar.suspend(|| say!("{name}: trying again: {why}"));
                }
            }
            Event::Arrived(arrived) => {
                self.bar.inc(1);
                if self.lines {
                    match arrived.how {
                        Arrival::Sent => {
                            say!("{name}: sent, {}", DecimalBytes(arrived.size));
                        }
                        Arrival::Mounted => {
                            say!("{name}: taken over, {}", DecimalBytes(arrived.size));
                        }
                        Arrival::Present => {}
                    }
                }
            }
        }
    }
}

/// The line that ends a push.
pub fn tell(layers: &Summary) {
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
