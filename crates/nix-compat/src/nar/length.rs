//! How long a NAR is, which follows from names, kinds and sizes alone.

use super::entry::Node;
use super::strings::{MAGIC, padding};

/// The length of the NAR of a tree whose entries are added one by one, in any order.
///
/// Sizes may come from someone who lies: a sum that is not a 64-bit number stays at the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NarLength(u64);

impl Default for NarLength {
    fn default() -> Self {
        let mut length = Self(0);
        length.string(MAGIC.len() as u64);
        length
    }
}

impl NarLength {
    /// Takes in one more entry: its name in the directory around it, which is none for the root,
    /// and what it is.
    pub fn add(&mut self, name: Option<&[u8]>, node: Node<'_>) {
        if let Some(name) = name {
            self.words(&["entry", "(", "name", "node", ")"]);
            self.string(name.len() as u64);
        }
        self.words(&["(", "type", ")"]);
        match node {
            Node::Directory => self.words(&["directory"]),
            Node::File { executable, size } => {
                self.words(&["regular", "contents"]);
                if executable {
                    self.words(&["executable", ""]);
                }
                self.string(size);
            }
            Node::Symlink { target } => {
                self.words(&["symlink", "target"]);
                self.string(target.len() as u64);
            }
        }
    }

    /// The length in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    fn words(&mut self, words: &[&str]) {
        for word in words {
            self.string(word.len() as u64);
        }
    }

    fn string(&mut self, length: u64) {
        for part in [8, length, padding(length) as u64] {
            self.0 = self.0.saturating_add(part);
        }
    }
}
