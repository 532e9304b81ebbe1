//! What is remembered of layers from one run to the next.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use image::layer_cache::{LayerCache, LayerKey};
use image::oci::LayerBlobs;
use image::{Image, Layer, LayerDigest, Promise, StoreLayer};
use nix_compat::{NarHash, StorePath};

use crate::resolve::image::ResolvedImage;

/// Where digests of layers are kept.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Whether digests are read and kept at all.
    pub is_used: bool,
    /// The directory, if it is not the default one.
    pub directory: Option<PathBuf>,
}

/// The cache, and the keys of one image's layers.
pub struct LayerKeys {
    cache: LayerCache,
    /// For each layer of the image; none where a NAR hash is not known, or the layer is not one of
    /// store paths.
    keys: Vec<Option<LayerKey>>,
}

impl LayerKeys {
    /// Opens the cache.
    pub fn open(settings: &CacheSettings, input: &ResolvedImage) -> Self {
        let directory = if settings.is_used {
            settings.directory.clone().or_else(default_directory)
        } else {
            None
        };
        let cache =
            directory.map_or_else(LayerCache::none, |directory| LayerCache::open(&directory));
        let image = &input.image;
        let keys = image.layers().into_iter().map(|layer| match layer {
            Layer::Store(layer) => key(image, layer, &input.nar_hashes),
            _ => None,
        });
        Self {
            cache,
            keys: keys.collect(),
        }
    }

    /// Gives layers the digests that are remembered, where they have none.
    pub fn recall(&self, image: &mut Image) {
        let above_base = image.base.as_ref().map_or(0, |base| base.layers.len());
        for (layer, key) in image.store_layers.iter_mut().zip(&self.keys[above_base..]) {
            if layer.promise.is_none() {
                layer.promise = key
                    .and_then(|key| self.cache.get(&key))
                    .map(Promise::Remembered);
            }
        }
    }

    /// Gives blobs of layers what is remembered of them.
    pub fn recall_blobs<'a>(&self, blobs: LayerBlobs<'a>) -> Result<LayerBlobs<'a>> {
        let blobs = blobs.with_keys(&self.keys)?;
        blobs.recall(&self.cache);
        Ok(blobs)
    }

    /// Remembers blobs of layers.
    pub fn keep_blobs(&mut self, blobs: &LayerBlobs<'_>) -> Result<()> {
        let new = blobs.memories();
        self.cache.add(new).context("the cache cannot be written")
    }

    /// Remembers the digests of the image's layers.
    pub fn keep(&mut self, digests: &[LayerDigest]) -> Result<()> {
        let new = self
            .keys
            .iter()
            .zip(digests)
            .filter_map(|(key, digest)| Some(((*key)?, *digest)));
        self.cache.add(new).context("the cache cannot be written")
    }
}

fn key(
    image: &Image,
    layer: &StoreLayer,
    nar_hashes: &BTreeMap<StorePath, NarHash>,
) -> Option<LayerKey> {
    let paths = layer
        .paths
        .iter()
        .map(|path| Some((path, nar_hashes.get(path)?)));
    Some(LayerKey::new(
        &image.rules,
        paths.collect::<Option<Vec<_>>>()?,
    ))
}

fn default_directory() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // A build's home is not there, and must not be made.
    let home = || absolute("HOME").filter(|home| home.is_dir());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache")))?;
    Some(cache.join("stream-layered"))
}
