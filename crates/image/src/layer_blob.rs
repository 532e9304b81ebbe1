//! A layer as a blob: how manifests name it.

use oci::Digest;

/// A layer as a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerBlob {
    /// Digest of the layer's tar.
    pub diff_id: Digest,
    /// Digest of the blob: the same, unless it is compressed.
    pub digest: Digest,
    /// Length of the blob in bytes.
    pub size: u64,
    /// How it is compressed.
    pub media_type: &'static str,
}
