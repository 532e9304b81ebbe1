//! The tree that packages are linked into, and what has no place in it.

use std::collections::BTreeMap;
use std::fmt;

/// Names and what they stand for.
pub(super) type Directory = BTreeMap<Vec<u8>, Node>;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// `first` is one of the directories that were merged, for messages.
    Directory { entries: Directory, first: Vec<u8> },
    /// `of` is the link that was copied; without, `text` is the path of what is linked to.
    Link { text: Vec<u8>, of: Option<Vec<u8>> },
}

impl Node {
    pub(super) fn directory(first: Vec<u8>) -> Self {
        let entries = Directory::new();
        Self::Directory { entries, first }
    }

    pub(super) fn to(text: Vec<u8>) -> Self {
        Self::Link { text, of: None }
    }
}

/// An entry of a package that is not in the root, because another package has its name.
///
/// Its text is the warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The entry.
    pub path: Vec<u8>,
    /// What has its name.
    pub kept: Vec<u8>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, kept) = (
            String::from_utf8_lossy(&self.path),
            String::from_utf8_lossy(&self.kept),
        );
        write!(
            f,
            "{path} is left out of the image's root: {kept} has the same name"
        )
    }
}
