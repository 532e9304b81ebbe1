//! The layers of an image as blobs: which bytes they are, and their digests.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix_compat::tree::Trees;
use oci::DigestWriter;

use super::permits::Permits;
use crate::base::{BaseLayer, BaseReader};
use crate::layer_blob::LayerBlob;
use crate::layer_cache::LayerKey;
use crate::sink::{HashingSink, Sink, WriteSink};
use crate::{Compression, Error, Image, Layer, LayerDigest, Promise, StoreLayer};

/// Most layers that are compressed at once, and most threads for each: 25 MiB a thread for zstd, so
/// that all together stay below 128 MiB with any number of processors.
const MOST_COMPRESSED: usize = 2;
const THREADS_EACH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// Most layers that are only copied at once.
const MOST_COPIED: usize = 8;

/// The layers of an image, as blobs of one compression. A base image's layers are taken as they
/// are, where they are blobs already.
pub struct LayerBlobs<'a> {
    image: &'a Image,
    trees: &'a dyn Trees,
    layers: Vec<Layer<'a>>,
    compression: Compression,
    jobs: NonZeroUsize,
    known: Vec<Known>,
    permits: Permits,
    /// A reader of the base image that is not in use: reading on is cheaper than anew.
    base: Mutex<Option<BaseReader<'a>>>,
}

/// What is known of one layer.
#[derive(Debug, Default)]
struct Known {
    /// Names what fixes the bytes of its tar.
    key: Option<LayerKey>,
    blob: OnceLock<LayerBlob>,
    /// Length of its tar in bytes.
    tar_size: OnceLock<u64>,
}

impl<'a> LayerBlobs<'a> {
    /// The layers of `image`, compressed so, each by at most `jobs` threads.
    ///
    /// # Errors
    ///
    /// The root's tar is not there.
    pub fn new(
        image: &'a Image,
        trees: &'a dyn Trees,
        compression: Compression,
        jobs: NonZeroUsize,
    ) -> Result<Self, Error> {
        let layers = image.layers();
        let blobs = Self {
            known: layers.iter().map(|_| Known::default()).collect(),
            image,
            trees,
            layers,
            compression,
            jobs,
            permits: Permits::new(match compression {
                Compression::None => jobs.get().min(MOST_COPIED),
                Compression::Gzip(_) | Compression::Zstd(_) => jobs.get().min(MOST_COMPRESSED),
            }),
            base: Mutex::new(None),
        };
        for (index, layer) in blobs.layers.iter().enumerate() {
            if let Some(blob) = base_blob(layer) {
                blobs.know(index, blob);
            } else if let Some(digest) = layer.known_digest()?
                && compression == Compression::None
            {
                blobs.know_plain(index, &digest);
            }
        }
        Ok(blobs)
    }

    /// Names what fixes the layers' tars, so that their digests can be remembered: for each layer
    /// of store paths the key of those. Other layers go by the digest of their tar.
    ///
    /// # Errors
    ///
    /// The root's tar is not there.
    pub fn with_keys(mut self, keys: &[Option<LayerKey>]) -> Result<Self, Error> {
        for (index, layer) in self.layers.iter().enumerate() {
            self.known[index].key = match layer {
                Layer::Store(_) => keys.get(index).copied().flatten(),
                layer if base_blob(layer).is_some() => None,
                layer => layer
                    .known_digest()?
                    .map(|digest| LayerKey::of_tar(&digest.diff_id)),
            };
        }
        Ok(self)
    }

