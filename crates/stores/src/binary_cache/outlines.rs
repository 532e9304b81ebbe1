//! Trees without their files' contents, from listings where a cache has them.
//!
//! No key signs a listing, but the hash of the NAR. So a listing that was believed is held to the NAR
//! once that is read.

use std::io;
use std::sync::PoisonError;

use nix_compat::StorePath;
use nix_compat::nar::Node;
use nix_compat::tree::{Contents, Opened, TreeError, Trees, Visit};
use sha2::{Digest, Sha256};

use super::{BinaryCaches, Failed};

/// Trees without contents: see [`BinaryCaches::outlines`].
#[derive(Debug, Clone, Copy)]
pub struct Outlines<'a> {
    caches: &'a BinaryCaches,
}

impl<'a> Outlines<'a> {
    pub(super) fn new(caches: &'a BinaryCaches) -> Self {
        Self { caches }
    }
}

impl Trees for Outlines<'_> {
    fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        let listing = self.caches.listing(path);
        let Some(listing) = listing.map_err(|error| Failed::Cache(error).of(path))? else {
            return self.caches.visit(path, &mut WithoutContents(visitor));
        };
        let mut visitor = Outlined::new(visitor);
        let root = path.as_str().as_bytes();
        for entry in listing.entries() {
            // Names of a listing are UTF-8, for which the order of bytes is that of visitors.
            let path = match entry.path {
                b"" => root.to_vec(),
                below => [root, below].join(&b'/'),
            };
            match entry.node {
                Node::Directory => visitor.directory(&path)?,
                Node::Symlink { target } => visitor.symlink(&path, target)?,
                Node::File { executable, size } => {
                    visitor.file(&path, executable, &mut SizeOnly(size))?;
                }
            }
        }
        let listed = self.caches.listed.lock();
        let mut listed = listed.unwrap_or_else(PoisonError::into_inner);
        listed.insert(path.clone(), visitor.finish());
        Ok(())
    }
}

/// Passes entries on, but for the files' contents.
struct WithoutContents<'a>(&'a mut dyn Visit);

impl Visit for WithoutContents<'_> {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.0.directory(path)
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        contents: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        self.0
            .file(path, executable, &mut SizeOnly(contents.size()))
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        self.0.symlink(path, target)
    }
}

struct SizeOnly(u64);

impl Contents for SizeOnly {
    fn size(&self) -> u64 {
        self.0
    }

    fn open(&mut self) -> Result<Opened<'_>, TreeError> {
        let why = "an outline has no contents";
        Err(TreeError::visitor(io::Error::new(
            io::ErrorKind::Unsupported,
            why,
        )))
    }
}

/// Passes a tree on, and takes a digest of all but the files' contents.
pub(super) struct Outlined<'a> {
    visitor: &'a mut dyn Visit,
    digest: Sha256,
}

impl<'a> Outlined<'a> {
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

impl Visit for Outlined<'_> {
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
