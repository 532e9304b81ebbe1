//! Store paths in binary caches: narinfo files that tell of them, and NARs that hold their trees.
//!
//! A path's narinfo is believed if a trusted key signed it, and a NAR if it has the size and hash
//! of its narinfo. NARs are streams from the cache to the visitor: of a wrong one, entries may have
//! been shown before it turns out, so what a visitor made counts only once the visit has ended well.

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
