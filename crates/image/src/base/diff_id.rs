//! Holds layers of a base image to their diff IDs while they are copied.

use std::io::{self, Read, Write};

use flate2::write::MultiGzDecoder;
use oci::{DigestWriter, media_type};

use super::error::BaseError;
use super::image::BaseLayer;
use crate::layer_id::BlobId;
use crate::sink::{BUFFER, CopyError, Sink, Stop, copy_exactly};

/// A sink that takes the digest of the tar in what goes through it into another.
pub(crate) struct DiffIdSink<'a, S> {
    sink: &'a mut S,
    tar: Tar,
    /// Why the tar's digest is not to be had.
    failed: Option<io::Error>,
    buffer: Box<[u8]>,
}

/// Takes the tar's digest. Decompressors work in a bounded memory: gzip's in 32 kB, zstd's in 128 MiB.
enum Tar {
    Plain(DigestWriter),
    Gzip(Box<MultiGzDecoder<DigestWriter>>),
    Zstd(zstd::stream::write::Decoder<'static, DigestWriter>),
}

impl<'a, S: Sink> DiffIdSink<'a, S> {
    /// Puts itself before `sink`, which takes a layer's tar, or this blob of it.
    ///
    /// # Errors
    ///
    /// There is no memory for a decompressor.
    pub(crate) fn new(sink: &'a mut S, blob: Option<BlobId>) -> Result<Self, Stop> {
        let digest = DigestWriter::default();
        let tar = match blob.map(|blob| blob.media_type) {
            Some(media_type::LAYER_GZIP) => Tar::Gzip(Box::new(MultiGzDecoder::new(digest))),
            Some(media_type::LAYER_ZSTD) => Tar::Zstd(zstd::stream::write::Decoder::new(digest)?),
            _ => Tar::Plain(digest),
        };
        Ok(Self {
            sink,
            tar,
            failed: None,
            buffer: vec![0; BUFFER].into(),
        })
    }

    /// Compares the tar with the diff ID of the layer that it should be.
    ///
    /// # Errors
    ///
    /// It is another, or cannot be decompressed.
    pub(crate) fn finish(self, layer: &BaseLayer) -> Result<(), BaseError> {
        let digest = match (self.failed, self.tar) {
            (Some(error), _) => Err(error),
            (None, Tar::Plain(digest)) => Ok(digest),
            (None, Tar::Gzip(decoder)) => decoder.finish(),
            (None, Tar::Zstd(mut decoder)) => decoder.flush().map(|()| decoder.into_inner()),
        };
        let digest = digest.map_err(|source| BaseError::Decompress {
            layer: layer.name.clone(),
            source,
        })?;
        let (found, _) = digest.finish();
        if found == layer.diff_id {
            return Ok(());
        }
        Err(layer.wrong_diff_id(layer.diff_id, found))
    }
}

impl Tar {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(digest) => {
                digest.update(bytes);
                Ok(())
            }
            Self::Gzip(decoder) => decoder.write_all(bytes),
            Self::Zstd(decoder) => decoder.write_all(bytes),
        }
    }
}

/// Gives bytes to the tar's digest, until that fails.
fn take(tar: &mut Tar, failed: &mut Option<io::Error>, bytes: &[u8]) {
    if failed.is_none() {
        *failed = tar.take(bytes).err();
    }
}

impl<S: Sink> Sink for DiffIdSink<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        take(&mut self.tar, &mut self.failed, bytes);
        self.sink.write(bytes)
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        let Self {
            sink,
            tar,
            failed,
            buffer,
        } = self;
        copy_exactly(stream, size, buffer, |bytes| {
            take(tar, failed, bytes);
            sink.write(bytes)
        })
    }
}
