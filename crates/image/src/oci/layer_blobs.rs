//! The layers of an image as blobs: which bytes they are, and their digests.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix_compat::tree::Trees;

use super::document::layer_media_type;
use crate::base::{BaseLayer, BaseReader};
use crate::digest::DigestWriter;
use crate::sink::{HashingSink, Sink, WriteSink};
use crate::{Compression, Digest, Error, Image, Layer, LayerDigest, Promise, StoreLayer};

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

/// The layers of an image, as blobs of one compression. A base image's layers are taken as they
/// are, where they are blobs already.
pub struct LayerBlobs<'a> {
    image: &'a Image,
    trees: &'a dyn Trees,
    layers: Vec<Layer<'a>>,
    compression: Compression,
    jobs: NonZeroUsize,
    known: Vec<OnceLock<LayerBlob>>,
    /// A reader of the base image that is not in use: reading on is cheaper than anew.
    base: Mutex<Option<BaseReader<'a>>>,
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
            known: layers.iter().map(|_| OnceLock::new()).collect(),
            image,
            trees,
            layers,
            compression,
            jobs,
            base: Mutex::new(None),
        };
        for (index, layer) in blobs.layers.iter().enumerate() {
            if let Layer::Base(layer) = layer
                && let Some(blob) = layer.blob()
            {
                blobs.know(index, blob);
            } else if compression == Compression::None
                && let Some(LayerDigest { diff_id, size }) = layer.known_digest()?
            {
                let blob = LayerBlob {
                    diff_id,
                    digest: diff_id,
                    size,
                    media_type: layer_media_type(compression),
                };
                blobs.know(index, blob);
            }
        }
        Ok(blobs)
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
        self.known[index].get().copied()
    }

    /// Says what a layer's blob is, before it is read: it was remembered, or the destination has
    /// it, also in another compression. What was known before stays.
    pub fn know(&self, index: usize, blob: LayerBlob) {
        let _ = self.known[index].set(blob);
    }

    /// Writes a layer's blob, and gives what it is, which is known from then on.
    ///
    /// # Errors
    ///
    /// The layer cannot be read, `out` cannot be written, or the blob is not the one that was
    /// known: what was written is of no use then.
    pub fn write(&self, index: usize, out: impl Write) -> Result<LayerBlob, Error> {
        let mut out = Hashed {
            out,
            digest: DigestWriter::default(),
        };
        let layer = &self.layers[index];
        let (diff_id, media_type) = match layer {
            Layer::Base(base) if let Some(blob) = base.blob() => {
                let mut sink = WriteSink::new(&mut out);
                self.copy_base(base, &mut sink)?;
                (blob.diff_id, blob.media_type)
            }
            _ => {
                let diff_id = match self.compression {
                    Compression::None => {
                        self.write_tar(layer, &mut WriteSink::new(&mut out))?;
                        None
                    }
                    compression => {
                        let encoder = compression
                            .encoder(&mut out, self.jobs)
                            .map_err(Error::Output)?;
                        let mut sink = WriteSink::new(encoder);
                        let mut hashing = HashingSink::new(&mut sink);
                        self.write_tar(layer, &mut hashing)?;
                        let diff_id = hashing.finish();
                        sink.into_inner().finish().map_err(Error::from_sink)?;
                        Some(diff_id)
                    }
                };
                let diff_id = diff_id.unwrap_or_else(|| out.digest.clone().finish().0);
                (diff_id, layer_media_type(self.compression))
            }
        };
        let (digest, size) = out.digest.finish();
        let blob = LayerBlob {
            diff_id,
            digest,
            size,
            media_type,
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

    fn write_tar(&self, layer: &Layer<'a>, sink: &mut impl Sink) -> Result<(), Error> {
        match layer {
            Layer::Base(base) => self.copy_base(base, sink),
            layer => layer.write(self.trees, &self.image.rules, sink).map(|_| ()),
        }
    }

    fn copy_base(&self, layer: &'a BaseLayer, sink: &mut impl Sink) -> Result<(), Error> {
        let Some(base) = &self.image.base else {
            return Ok(());
        };
        let idle = self
            .base
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut reader = match idle {
            Some(reader) => reader,
            None => base.reader()?,
        };
        reader
            .copy(base.contents_of(layer), sink)?
            .map_err(Error::from_sink)?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        Ok(())
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
