//! How a failure is told: one line, and an exit code.

use std::io;
use std::process::ExitCode;

use sources::BinaryCacheError;

use crate::UsageError;

/// Exit code of a failure.
const FAILED: u8 = 1;

/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// Prints an error with its causes as one line. A reader that went away is no failure: it has what
/// it wanted, as `docker load` has before the padding at the end of an archive.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    let is_closed_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    // Where a binary cache is the cause, the pipe is that of its connection.
    let is_cache = |cause: &(dyn std::error::Error + 'static)| cause.is::<BinaryCacheError>();
    if error.chain().any(is_closed_pipe) && !error.chain().any(is_cache) {
        return ExitCode::SUCCESS;
    }
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
    eprintln!("error: {}", line.replace('\n', " "));
    if error.is::<UsageError>() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::from(FAILED)
    }
}
