//! Binary caches: as Nix makes them, as servers break them, and as nobody should make them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod differential;
mod faults;
mod hostile;
mod made;
mod nix;
mod order;
mod s3;
mod scale;
mod server;
mod shown;
mod tls;
