//! Where in a tree a reader or writer stands. It keeps the rules for names, their order, and depth
//! that both have.

use super::error::Problem;
use super::limits::Limits;
use crate::shown::shown;

/// The path of the last entry, and the directories around it that are not closed yet.
#[derive(Debug, Default)]
pub(super) struct Position {
    path: Vec<u8>,
    /// Length of each open directory's own path. What follows in `path` is its last child so far.
    open: Vec<usize>,
}

impl Position {
    /// Path of the last entry.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// How many directories are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Path of the innermost directory that is open.
    pub(super) fn directory(&self) -> Option<&[u8]> {
        self.open.last().map(|&end| &self.path[..end])
    }

    /// The last entry is a directory, and what follows is in it.
    pub(super) fn open(&mut self) {
        self.open.push(self.path.len());
    }

    /// The innermost directory has ended: it is the last entry again.
    pub(super) fn close(&mut self) {
        if let Some(end) = self.open.pop() {
            self.path.truncate(end);
        }
    }

    /// Goes on to the next child of the innermost directory.
    pub(super) fn child(&mut self, name: &[u8], limits: &Limits) -> Result<(), Problem> {
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|&b| b == b'/' || b == 0) {
            return Err(Problem::Name(shown(name)));
        }
        if name.len() > limits.name {
            return Err(Problem::Length {
                what: "name",
                length: name.len() as u64,
                most: limits.name as u64,
            });
        }
        if self.open.len() > limits.depth {
            return Err(Problem::Depth(limits.depth));
        }
        let directory = self.open.last().copied().unwrap_or(0);
        // The root's path is empty, so its children stand without a slash before them.
        let start = if directory == 0 { 0 } else { directory + 1 };
        let previous = self.path.get(start..).unwrap_or_default();
        if !previous.is_empty() && name <= previous {
            return Err(Problem::Order {
                name: shown(name),
                previous: shown(previous),
            });
        }
        self.path.truncate(directory);
        if directory != 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        Ok(())
    }
}
