//! Why an image could not be made.

use std::io;
use std::path::PathBuf;

use nix_compat::tree::TreeError;
use oci::Digest;

use crate::base::BaseError;
use crate::sink::Stop;
use crate::witness::Witness;

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A store path's tree could not be read.
    #[error(transparent)]
    Tree(TreeError),
    /// What is written could not be.
    #[error("cannot write the image")]
    Output(#[source] io::Error),
    /// The base image.
    #[error(transparent)]
    Base(BaseError),
    /// The layer that the Nix side made for the image's root.
    #[error("cannot read the image's root layer {}", path.display())]
    RootLayer {
        /// The tar.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A layer is not what it was when its digest was taken, or not what the digest that came with
    /// the configuration says.
    #[error(
        "layer {index} ({what}) has {found} bytes, and {expected} were promised by its digest {diff_id}: \
         its store paths have changed, or the digest is of something else"
    )]
    LayerLength {
        /// The layer's number, from 1.
        index: usize,
        /// What the layer holds.
        what: String,
        /// The digest.
        diff_id: Digest,
        /// Its length when it was hashed.
        expected: u64,
        /// Its length now.
        found: u64,
    },
    /// A layer that was hashed while it was written has another digest than was promised.
    #[error(
        "layer {index} ({what}) has the digest {found}, and {expected} was promised: its store paths have changed, \
         or the digest is of something else; `nix store verify` checks a store"
    )]
    LayerDigest {
        /// The layer's number, from 1.
        index: usize,
        /// What the layer holds.
        what: String,
        /// The promised digest.
        expected: Digest,
        /// The digest of what was written.
        found: Digest,
    },
    /// What was remembered of a layer is wrong. The table knows that now: the same once more goes
    /// well.
    #[error(
        "layer {index} ({what}) is not what {witness} says, {said}: that is dropped; run the command again"
    )]
    Disproved {
        /// The layer's number, from 1.
        index: usize,
        /// What the layer holds.
        what: String,
        /// Who said it.
        witness: Witness,
        /// The wrong digest.
        said: Digest,
    },
    /// A layer could not be put on disk before it is written.
    #[error(
        "cannot keep a layer in {} until it is written; TMPDIR may name another directory, and \
         --spool-size 0 makes layers twice instead",
        directory.display()
    )]
    Spool {
        /// Where it was to be kept.
        directory: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file of an OCI layout.
    #[error("cannot use {} of the OCI layout", path.display())]
    LayoutFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file of an OCI layout is not as it should be.
    #[error("{} is not a file of an OCI layout: {what}; name another directory, or remove it", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A JSON text could not be made.
    #[error("cannot write the image's configuration as JSON")]
    Json(#[from] serde_json::Error),
    /// A layer's digest is asked for before the layer was read.
    #[error(
        "layer {index} ({what}) was to be named before it was made: this is a fault of the program; please report it"
    )]
    NotMade {
        /// The layer's number, from 1.
        index: usize,
        /// What the layer holds.
        what: String,
    },
    /// The system gives no more threads.
    #[error("cannot work on the layers; --jobs 1 takes fewer threads")]
    Threads(#[source] io::Error),
    /// Another thread failed first.
    #[error("stopped because another layer failed")]
    Cancelled,
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::Cancelled,
            Stop::Output(error) => Self::Output(error),
        }
    }
}

/// What a base image's reader cannot write is not an error of the base image.
impl From<BaseError> for Error {
    fn from(error: BaseError) -> Self {
        match error {
            BaseError::Sink(stop) => stop.into(),
            error => Self::Base(error),
        }
    }
}

/// What a visitor cannot do with a tree comes back through the tree's source, and is not an error of the
/// tree. All visitors here end with a [`Stop`].
impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Visitor(inner) => match inner.downcast::<Stop>() {
                Ok(stop) => (*stop).into(),
                Err(inner) => Self::Tree(TreeError::Visitor(inner)),
            },
            error => Self::Tree(error),
        }
    }
}
