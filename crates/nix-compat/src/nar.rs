//! Nix archives (NAR): the serialisation of a file tree whose hash fixes a store path's content.
//!
//! The format is that of the Nix manual's chapter "Nix Archive (NAR) format". Both directions are
//! streams: neither a NAR nor a file in it is held in memory, and a length that the archive names
//! is never trusted with an allocation. Reading is as strict as the format: what is accepted is
//! byte for byte what [`Writer`] writes for the same tree.

use std::fmt;
use std::io;

mod listing;
mod position;
mod reader;
mod writer;

pub use listing::{Listing, ListingError};
pub use reader::{Contents, Reader};
pub use writer::Writer;

/// First string of every NAR.
const MAGIC: &[u8] = b"nix-archive-1";

/// One entry of a tree. Entries come in pre-order, siblings by the bytes of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path below the root, names separated by `/`; empty for the root.
    pub path: &'a [u8],
    /// How many names `path` has: 0 for the root.
    pub depth: usize,
    /// What it is.
    pub node: Node<'a>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node<'a> {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Whether it may be executed.
        executable: bool,
        /// Length of its contents in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads, as it stands in the link.
        target: &'a [u8],
    },
}

/// What a reader takes at most. The defaults are what Linux takes, so that every tree that can lie
/// in a store passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest name, in bytes (`NAME_MAX`).
    pub name: usize,
    /// Longest target of a link, in bytes (`PATH_MAX` without its NUL).
    pub target: usize,
    /// Most names in a path: half of `PATH_MAX`.
    pub depth: usize,
    /// Length of the NAR in bytes, or more. A file that says it is longer than what is left is
    /// refused before its contents are read.
    pub size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name: 255,
            target: 4095,
            depth: 2048,
            size: u64::MAX,
        }
    }
}

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
    #[error("{0}")]
    Io(#[source] io::Error),
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

/// Bytes of a hostile archive as text for an error: printable, and not too long.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let text = bytes[..bytes.len().min(MOST)].escape_ascii().to_string();
    if bytes.len() > MOST {
        format!("{text}…")
    } else {
        text
    }
}

/// How many zeros follow a string of this length: strings fill words of eight bytes.
fn padding(length: u64) -> usize {
    // At most 7, so it fits.
    ((8 - length % 8) % 8) as usize
}
