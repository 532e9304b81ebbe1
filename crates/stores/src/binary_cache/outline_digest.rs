//! The digest of a tree without its files' contents: what a listing says, and what must be found in
//! the NAR later.

use nix_compat::tree::{Contents, TreeError, Visit};
use sha2::{Digest, Sha256};

/// Passes a tree on, and takes a digest of all but the files' contents.
pub(super) struct OutlineDigest<'a> {
    visitor: &'a mut dyn Visit,
    digest: Sha256,
}

impl<'a> OutlineDigest<'a> {
    pub(super) fn new(visitor: &'a mut dyn Visit) -> Self {
        Self {
            visitor,
            digest: Sha256::new(),
        }
    }

    /// Equal for equal trees.
    pub(super) fn finish(self) -> Vec<u8> {
        self.digest.finalize().to_vec()
    }

    fn entry(&mut self, kind: u8, number: u64, path: &[u8]) {
        self.digest.update([kind]);
        for number in [number, path.len() as u64] {
            self.digest.update(number.to_le_bytes());
        }
        self.digest.update(path);
    }
}

impl Visit for OutlineDigest<'_> {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.entry(b'd', 0, path);
        self.visitor.directory(path)
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        contents: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        self.entry(if executable { b'x' } else { b'f' }, contents.size(), path);
        self.visitor.file(path, executable, contents)
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        self.entry(b'l', target.len() as u64, path);
        self.digest.update(target);
        self.visitor.symlink(path, target)
    }
}
