//! What the writers of OCI layouts and archives are told, and what they tell.

use std::collections::BTreeMap;

use oci::Digest;

use crate::documents::Documents;
use crate::layer_id::BlobId;
use crate::recipe::Layer;
use crate::spool::Spool;

/// How a layout or an archive is written.
#[derive(Clone, Copy)]
pub struct OciOptions<'a> {
    /// The names that the image gets, `REPOSITORY:TAG`.
    pub names: &'a [String],
    /// The manifest's annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether layers are hashed once more while they are written, so that one that is not what
    /// its digest says is an error.
    pub verify: bool,
    /// Whether the image is added to the index under its tag, as the one for its platform. Only
    /// for layouts in directories.
    pub index: bool,
    /// Where an archive keeps layers from when they are made until they are written.
    pub spool: &'a Spool,
    /// What is there already, and who is told what comes.
    pub destination: &'a dyn Destination,
}

/// What is reported of an image, and who is asked, while it is written.
pub trait Destination: Sync {
    /// Whether the blob of this digest is there already: it is left out then.
    fn has(&self, _digest: &Digest) -> bool {
        false
    }

    /// A layer is about to be made. Called from several threads.
    fn making(&self, _index: usize, _of: usize, _layer: &Layer<'_>) {}

    /// A layer is done; `made` unless it was there. Called from several threads.
    fn done(&self, _index: usize, _blob: &BlobId, _made: bool) {}
}

/// A destination that has nothing.
impl Destination for () {}

/// What was written.
#[derive(Debug, Clone)]
pub struct OciSummary {
    /// Configuration and manifest.
    pub documents: Documents,
    /// Layers that were there already.
    pub present: usize,
    /// Bytes that were written: of the archive, or of the layout's new blobs.
    pub written: u64,
}
