//! The words of the OCI specifications, once: digests, media types, descriptors, manifests, indexes, platforms,
//! and references to images.
//!
//! The formats are those of the [image specification 1.1] and of Docker's image manifest version 2, schema 2.
//! Fields are written in the specification's order and maps are sorted, so that equal documents are equal bytes
//! and have equal digests.
//!
//! ```
//! use oci::{Descriptor, Manifest, Reference, media_type};
//!
//! let config = Descriptor::of(media_type::CONFIG, b"{}");
//! let layer = Descriptor::of(media_type::LAYER, b"...");
//! let manifest = Manifest::new(config, vec![layer], Default::default()).to_json()?;
//! let reference: Reference = "alpine:3.20".parse()?;
//! assert_eq!(reference.to_string(), "docker.io/library/alpine:3.20");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [image specification 1.1]: https://github.com/opencontainers/image-spec/blob/v1.1.0/spec.md

pub mod annotation;
pub mod digest;
pub mod index;
pub mod layout;
pub mod media_type;
pub mod reference;

mod descriptor;
mod manifest;
mod platform;

pub use descriptor::Descriptor;
pub use digest::{Digest, DigestWriter, ParseDigestError};
pub use index::Index;
pub use manifest::Manifest;
pub use platform::{ParsePlatformError, Platform};
pub use reference::{Reference, ReferenceError};
