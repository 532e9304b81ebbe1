//! What is linked.

use nix_compat::store_path::ParseStorePathError;
use nix_compat::{StoreDir, StorePath};

/// A directory in the store whose entries are linked: a store path, or one in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    store_path: StorePath,
    text: String,
}

impl Package {
    /// The package at an absolute path (`/nix/store/HASH-name`, `/nix/store/HASH-name/share`).
    ///
    /// # Errors
    ///
    /// The path does not lie in the store.
    pub fn parse(store_dir: &StoreDir, text: &str) -> Result<Self, ParseStorePathError> {
        Ok(Self {
            store_path: store_dir.parse_inside(text)?,
            text: text.to_owned(),
        })
    }

    /// The store path that it lies in, or is.
    pub fn store_path(&self) -> &StorePath {
        &self.store_path
    }

    /// Its path.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<StorePath> for Package {
    fn from(store_path: StorePath) -> Self {
        Self {
            text: store_path.as_str().to_owned(),
            store_path,
        }
    }
}
