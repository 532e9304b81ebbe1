//! Trees without their files' contents, from listings where a cache has them.
//!
//! No key signs a listing, but the hash of the NAR. So a listing that was believed is held to the NAR
//! once that is read.

use std::io;
use std::sync::PoisonError;

use nix_compat::StorePath;
use nix_compat::nar::Node;
use nix_compat::tree::{Contents, Opened, TreeError, Trees, Visit};

use super::caches::BinaryCaches;
use super::found::Failed;
use super::outline_digest::OutlineDigest;

/// Trees without contents: see [`BinaryCaches::outlines`].
#[derive(Debug, Clone, Copy)]
pub struct Outlines<'a> {
    caches: &'a BinaryCaches,
}

impl BinaryCaches {
    /// The caches' trees without their files' contents: from a cache's listings, where it has them,
    /// else from the NARs. To ask for contents is an error. A listing is a cache's word alone; that
    /// the NAR of the same path holds the same tree is seen when it is visited.
    pub fn outlines(&self) -> Outlines<'_> {
        Outlines { caches: self }
    }
}

impl Trees for Outlines<'_> {
    fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        let listing = self.caches.listing(path);
        let Some(listing) = listing.map_err(|error| Failed::Cache(error).of(path))? else {
            return self.caches.visit(path, &mut WithoutContents(visitor));
        };
        let mut visitor = OutlineDigest::new(visitor);
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
