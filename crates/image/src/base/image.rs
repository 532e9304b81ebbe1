//! What is known of a base image: its layers, and where their bytes are.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use oci::Digest;
use serde_json::Value;

use super::archive_file::ArchiveCompression;
use super::archive_source::ArchiveSource;
use super::error::BaseError;
use super::inherit::Inherit;
use crate::bytes::tar::{Kind, Member, Owner, PaxRecords};
use crate::layer_id::{BlobId, TarId};

/// A base image, with what another image takes from it.
#[derive(Debug)]
pub struct BaseImage {
    pub(super) source: BaseSource,
    /// Layers, bottom first.
    pub layers: Vec<BaseLayer>,
    /// The image's configuration.
    pub config: Value,
    /// What of it another image takes over.
    pub inherit: BTreeSet<Inherit>,
    /// What the user should know of how it was chosen.
    pub warnings: Vec<String>,
}

/// Where a base image is read from.
#[derive(Debug)]
pub(super) enum BaseSource {
    /// A docker-archive.
    Archive {
        archive: ArchiveSource,
        compression: ArchiveCompression,
    },
    /// An OCI layout, or a registry.
    Blobs(Box<dyn BlobStore>),
}

/// Where the blobs of a base image are: a layout, a repository of a registry.
pub trait BlobStore: fmt::Debug + Send + Sync {
    /// What messages call it.
    fn name(&self) -> String;

    /// Hands a reader of a blob to `take`. `size` is in bytes.
    ///
    /// # Errors
    ///
    /// The blob is not there, or cannot be opened.
    fn read(
        &self,
        digest: &Digest,
        size: u64,
        take: &mut dyn FnMut(&mut dyn Read),
    ) -> io::Result<()>;
}

/// One layer of a base image.
#[derive(Debug)]
pub struct BaseLayer {
    /// Its name in a docker-archive's manifest.
    pub name: String,
    /// Digest of the layer's tar, as the image's configuration says.
    pub diff_id: Digest,
    /// Where its bytes are.
    pub content: BaseContent,
    pub(super) mode: u32,
    pub(super) mtime: i64,
    pub(super) owner: Owner,
    pub(super) pax: PaxRecords,
}

/// Where the bytes of a base image's layer are.
#[derive(Debug)]
pub enum BaseContent {
    /// The layer's tar, or its blob, is a member of an archive.
    Member {
        /// Where the member's contents start, in bytes from the archive's start.
        offset: u64,
        /// Their length in bytes.
        size: u64,
        /// What they are if they are compressed.
        blob: Option<BlobId>,
    },
    /// A link in an archive, with its target: `docker save` links layers that are there twice.
    Link(Vec<u8>),
    /// A blob.
    Blob(BlobId),
}

impl BaseImage {
    /// The layer that holds the contents of this one: itself, unless it is a link to an equal one.
    pub fn contents_of<'a>(&'a self, layer: &'a BaseLayer) -> &'a BaseLayer {
        let has_contents = |other: &&BaseLayer| {
            other.diff_id == layer.diff_id && !matches!(other.content, BaseContent::Link(_))
        };
        self.layers.iter().find(has_contents).unwrap_or(layer)
    }

    /// A layer's tar, where its length is known: that of a compressed blob is not.
    pub fn tar(&self, layer: &BaseLayer) -> Option<TarId> {
        let size = match self.contents_of(layer).content {
            BaseContent::Member {
                size, blob: None, ..
            } => size,
            BaseContent::Blob(blob) if blob.digest == layer.diff_id => blob.size,
            BaseContent::Member { .. } | BaseContent::Blob(_) | BaseContent::Link(_) => {
                return None;
            }
        };
        Some(TarId {
            digest: layer.diff_id,
            size,
        })
    }

    /// A layer as a blob, where it is one.
    pub fn blob(&self, layer: &BaseLayer) -> Option<BlobId> {
        match self.contents_of(layer).content {
            BaseContent::Blob(blob) => Some(blob),
            BaseContent::Member { blob, .. } => blob,
            BaseContent::Link(_) => None,
        }
    }
}

impl BaseLayer {
    /// Length of what [`BaseReader`](super::BaseReader) copies, in bytes; nothing for a link.
    pub fn copied_size(&self) -> Option<u64> {
        match self.content {
            BaseContent::Member { size, .. } => Some(size),
            BaseContent::Blob(blob) => Some(blob.size),
            BaseContent::Link(_) => None,
        }
    }

    /// The error of a layer that is not what its digest says.
    pub(crate) fn wrong_diff_id(&self, expected: Digest, found: Digest) -> BaseError {
        BaseError::WrongDiffId {
            layer: self.name.clone(),
            expected,
            found,
        }
    }

    /// The layer as a member of an archive.
    pub fn member(&self) -> Member<'_> {
        let kind = match &self.content {
            BaseContent::Member { size, .. } => Kind::File(*size),
            BaseContent::Blob(blob) => Kind::File(blob.size),
            BaseContent::Link(target) => Kind::Symlink(target),
        };
        Member {
            name: self.name.as_bytes(),
            kind,
            mode: self.mode,
            mtime: self.mtime,
            owner: &self.owner,
            pax: self.pax.clone(),
        }
    }
}
