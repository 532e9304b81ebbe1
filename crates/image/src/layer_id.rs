//! How layers are named: by their tar, and by the blob that holds it. The two are different types,
//! so that neither is taken for the other where both are SHA-256 digests with a length.

use oci::Digest;

/// A layer's tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TarId {
    /// SHA-256 of the tar: the layer's diff ID.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// A layer's blob: its tar, or its tar compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobId {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// How it is compressed, as manifests say it.
    pub media_type: &'static str,
}

impl BlobId {
    /// The blob that is a tar as it is.
    pub fn plain(tar: TarId) -> Self {
        Self {
            digest: tar.digest,
            size: tar.size,
            media_type: oci::media_type::LAYER,
        }
    }
}
