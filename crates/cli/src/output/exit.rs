//! How a failure is told: one line, and an exit code.

use std::process::ExitCode;

use crate::output::console::say;
use crate::usage::UsageError;

/// Exit code of a failure.
const FAILED: u8 = 1;

/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// Prints an error with its causes as one line.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // An error that shows its cause itself is not told twice.
        if !line.ends_with(&text) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
    }
    say!("error: {}", line.replace('\n', " "));
    if error.is::<UsageError>() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::from(FAILED)
    }
}
