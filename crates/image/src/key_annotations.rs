//! What a manifest's layers say of themselves, for other machines to recall: for which key their
//! blob was made, what digest its tar has, and how long that is. So a machine without any cache
//! finds in an image that stands in a registry which of its layers it would make again, and need not
//! read any of them.
//!
//! These annotations are claims, which nothing proves. Who can write them can write the image that has
//! them, so they may be believed for the repository where that image is, and for no other; and they
//! never come into the cache. A blob counts as present only if its destination says so, and one that
//! is made after all is compared with what was claimed.

use std::collections::BTreeMap;

use oci::Descriptor;

use crate::layer_id::{BlobId, TarId};
use crate::layer_table::LayerTable;

/// Annotation of a layer: the key that its blob was made for, of base 16. Equal keys, equal blobs.
pub const LAYER_KEY: &str = "io.github.stream-layered.key";
/// Annotation of a layer: the digest of its tar.
pub const DIFF_ID: &str = "io.github.stream-layered.diff-id";
/// Annotation of a layer: the length of its tar in bytes.
pub const TAR_SIZE: &str = "io.github.stream-layered.tar-size";

/// What an image's annotations say of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its tar.
    pub tar: TarId,
    /// Its blob.
    pub blob: BlobId,
}

impl LayerTable<'_> {
    /// What an image's layers say of ours of which no blob is known, by the index of these.
    pub fn claims(&self, layers: &[Descriptor]) -> BTreeMap<usize, Claim> {
        let media_type = self.compression().media_type();
        let claimed: BTreeMap<&str, &Descriptor> = layers
            .iter()
            .filter(|layer| layer.media_type == media_type)
            .filter_map(|layer| Some((layer.annotations.get(LAYER_KEY)?.as_str(), layer)))
            .collect();
        let claim = |index| {
            let key = self.blob_key(index)?;
            let layer = claimed.get(key.hex().as_str())?;
            let blob = BlobId {
                digest: layer.digest,
                size: layer.size,
                media_type,
            };
            let tar = tar(layer)?;
            Some((index, Claim { tar, blob }))
        };
        let unknown = (0..self.len()).filter(|index| self.blob(*index).is_none());
        unknown.filter_map(claim).collect()
    }

    /// What a manifest says of a layer, for others to recall.
    pub(crate) fn annotations(&self, index: usize) -> BTreeMap<String, String> {
        let (Some(key), Some(tar)) = (self.blob_key(index), self.tar(index).value()) else {
            return BTreeMap::new();
        };
        [
            (LAYER_KEY, key.hex()),
            (DIFF_ID, tar.digest.to_string()),
            (TAR_SIZE, tar.size.to_string()),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .into()
    }
}

/// What a layer's annotations say of its tar.
fn tar(layer: &Descriptor) -> Option<TarId> {
    Some(TarId {
        digest: layer.annotations.get(DIFF_ID)?.parse().ok()?,
        size: layer.annotations.get(TAR_SIZE)?.parse().ok()?,
    })
}
