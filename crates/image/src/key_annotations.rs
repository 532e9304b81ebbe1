//! What a manifest's layers say of themselves, for other machines to recall: for which key their
//! blob was made, what digest its tar has, and how long that is. So a machine without any cache
//! finds in an image that stands in a registry which of its layers it would make again, and need not
//! read any of them.
//!
//! These annotations are believed as far as the image is: who can write them can write the image.
//! A blob counts as present only if its destination says so, and one that is made after all is
//! compared with what was remembered.

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

impl LayerTable<'_> {
    /// Takes from an image's layers what they say of layers that are not yet known.
    pub fn recall_from_layers(&self, layers: &[Descriptor]) {
        let media_type = self.compression().media_type();
        let remembered: BTreeMap<&str, &Descriptor> = layers
            .iter()
            .filter(|layer| layer.media_type == media_type)
            .filter_map(|layer| Some((layer.annotations.get(LAYER_KEY)?.as_str(), layer)))
            .collect();
        for index in 0..self.len() {
            if let Some(key) = self.blob_key(index)
                && let Some(layer) = remembered.get(key.hex().as_str())
                && let Some(tar) = tar(layer)
            {
                let blob = BlobId {
                    digest: layer.digest,
                    size: layer.size,
                    media_type,
                };
                self.remember_blob(index, tar, blob);
            }
        }
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
