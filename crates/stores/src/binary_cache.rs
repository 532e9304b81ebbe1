//! Store paths in binary caches: narinfo files that describe them, and NARs that hold their trees.
//!
//! A path's narinfo must be signed by a trusted key, and its NAR must have the size and hash that the
//! narinfo states. NARs stream from the cache to the visitor. A visitor may see entries of a wrong NAR
//! before the mismatch shows at its end, so it must discard what it made if the visit fails.

mod aws_profile;
mod caches;
mod checked;
mod decompress;
mod environment;
mod error;
mod http;
mod netrc;
mod outline_digest;
mod outlines;
mod place;
mod s3;
mod trust;
mod unpack;
mod walk;

pub use caches::{BinaryCaches, Options};
pub use environment::Environment;
pub use error::{BinaryCacheError, FetchError};
pub use net::Retry;
pub use outlines::Outlines;
pub use trust::{Trust, nix_settings};
