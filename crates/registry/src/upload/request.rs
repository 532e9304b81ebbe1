//! The requests that an upload is made of.

use oci::Digest;
use ureq::http::Method;

/// A request of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// All bytes from here to the end, whose number is not known: a PATCH in chunks.
    Stream,
    /// So many bytes: a PATCH.
    Piece(u64),
    /// The last so many bytes, and the digest: the PUT that ends the upload.
    Finish {
        /// The blob's digest.
        digest: Digest,
        /// Length of the body in bytes; 0 after a stream or pieces.
        length: u64,
    },
}

impl Request {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Stream | Self::Piece(_) => Method::PATCH,
            Self::Finish { .. } => Method::PUT,
        }
    }

    /// Length of the body in bytes, where it is known.
    pub(super) fn length(self) -> Option<u64> {
        match self {
            Self::Stream => None,
            Self::Piece(length) | Self::Finish { length, .. } => Some(length),
        }
    }
}
