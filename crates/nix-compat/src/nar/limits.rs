//! Bounds on what is read.

/// What a reader takes at most. The defaults are what Linux takes, so that every tree that can lie
/// in a store passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest name, in bytes (`NAME_MAX`).
    pub name: usize,
    /// Longest target of a link, in bytes (`PATH_MAX` without its NUL).
    pub target: usize,
    /// The maximum number of names in a path: half of `PATH_MAX`.
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
