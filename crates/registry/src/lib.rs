//! Sending images to registries, and finding what is there: the OCI distribution protocol.
//!
//! ```no_run
//! use registry::{Access, Bytes, Client, Options, Push, PushOptions, Reference};
//!
//! # fn main() -> registry::Result<()> {
//! # let (media_type, manifest) = (registry::OCI_MANIFEST, Vec::new());
//! let reference: Reference = "localhost:5000/app:v1".parse()?;
//! let client = Client::new(Options::default())?;
//! let repository = client.repository(&reference, Access::Push);
//! let standing = repository.manifest(reference.tag_or_latest())?;
//!
//! let layer = Bytes::new("layer 1", b"...".to_vec());
//! let mut push = Push::new(&repository, PushOptions::default(), &());
//! if let Some(standing) = &standing {
//!     push.stands(standing);
//! }
//! push.blobs(&[&layer])?;
//! push.manifest(reference.tag_or_latest(), media_type, &manifest)?;
//! # Ok(())
//! # }
//! ```

mod auth;
mod blob;
mod client;
mod credentials;
mod error;
mod exchange;
mod index;
mod manifest;
mod manner;
mod outgoing;
mod progress;
mod pull;
mod push;
mod reference;
mod referrers;
mod repository;
mod session;
mod upload;
mod url;

pub use blob::{Blob, Bytes, Content};
pub use client::{Client, Options, PlainHttp, Retry};
pub use credentials::{Credential, Credentials};
pub use error::{Error, Place, Result};
pub use image::digest::{Digest, ParseDigestError};
pub use manifest::{
    DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Document, Manifest, OCI_INDEX, OCI_MANIFEST,
    Platform,
};
pub use progress::{Arrival, Arrived, Event, Observer, Summary};
pub use pull::{BlobReader, RemoteBlob};
pub use push::{Push, PushOptions};
pub use reference::{Reference, ReferenceError};
pub use repository::{Access, Repository, Stored};
