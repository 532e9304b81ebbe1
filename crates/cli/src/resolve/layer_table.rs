//! What is known of an image's layers before they are read: from the image itself, and from the cache.

use std::env;
use std::path::PathBuf;

use anyhow::Result;
use image::layer_cache::LayerCache;
use image::{Compression, LayerTable};

use crate::resolve::image::ResolvedImage;

/// Where digests of layers are kept.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Whether digests are read and kept at all.
    pub is_used: bool,
    /// The directory, if it is not the default one.
    pub directory: Option<PathBuf>,
}

impl CacheSettings {
    /// Opens the cache.
    pub fn open(&self) -> LayerCache {
        let directory = if self.is_used {
            self.directory.clone().or_else(default_directory)
        } else {
            None
        };
        directory.map_or_else(LayerCache::none, |directory| LayerCache::open(&directory))
    }
}

/// The layers of an image, compressed so, with what the image says of them and what the cache does.
pub fn layer_table<'a>(
    input: &'a ResolvedImage,
    compression: Compression,
    cache: &LayerCache,
) -> Result<LayerTable<'a>> {
    let table = LayerTable::new(&input.image, compression)?.with_keys(&input.nar_hashes);
    table.recall(cache);
    Ok(table)
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
