//! Whether the files of a layer are those that were hashed.
//!
//! An archive has a layer's digest before its bytes, so its files are read twice. What is compared is
//! what the file system says of each, which takes no time, not their bytes: a file that is written to
//! in between fails the run, with its path, and does not make a layer that is not what its digest says.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use nix_compat::tree::Stamp;

/// What was seen of a layer's files, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// A number for each stamp: a layer may have a hundred thousand files.
    files: Vec<u64>,
    /// How many were compared; none are while they are seen for the first time.
    compared: Option<usize>,
}

impl Seen {
    /// The same files, to be compared with what will be seen.
    pub(crate) fn again(&self) -> Self {
        Self {
            files: self.files.clone(),
            compared: Some(0),
        }
    }

    /// Takes the next file; says whether it is the one that was seen before, if one was.
    pub(crate) fn file(&mut self, stamp: Option<Stamp>) -> bool {
        let mut hasher = DefaultHasher::new();
        stamp.hash(&mut hasher);
        let number = hasher.finish();
        let Some(at) = &mut self.compared else {
            self.files.push(number);
            return true;
        };
        *at += 1;
        self.files.get(*at - 1) == Some(&number)
    }
}
