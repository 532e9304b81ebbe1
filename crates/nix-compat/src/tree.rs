//! The file tree of a store path as Nix sees it: directories, files with an executable bit, and
//! links. Names are bytes. This is what the places that trees come from and the writers of layers
//! have in common; neither knows the other.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::store_path::StorePath;

/// Where the file trees of store paths are read from. Shared between threads.
pub trait Trees: Sync {
    /// Shows the tree of `path` to `visitor`: the path itself first, then, if it is a directory,
    /// everything below it in pre-order, siblings in the order of [`sibling_order`].
    ///
    /// # Errors
    ///
    /// The tree cannot be read whole, or the visitor gave an error; nothing more is shown then.
    fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError>;

    /// Prepares to show `path`, on another thread than those that show trees, where that makes it faster.
    fn prepare(&self, _path: &StorePath) {}

    /// Whether a tree that was shown once is shown again at little cost. Where it is downloaded
    /// each time, it is not.
    fn rereads_cheaply(&self) -> bool {
        true
    }
}

/// Takes the entries of trees, one after the other.
///
/// `path` is the entry's absolute path below the store directory, as bytes
/// (`/nix/store/HASH-name/bin/x`).
pub trait Visit {
    /// A directory.
    ///
    /// # Errors
    ///
    /// The visitor cannot go on; the same for the other methods.
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError>;

    /// A regular file. The contents need not be taken.
    #[expect(clippy::missing_errors_doc, reason = "said above")]
    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        contents: &mut dyn Contents,
    ) -> Result<(), TreeError>;

    /// A symbolic link.
    #[expect(clippy::missing_errors_doc, reason = "said above")]
    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError>;
}

/// The contents of a regular file.
pub trait Contents {
    /// Length in bytes.
    fn size(&self) -> u64;

    /// What tells the file from another one, where it is a file of a file system, as it was when
    /// it was listed.
    fn stamp(&self) -> Option<Stamp> {
        None
    }

    /// Opens the contents; exactly [`size`](Self::size) bytes come, or an error. At most once.
    ///
    /// # Errors
    ///
    /// The file is gone, or cannot be read, or has another size than it had.
    fn open(&mut self) -> Result<Opened<'_>, TreeError>;
}

/// What is another if a file was written to, or another one has its place.
///
/// The time of the last change of status is not among it: `nix store optimise` and Nix's
/// `auto-optimise-store` make further hard links to a file at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Number of the inode.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// When its contents were changed last: seconds, and nanoseconds.
    pub mtime: (i64, i64),
}

impl Stamp {
    /// That of an open file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Opened contents of a file.
#[non_exhaustive]
pub enum Opened<'a> {
    /// A file of the file system, at its start: its data need not pass through this process.
    File(File),
    /// Anything else.
    Stream(Box<dyn Read + 'a>),
}

/// Why a tree could not be read whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The file system gave an error.
    #[error("cannot read {}", path.display())]
    Read {
        /// What was read, where it lies.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file has another length than it had a moment before.
    #[error(
        "{} has changed while it was read: {expected} bytes were expected, {found} found; \
         a store path must never change (see `nix store verify`)",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Bytes that it had when it was listed.
        expected: u64,
        /// Bytes that it has now, or so far.
        found: u64,
    },
    /// A file was written to, or another one was put in its place, though its length is the same.
    #[error(
        "{} has changed since it was hashed, or while it was read; a store path must never change \
         (see `nix store verify`); after `nix store optimise`, run this again",
        path.display()
    )]
    Rewritten {
        /// The file.
        path: PathBuf,
    },
    /// A socket, pipe or device.
    #[error("{} is not a file, directory or link; a store path holds nothing else", path.display())]
    Kind {
        /// The entry.
        path: PathBuf,
    },
    /// The store has no such path.
    #[error("{path} is not there: the store at {} does not have it", store.display())]
    Missing {
        /// The store path.
        path: StorePath,
        /// The store's own place.
        store: PathBuf,
    },
    /// The place that the tree comes from, which is not a file system, gave an error.
    #[error("cannot take {path}")]
    Source {
        /// The store path.
        path: StorePath,
        /// That place's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the visitor does with the tree failed.
    #[error(transparent)]
    Visitor(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl TreeError {
    /// Wraps an error of the visitor's own.
    pub fn visitor(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Visitor(Box::new(error))
    }
}

/// Orders the names of siblings by Unicode code points, as Python's `sorted` does with decoded
/// names: bytewise, but that a byte which is not part of valid UTF-8 counts as U+DC80 and up, so
/// before U+E000.
pub fn sibling_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    if a.is_ascii() && b.is_ascii() {
        return a.cmp(b);
    }
    code_points(a).cmp(code_points(b))
}

fn code_points(name: &[u8]) -> impl Iterator<Item = u32> + '_ {
    name.utf8_chunks().flat_map(|chunk| {
        let escaped = chunk.invalid().iter().map(|&byte| 0xDC00 + u32::from(byte));
        chunk.valid().chars().map(u32::from).chain(escaped)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_bytes_stand_between_the_planes() {
        let mut names: Vec<&[u8]> = vec![
            "\u{e000}".as_bytes(),
            b"\xff",
            b"\x80",
            "\u{d7ff}".as_bytes(),
            b"z",
            "𐀀".as_bytes(),
        ];
        names.sort_by(|a, b| sibling_order(a, b));
        let expected: Vec<&[u8]> = vec![
            b"z",
            "\u{d7ff}".as_bytes(),
            b"\x80",
            b"\xff",
            "\u{e000}".as_bytes(),
            "𐀀".as_bytes(),
        ];
        assert_eq!(names, expected);
    }
}
