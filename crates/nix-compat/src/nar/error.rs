//! Why a NAR cannot be read or written.

use std::fmt;
use std::io;

use crate::shown::shown;

/// A NAR that cannot be read or written: where, and why.
#[derive(Debug)]
pub struct NarError {
    /// How many bytes of the NAR came before.
    pub offset: u64,
    /// Path of the entry below the root, as bytes; empty for the root.
    pub path: Vec<u8>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a NAR.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes could not be read or written.
    #[error(transparent)]
    Io(io::Error),
    /// The input ends within the archive.
    #[error("it is cut off")]
    CutOff,
    /// Another string than the format has at this place.
    #[error("it has `{found}` where {expected} was expected")]
    Word {
        /// What the format has here.
        expected: &'static str,
        /// The start of what came, printable.
        found: String,
    },
    /// A length beyond what is taken.
    #[error("a {what} of {length} bytes; the most is {most}")]
    Length {
        /// What is too long.
        what: &'static str,
        /// Its length in bytes.
        length: u64,
        /// The longest that is taken.
        most: u64,
    },
    /// The filling after a string has bytes other than zero.
    #[error("the padding is not zero")]
    Padding,
    /// A name that no file can have: empty, `.`, `..`, or with a `/` or NUL in it.
    #[error("`{0}` cannot be the name of a file")]
    Name(String),
    /// Siblings out of order, or twice the same name.
    #[error("`{name}` comes after `{previous}`: names must be in order, and each only once")]
    Order {
        /// The name.
        name: String,
        /// The name before it in the same directory.
        previous: String,
    },
    /// Directories nested without end.
    #[error("directories are nested deeper than {0} levels")]
    Depth(usize),
    /// A link's target that no link can have: empty, or with a NUL in it.
    #[error("`{0}` cannot be the target of a link")]
    Target(String),
    /// More bytes than the archive was said to have.
    #[error("it is longer than the {0} bytes that it should have")]
    TooLong(u64),
    /// Bytes after the end of the archive.
    #[error("bytes follow after its end")]
    Trailing,
    /// Used further after an error, or finished before the end.
    #[error("it was not read or written to its end")]
    Unfinished,
    /// An entry was given to the writer that is in no directory that is still open.
    #[error("the entry is in no directory that was given before it")]
    Misplaced,
}

impl fmt::Display for NarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Problem::Io(error) = &self.problem {
            return error.fmt(f);
        }
        write!(f, "not a valid NAR: at byte {}", self.offset)?;
        if !self.path.is_empty() {
            write!(f, ", in `{}`", shown(&self.path))?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for NarError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The problem is part of the text already; what lies below an input error is not.
        match &self.problem {
            Problem::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<NarError> for io::Error {
    fn from(error: NarError) -> Self {
        match error.problem {
            Problem::Io(error) => error,
            _ => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}
