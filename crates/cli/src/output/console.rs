//! Standard output and standard error. Their readers may close the pipe.

use std::io::{self, Write as _};

use anyhow::{Context, Result};
use stores::binary_cache::Warn;

use crate::output::shown;

/// Prints a line to standard error, fit for a terminal. Unlike `eprintln!`, it does not panic if that
/// fails: the work goes on.
macro_rules! say {
    ($($arguments:tt)*) => {
        $crate::output::console::say_line(&format!($($arguments)*))
    };
}
pub(crate) use say;

/// What `say!` does.
pub fn say_line(text: &str) {
    let _ = writeln!(io::stderr(), "{}", shown::line(text));
}

/// Prints the warnings that come while the image is made, when nobody is there to give them back to.
pub fn warnings(quiet: bool) -> Warn {
    match quiet {
        true => Warn::default(),
        false => Warn::new(|text| say_line(&format!("warning: {text}"))),
    }
}

/// Prints a result for people to standard output, fit for a terminal.
pub fn print_lines(text: &str) -> Result<()> {
    print(shown::lines(text))
}

/// Prints a result to standard output. A closed pipe is not an error: the reader has what it wanted.
pub fn print(text: impl AsRef<[u8]>) -> Result<()> {
    match io::stdout().write_all(text.as_ref()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// The width of the terminal, in columns, if standard output is one.
pub fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// Whether an image could not be written because its reader closed the pipe. `docker load` does so
/// before it has read the padding at the end of an archive.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let of_output = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(image::Error::Output(error)) => Some(error),
        _ => None,
    });
    of_output.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
