//! What is remembered of layers' blobs: in the cache of this machine, and beside the image itself.
//!
//! A manifest's layers carry annotations that say which key their blob was made for, what digest
//! its tar has, and how long that is. So a machine without any cache finds in an image that stands
//! in a registry which of its layers it would make again, and need not read any of them.
//!
//! These annotations are believed as far as the image is: who can write them can write the image.
//! A blob counts as present only if its destination says so, and one that is made after all is
//! compared with what was remembered.

use std::collections::BTreeMap;

use oci::Descriptor;

use super::{LayerBlob, LayerBlobs};
use crate::layer_cache::{LayerCache, LayerKey};
use crate::{Compression, Digest, LayerDigest};

/// Annotation of a layer: the key that its blob was made for, of base 16. Equal keys, equal blobs.
pub const LAYER_KEY: &str = "io.github.stream-layered.key";
/// Annotation of a layer: the digest of its tar.
pub const DIFF_ID: &str = "io.github.stream-layered.diff-id";
/// Annotation of a layer: the length of its tar in bytes.
pub const TAR_SIZE: &str = "io.github.stream-layered.tar-size";

impl LayerBlobs<'_> {
    /// Takes from the cache what it knows of layers that are not yet known.
    pub fn recall(&self, cache: &LayerCache) {
        for index in 0..self.len() {
            let (Some(tar_key), Some(key)) = (self.tar_key(index), self.key(index)) else {
                continue;
            };
            if self.compression() == Compression::None {
                if let Some(tar) = cache.get(&tar_key) {
                    self.know_plain(index, &tar);
                }
            } else if let (Some(tar), Some(blob)) = (cache.get(&tar_key), cache.get(&key)) {
                self.remember(index, tar, blob.diff_id, blob.size);
            }
        }
    }

    /// Takes from an image's layers what they say of layers that are not yet known. Gives how many
    /// those were.
    pub fn recall_from(&self, layers: &[Descriptor]) -> usize {
        let media_type = self.compression().layer_media_type();
        let remembered: BTreeMap<&str, &Descriptor> = layers
            .iter()
            .filter(|layer| layer.media_type == media_type)
            .filter_map(|layer| Some((layer.annotations.get(LAYER_KEY)?.as_str(), layer)))
            .collect();
        let mut recalled = 0;
        for index in 0..self.len() {
            let Some(key) = self.key(index).filter(|_| self.get(index).is_none()) else {
                continue;
            };
            if let Some(layer) = remembered.get(key.hex().as_str())
                && let Some(tar) = tar(layer)
            {
                self.remember(index, tar, layer.digest, layer.size);
                recalled += 1;
            }
        }
        recalled
    }

    /// What the cache should know from now on.
    pub fn memories(&self) -> Vec<(LayerKey, LayerDigest)> {
        let of = |index| {
            let (key, tar_key) = (self.key(index)?, self.tar_key(index)?);
            let (blob, tar) = (self.get(index)?, self.tar(index)?);
            let blob = LayerDigest {
                diff_id: blob.digest,
                size: blob.size,
            };
            Some([(tar_key, tar), (key, blob)])
        };
        (0..self.len()).filter_map(of).flatten().collect()
    }

    /// What a manifest says of a layer, for others to recall.
    pub(super) fn annotations(&self, index: usize) -> BTreeMap<String, String> {
        let (Some(key), Some(tar)) = (self.key(index), self.tar(index)) else {
            return BTreeMap::new();
        };
        [
            (LAYER_KEY, key.hex()),
            (DIFF_ID, tar.diff_id.to_string()),
            (TAR_SIZE, tar.size.to_string()),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .into()
    }

    fn remember(&self, index: usize, tar: LayerDigest, digest: Digest, size: u64) {
        if self.get(index).is_some() {
            return;
        }
        self.know_tar_size(index, tar.size);
        self.know(
            index,
            LayerBlob {
                diff_id: tar.diff_id,
                digest,
                size,
                media_type: self.compression().layer_media_type(),
            },
        );
    }
}

/// What a layer's annotations say of its tar.
fn tar(layer: &Descriptor) -> Option<LayerDigest> {
    Some(LayerDigest {
        diff_id: layer.annotations.get(DIFF_ID)?.parse().ok()?,
        size: layer.annotations.get(TAR_SIZE)?.parse().ok()?,
    })
}
