//! Store paths in binary caches: narinfo files that describe them, and NARs that hold their trees.
//!
//! A path's narinfo must be signed by a trusted key, or its name must follow from its content; and its
//! NAR must have the size and hash that the narinfo states. NARs stream from the cache to the visitor. A
//! visitor may see entries of a wrong NAR before the mismatch shows at its end, so it must discard what
//! it made if the visit fails. Only where a later cache may have the same NAR, it is checked first.

mod aws_profile;
mod caches;
mod checked;
mod decompress;
mod documents;
mod environment;
mod error;
mod found;
mod http;
mod netrc;
mod outline_digest;
mod outlines;
mod place;
mod s3;
mod trust;
mod unpack;
mod walk;
mod warn;

pub use caches::{BinaryCaches, Options};
pub use environment::Environment;
pub use error::{BinaryCacheError, FetchError};
pub use net::Retry;
pub use outlines::Outlines;
pub use trust::{Trust, nix_settings};
pub use warn::Warn;
