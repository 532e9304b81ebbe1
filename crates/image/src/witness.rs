//! Whose word it is, where something is said of a layer that nobody has read now.

use std::fmt;

/// Who says what a layer is, without having read it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// The cache of this machine.
    Cache,
    /// The annotations of an image in a registry.
    Registry,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "the layer cache",
            Self::Registry => "an annotation in the registry",
        })
    }
}
