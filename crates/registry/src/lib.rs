//! Sending images to registries, and finding what is there: the OCI distribution protocol.
//!
//! ```no_run
//! use oci::{Reference, media_type};
//! use registry::{Access, Bytes, Client, Options, Push, PushOptions};
//!
//! # fn main() -> registry::Result<()> {
//! # let manifest = Vec::new();
//! let reference: Reference = "localhost:5000/app:v1".parse()?;
//! let client = Client::new(Options::default())?;
//! let repository = client.repository(&reference, Access::Push);
//! let before = repository.manifest(reference.tag_or_latest())?;
//!
//! let layer = Bytes::new("layer 1", b"...".to_vec());
//! let mut push = Push::new(&repository, PushOptions::default(), &());
//! if let Some(before) = &before {
//!     push.assume_present(before);
//! }
//! push.blobs(&[&layer])?;
//! push.manifest(reference.tag_or_latest(), media_type::MANIFEST, &manifest)?;
//! # Ok(())
//! # }
//! ```

mod auth;
mod blob;
#[cfg(any(test, feature = "fuzzing"))]
pub mod checks;
mod client;
mod credentials;
mod error;
mod exchange;
mod index;
mod manifest;
mod progress;
mod pull;
mod push;
mod quirks;
mod referrers;
mod repository;
mod transport;
mod upload;
mod url;

pub use blob::{Blob, Bytes, Content};
pub use client::{Client, Options};
pub use credentials::{Credential, Credentials};
pub use error::{Error, Place, Result};
pub use manifest::{Document, StoredManifest};
pub use net::Retry;
pub use progress::{Arrival, Arrived, Event, Observer, Summary};
pub use pull::BlobReader;
pub use push::{Push, PushOptions};
pub use repository::{Access, Repository};
pub use transport::PlainHttp;
