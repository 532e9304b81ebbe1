//! What a NAR holds.

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