    /// The image.
    pub fn image(&self) -> &'a Image {
        self.image
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is no layer; there always is one.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// A layer.
    pub fn layer(&self, index: usize) -> &Layer<'a> {
        &self.layers[index]
    }

    /// Where store paths are read.
    pub(crate) fn trees(&self) -> &'a dyn Trees {
        self.trees
    }

    /// Threads that compress.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        self.jobs
    }

    /// How new blobs are compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// What is known of a layer's blob.
    pub fn get(&self, index: usize) -> Option<LayerBlob> {
        self.known[index].blob.get().copied()
    }

    /// All layers' blobs, bottom first, where all are known.
    pub fn all(&self) -> Option<Vec<LayerBlob>> {
        (0..self.len()).map(|index| self.get(index)).collect()
    }

    /// The key of a layer's blob: that of its tar, and how it is compressed.
    pub fn key(&self, index: usize) -> Option<LayerKey> {
        let key = self.known[index].key?;
        Some(key.in_form(&self.compression.format()))
    }

    /// The key of a layer's tar.
    pub(super) fn tar_key(&self, index: usize) -> Option<LayerKey> {
        self.known[index].key
    }

    /// What is known of a layer's tar.
    pub fn tar(&self, index: usize) -> Option<LayerDigest> {
        Some(LayerDigest {
            diff_id: self.get(index)?.diff_id,
            size: *self.known[index].tar_size.get()?,
        })
    }

    /// Says what a layer's blob is, before it is read: it was remembered, or the destination has
    /// it, also in another compression. What was known before stays.
    pub fn know(&self, index: usize, blob: LayerBlob) {
        let _ = self.known[index].blob.set(blob);
    }

    /// Says how long a layer's tar is.
    pub(super) fn know_tar_size(&self, index: usize, size: u64) {
        let _ = self.known[index].tar_size.set(size);
    }

    /// Says what a layer's tar is, where that is its blob.
    pub(super) fn know_plain(&self, index: usize, LayerDigest { diff_id, size }: &LayerDigest) {
        self.know_tar_size(index, *size);
        self.know(
            index,
            LayerBlob {
                diff_id: *diff_id,
                digest: *diff_id,
                size: *size,
                media_type: Compression::None.layer_media_type(),
            },
        );
    }

    /// Writes a layer's blob, and gives what it is, which is known from then on.
    ///
    /// # Errors
    ///
    /// The layer cannot be read, `out` cannot be written, or the blob is not the one that was
    /// known: what was written is of no use then.
    pub fn write(&self, index: usize, out: impl Write) -> Result<LayerBlob, Error> {
        let _permit = self.permits.take();
        let mut out = Hashed {
            out,
            digest: DigestWriter::default(),
        };
        let layer = &self.layers[index];
        let blob = if let Some(blob) = base_blob(layer) {
            self.write_tar(layer, &mut WriteSink::new(&mut out))?;
            let (digest, size) = out.digest.finish();
            LayerBlob {
                digest,
                size,
                ..blob
            }
        } else if self.compression == Compression::None {
            self.write_tar(layer, &mut WriteSink::new(&mut out))?;
            let (digest, size) = out.digest.finish();
            self.know_tar_size(index, size);
            LayerBlob {
                diff_id: digest,
                digest,
                size,
                media_type: self.compression.layer_media_type(),
            }
        } else {
            let encoder = self
                .compression
                .encoder(&mut out, self.jobs.min(THREADS_EACH))
                .map_err(Error::Output)?;
            let mut sink = WriteSink::new(encoder);
            let mut hashing = HashingSink::new(&mut sink);
            let tar_size = self.write_tar(layer, &mut hashing)?;
            let diff_id = hashing.finish();
            sink.into_inner().finish().map_err(Error::from_sink)?;
            let (digest, size) = out.digest.finish();
            self.know_tar_size(index, tar_size);
            LayerBlob {
                diff_id,
                digest,
                size,
                media_type: self.compression.layer_media_type(),
            }
        };
        self.check(index, &blob)?;
        self.know(index, blob);
        Ok(blob)
    }

    /// Whether a blob that was made is what it was promised to be.
    fn check(&self, index: usize, blob: &LayerBlob) -> Result<(), Error> {
        let layer = &self.layers[index];
        let promised = match layer {
            Layer::Store(StoreLayer {
                promise: Some(Promise::Remembered(_)),
                ..
            }) => None,
            layer => layer.known_digest()?.map(|promised| promised.diff_id),
        };
        let known = self.get(index);
        let expectations = [
            (promised, blob.diff_id),
            (known.map(|known| known.diff_id), blob.diff_id),
            (known.map(|known| known.digest), blob.digest),
        ];
        for (expected, found) in expectations {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(Error::LayerDigest {
                    index: index + 1,
                    what: layer.describe(),
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }

    fn write_tar(&self, layer: &Layer<'a>, sink: &mut impl Sink) -> Result<u64, Error> {
        match layer {
            Layer::Base(base) => self.copy_base(base, sink),
            layer => layer.write(self.trees, &self.image.rules, sink),
        }
    }

    fn copy_base(&self, layer: &'a BaseLayer, sink: &mut impl Sink) -> Result<u64, Error> {
        let Some(base) = &self.image.base else {
            return Ok(0);
        };
        let contents = base.contents_of(layer);
        let idle = self
            .base
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut reader = match idle {
            Some(reader) => reader,
            None => base.reader()?,
        };
        reader.copy(contents, sink)?.map_err(Error::from_sink)?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        Ok(contents.size())
    }
}

/// A layer that is a blob already.
fn base_blob(layer: &Layer<'_>) -> Option<LayerBlob> {
    match layer {
        Layer::Base(layer) => layer.blob(),
        _ => None,
    }
}

/// A writer that takes the digest of what goes through it.
struct Hashed<W> {
    out: W,
    digest: DigestWriter,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
