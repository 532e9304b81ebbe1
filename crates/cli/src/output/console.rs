//! Standard output and standard error, whose readers may go away.

use std::io::{self, Write as _};

use anyhow::{Context, Result};

/// Tells the user a line on standard error. As `eprintln!`, but where nobody can be told, the work
/// goes on.
macro_rules! say {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($arguments)*);
    }};
}
pub(crate) use say;

/// Prints a result. A reader that went away is no failure: it has what it wanted.
pub fn print(text: impl AsRef<[u8]>) -> Result<()> {
    match io::stdout().write_all(text.as_ref()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// The columns of the terminal that is standard output, if it is one.
pub fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// Whether an image could not be written because its reader went away; `docker load` does before
/// the padding at the end of an archive.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let of_output = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(image::Error::Output(error)) => Some(error),
        _ => None,
    });
    of_output.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
