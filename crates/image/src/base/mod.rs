//! A base image, whose layers come first in another image. They are taken as they are.

mod archive;
mod blobs;
mod inherit;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci::Digest;
use serde_json::Value;

use self::archive::{Compression, Positioned};
pub use self::blobs::BlobStore;
use self::blobs::copy_blob;
pub use self::inherit::{Inherit, merge_env};
use crate::layer_blob::LayerBlob;
use crate::sink::{CopyError, Sink};
use crate::tar::{Kind, Member, Owner, PaxRecords};

/// Longest manifest or configuration that is read, in bytes.
const MAX_JSON: u64 = 32 << 20;

/// A base image, with what another image takes from it.
#[derive(Debug)]
pub struct BaseImage {
    source: Source,
    /// Layers, bottom first.
    pub layers: Vec<BaseLayer>,
    /// The image's configuration.
    pub config: Value,
    /// What of it another image takes over.
    pub inherit: BTreeSet<Inherit>,
}

#[derive(Debug)]
enum Source {
    Archive {
        path: PathBuf,
        compression: Compression,
    },
    Blobs(Box<dyn BlobStore>),
}

/// One layer of a base image: a member of its archive.
#[derive(Debug)]
pub struct BaseLayer {
    /// The member's name in the archive's manifest.
    pub name: String,
    /// Digest of the layer's tar, as the image's configuration says.
    pub diff_id: Digest,
    blob: Option<LayerBlob>,
    offset: u64,
    content: BaseContent,
    mode: u32,
    mtime: i64,
    owner: Owner,
    pax: PaxRecords,
}

#[derive(Debug)]
enum BaseContent {
    File(u64),
    /// `docker save` links layers that are there twice.
    Symlink(Vec<u8>),
}

/// Why a base image cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// The file cannot be opened or read.
    #[error("cannot read the image {}", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// The system's, or the decompressor's, error.
        source: io::Error,
    },
    /// The file is no docker-archive.
    #[error("the image {} is no docker-archive: {what}; make one with `docker save` or `skopeo copy … docker-archive:FILE`", path.display())]
    Form {
        /// The archive.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// The blobs are no image.
    #[error("the image {name} cannot be used: {what}")]
    Blobs {
        /// Where the blobs are.
        name: String,
        /// What is missing or wrong.
        what: String,
    },
    /// A blob cannot be read.
    #[error("cannot read {digest} of the image {name}")]
    Blob {
        /// Where the blobs are.
        name: String,
        /// The blob.
        digest: Digest,
        /// The system's, or the registry's, error.
        source: io::Error,
    },
    /// A member is shorter than its header said.
    #[error("the image {} ends within its layer {layer}: it is not whole", path.display())]
    Truncated {
        /// The archive.
        path: PathBuf,
        /// The layer's name.
        layer: String,
    },
}

impl BaseImage {
    /// What another image takes over of this part of the configuration; nothing where the base has
    /// none.
    pub fn inherits(&self, part: Inherit) -> Option<&Value> {
        let of_base = self.config.pointer("/config")?.get(part.key())?;
        Some(of_base).filter(|of_base| self.inherit.contains(&part) && !of_base.is_null())
    }

    /// The layer that holds the contents of this one: itself, unless it is a link to an equal one.
    pub fn contents_of<'a>(&'a self, layer: &'a BaseLayer) -> &'a BaseLayer {
        let is_file = |other: &&BaseLayer| {
            other.diff_id == layer.diff_id && matches!(other.content, BaseContent::File(_))
        };
        self.layers.iter().find(is_file).unwrap_or(layer)
    }

    /// `config.Env` of the base: texts `NAME=value`.
    pub fn env(&self) -> Vec<String> {
        let texts = self.config.pointer("/config/Env").and_then(Value::as_array);
        texts
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    }

    /// Starts to copy layers out; in ascending order of their place in an archive none is read
    /// twice.
    ///
    /// # Errors
    ///
    /// The archive cannot be opened.
    pub fn reader(&self) -> Result<BaseReader<'_>, BaseError> {
        Ok(BaseReader(match &self.source {
            Source::Archive { path, compression } => Reader::Archive {
                path,
                reader: Positioned::open(path, *compression).map_err(|source| BaseError::Read {
                    path: path.clone(),
                    source,
                })?,
            },
            Source::Blobs(store) => Reader::Blobs(&**store),
        }))
    }
}

impl BaseLayer {
    /// The layer as a blob, where it is one.
    pub fn blob(&self) -> Option<LayerBlob> {
        self.blob
    }

    /// The layer as a member of an archive.
    pub fn member(&self) -> Member<'_> {
        let kind = match &self.content {
            BaseContent::File(size) => Kind::File(*size),
            BaseContent::Symlink(target) => Kind::Symlink(target),
        };
        Member {
            name: self.name.as_bytes(),
            kind,
            mode: self.mode,
            mtime: self.mtime,
            owner: &self.owner,
            pax: self.pax.clone(),
        }
    }

    /// Length of the member's contents, in bytes.
    pub fn size(&self) -> u64 {
        match self.content {
            BaseContent::File(size) => size,
            BaseContent::Symlink(_) => 0,
        }
    }
}

/// Copies layers out of a base image.
pub struct BaseReader<'a>(Reader<'a>);

enum Reader<'a> {
    Archive {
        path: &'a Path,
        reader: Positioned<'a>,
    },
    Blobs(&'a dyn BlobStore),
}

impl BaseReader<'_> {
    /// Writes the contents of a layer of this image to `sink`: its tar, or its blob as it is.
    ///
    /// # Errors
    ///
    /// They cannot be read, or a blob is not what its digest says; the inner error is the sink's.
    pub fn copy(
        &mut self,
        layer: &BaseLayer,
        sink: &mut impl Sink,
    ) -> Result<io::Result<()>, BaseError> {
        let (path, reader) = match (&mut self.0, &layer.blob) {
            (Reader::Archive { path, reader }, _) => (path, reader),
            (Reader::Blobs(store), Some(blob)) => {
                return copy_blob(*store, &blob.digest, blob.size, sink);
            }
            (Reader::Blobs(_), None) => return Ok(Ok(())),
        };
        let read = |source| BaseError::Read {
            path: path.to_owned(),
            source,
        };
        if layer.size() == 0 {
            return Ok(Ok(()));
        }
        reader.seek_to(layer.offset).map_err(read)?;
        let mut stream = reader.take(layer.size());
        match sink.copy_stream(&mut stream, layer.size()) {
            Ok(copied) if copied == layer.size() => Ok(Ok(())),
            Ok(_) => Err(BaseError::Truncated {
                path: path.to_owned(),
                layer: layer.name.clone(),
            }),
            Err(CopyError::Read(source)) => Err(read(source)),
            Err(CopyError::Write(error)) => Ok(Err(error)),
        }
    }
}
