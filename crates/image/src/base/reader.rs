//! Copies layers out of a base image.

use std::io::{self, Read as _};
use std::path::Path;

use super::archive_file::ArchiveFile;
use super::error::BaseError;
use super::image::{BaseContent, BaseImage, BaseLayer, BaseSource, BlobStore};
use crate::layer_id::BlobId;
use crate::sink::{CopyError, HashingSink, Sink};

/// Copies layers out of a base image.
pub struct BaseReader<'a>(Reader<'a>);

enum Reader<'a> {
    Archive { path: &'a Path, file: ArchiveFile },
    Blobs(&'a dyn BlobStore),
}

impl BaseImage {
    /// Starts to copy layers out; in ascending order of their place in an archive none is read
    /// twice.
    ///
    /// # Errors
    ///
    /// The archive cannot be opened.
    pub fn reader(&self) -> Result<BaseReader<'_>, BaseError> {
        Ok(BaseReader(match &self.source {
            BaseSource::Archive {
                archive,
                compression,
            } => Reader::Archive {
                path: &archive.path,
                file: ArchiveFile::open(archive, *compression).map_err(|source| {
                    BaseError::Read {
                        path: archive.path.clone(),
                        source,
                    }
                })?,
            },
            BaseSource::Blobs(store) => Reader::Blobs(&**store),
        }))
    }
}

impl BaseReader<'_> {
    /// Writes the contents of a layer of this image to `sink`: its tar, or its blob as it is.
    ///
    /// # Errors
    ///
    /// They cannot be read, a blob is not what its digest says, or the sink takes no more.
    pub fn copy(&mut self, layer: &BaseLayer, sink: &mut impl Sink) -> Result<(), BaseError> {
        match (&mut self.0, &layer.content) {
            (Reader::Archive { path, file }, &BaseContent::Member { offset, size, .. }) => {
                let read = |source| BaseError::Read {
                    path: path.to_owned(),
                    source,
                };
                file.seek_to(offset).map_err(read)?;
                match sink.copy_stream(&mut file.take(size), size) {
                    Ok(copied) if copied == size => Ok(()),
                    Ok(_) => Err(BaseError::Truncated {
                        path: path.to_owned(),
                        layer: layer.name.clone(),
                    }),
                    Err(CopyError::Read(source)) => Err(read(source)),
                    Err(CopyError::Write(stop)) => Err(BaseError::Sink(stop)),
                }
            }
            (Reader::Blobs(store), BaseContent::Blob(blob)) => copy_blob(*store, blob, sink),
            // An image's layers are all of its own kind: what is left is a link that leads nowhere.
            _ => Err(BaseError::LinkToNothing {
                layer: layer.name.clone(),
            }),
        }
    }
}

/// Writes a blob to `sink`, and holds it to its size and its digest.
pub(super) fn copy_blob(
    store: &dyn BlobStore,
    blob: &BlobId,
    sink: &mut impl Sink,
) -> Result<(), BaseError> {
    let failed = |source| BaseError::Blob {
        name: store.name(),
        digest: blob.digest,
        source,
    };
    let mut sink = HashingSink::new(sink);
    let mut result = Ok(0);
    store
        .read(&blob.digest, blob.size, &mut |stream| {
            result = sink.copy_stream(stream, blob.size);
        })
        .map_err(failed)?;
    match result {
        Ok(size) if size != blob.size => Err(failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "it has not the size that its manifest says",
        ))),
        Ok(_) if sink.finish() == blob.digest => Ok(()),
        Ok(_) => Err(failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not what its digest says",
        ))),
        Err(CopyError::Read(source)) => Err(failed(source)),
        Err(CopyError::Write(stop)) => Err(BaseError::Sink(stop)),
    }
}
