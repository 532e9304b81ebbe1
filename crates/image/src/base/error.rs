//! Why a base image cannot be used.

use std::io;
use std::path::PathBuf;

use oci::Digest;

use crate::sink::Stop;

/// Why a base image cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// The file cannot be opened or read.
    #[error("cannot read the image {}", path.display())]
    Read {
        /// The archive, or a file of the layout.
        path: PathBuf,
        /// The system's, or the decompressor's, error.
        source: io::Error,
    },
    /// The file is not a docker-archive.
    #[error("the image {} is not a docker-archive: {what}; make one with `docker save` or `skopeo copy … docker-archive:FILE`", path.display())]
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
    /// A layer is a link, and no layer with contents has its digest.
    #[error("the layer {layer} of the base image is a link to none of its layers")]
    LinkToNothing {
        /// The layer's name.
        layer: String,
    },
    /// The layer could be read, but its sink takes no more.
    #[error(transparent)]
    Sink(Stop),
}
