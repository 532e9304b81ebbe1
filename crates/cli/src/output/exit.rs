//! How the program ends after a failure: one line, and an exit code.

use std::process::ExitCode;

use crate::output::console::say;
use crate::output::shown;
use crate::usage::UsageError;

/// Exit code of a failure.
const FAILED: u8 = 1;

/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// Prints what the parser of the command line says: help, or what is wrong with the arguments.
pub fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let code = u8::try_from(error.exit_code()).unwrap_or(USAGE);
    // It repeats what was typed. Without a secret or a control character there, it keeps its colours.
    let is_fit = shown::lines(&text) == text && shown::without_secrets(&text) == text;
    if !error.use_stderr() || is_fit {
        // Like `say!`: a closed pipe is no failure.
        let _ = error.print();
        return ExitCode::from(code);
    }
    for line in text.lines() {
        say!("{line}");
    }
    ExitCode::from(code)
}

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
