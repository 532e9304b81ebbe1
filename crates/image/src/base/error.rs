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
    /// The file is no archive of an image, or not a usable one.
    #[error("{} cannot be used as the archive of an image: {what}; `docker save` and `skopeo copy … docker-archive:FILE` write such archives", path.display())]
    Form {
        /// The archive.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// The archive has no image of that name.
    #[error("the image archive {} has no image {wanted}; it has: {names}", path.display())]
    NoSuchImage {
        /// The archive.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The images that there are.
        names: String,
    },
    /// A file of a layout cannot be opened or read.
    #[error("cannot read {file}")]
    LayoutFile {
        /// Where it is.
        file: String,
        /// The system's, or the decompressor's, error.
        source: io::Error,
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
    /// A layer is not what the image's configuration says.
    #[error(
        "the layer {layer} of the base image has the digest {found}, and its configuration promises {expected}: \
         the base image is damaged; save or pull it again"
    )]
    WrongDiffId {
        /// The layer's name.
        layer: String,
        /// The diff ID in the configuration.
        expected: Digest,
        /// The digest of the layer's tar, or of its blob, as it is.
        found: Digest,
    },
    /// A compressed layer cannot be decompressed.
    #[error("the layer {layer} of the base image cannot be decompressed")]
    Decompress {
        /// The layer's name.
        layer: String,
        /// The decompressor's error.
        source: io::Error,
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
