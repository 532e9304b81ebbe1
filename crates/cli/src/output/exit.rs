//! How the program ends after a failure: one line, and an exit code.

use std::process::ExitCode;

use crate::output::console::say;
use crate::usage::UsageError;

/// Exit code of a failure.
const FAILED: u8 = 1;

/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// Prints an error with its causes as one line.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    // No error's text repeats its source's, so that the whole chain can be printed.
    let line = format!("{error:#}").replace('\n', " ");
    say!("error: {line}");
    if error.is::<UsageError>() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::from(FAILED)
    }
}
