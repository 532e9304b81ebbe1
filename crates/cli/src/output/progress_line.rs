//! The line at the bottom of a terminal that shows how far the work is.

use std::fmt::Display;
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::console::say;
use crate::output::shown;

/// A bar on a terminal, and lines of a log elsewhere. Sizes are in MB everywhere.
pub struct ProgressLine {
    bar: ProgressBar,
    target: Target,
}

#[derive(PartialEq, Eq)]
enum Target {
    Terminal,
    Log,
    Nothing,
}

impl ProgressLine {
    /// Shows `count`, in the terms of [`ProgressStyle::with_template`], behind a bar; nothing where
    /// `quiet`.
    pub fn new(quiet: bool, count: &str) -> Self {
        let target = match (quiet, stderr().is_terminal()) {
            (true, _) => Target::Nothing,
            (false, true) => Target::Terminal,
            (false, false) => Target::Log,
        };
        let bar = if target == Target::Terminal {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        let template = format!("{{bar:30}} {count}  {{elapsed}}  {{wide_msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        if target == Target::Terminal {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar, target }
    }

    /// Lines of a log, also on a terminal: several at once would share its last line.
    pub fn without_bar(quiet: bool) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            target: if quiet { Target::Nothing } else { Target::Log },
        }
    }

    /// The bar.
    pub fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Shows a text behind the bar.
    pub fn message(&self, text: impl Display) {
        self.bar.set_message(shown::line(&text.to_string()));
    }

    /// Writes a line of the log, unless there is a terminal.
    pub fn log(&self, line: impl Display) {
        if self.target == Target::Log {
            say!("{line}");
        }
    }

    /// Writes a line, above the bar if there is one.
    pub fn note(&self, line: impl Display) {
        if self.target != Target::Nothing {
            self.bar.suspend(|| say!("{line}"));
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
