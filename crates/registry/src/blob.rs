//! Blobs to send: readable more than once if necessary.

use std::io::{self, Read};

use oci::Digest;

/// What is known of a blob before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Its digest and size in bytes. It is read only where the registry lacks it.
    Known {
        /// The digest of all of its bytes.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// Not yet known, as with a layer that is compressed while it is sent.
    Unknown,
}

/// A blob to send. It may be read from its beginning several times.
///
/// Every reader must give the same bytes: after a connection broke, another one is opened and
/// skipped to where the registry is.
pub trait Blob: Sync {
    /// What messages call it, such as `layer 12`.
    fn name(&self) -> String;

    /// Its digest and size. Once any of its readers has come to its end, they must be known. They
    /// may turn out to be others, by a reader that ends with an error: then it is sent once more.
    fn content(&self) -> Content;

    /// A reader of all of its bytes. It gives an error rather than the wrong bytes.
    ///
    /// This, or the first read, may wait until it is the blob's turn to be made: nothing is open at
    /// the registry meanwhile. The reader is dropped as soon as it is at its end, or of no more use.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

/// A blob in memory, such as an image's configuration.
#[derive(Debug, Clone)]
pub struct Bytes {
    name: String,
    bytes: Vec<u8>,
    digest: Digest,
}

impl Bytes {
    /// The blob of these bytes.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            digest: Digest::of(&bytes),
            bytes,
        }
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl Blob for Bytes {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn content(&self) -> Content {
        Content::Known {
            digest: self.digest,
            size: self.bytes.len() as u64,
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.bytes.as_slice()))
    }
}
