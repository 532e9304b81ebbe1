//! Container engines: which one runs, what it has, and sending it the rest of an image.
//!
//! Docker and podman are spoken to over their HTTP API, on a unix socket or on loopback. An image
//! is loaded without a name, looked at, and only then named: what a name stood for before stays
//! until the new image is whole.

mod address;
mod answer;
mod error;
mod find;
mod http;
mod load;
mod present;
mod probe;
mod send;
mod socket;

pub use error::{Error, Tried};
pub use find::{Choice, Engine, find};
pub use load::{Loaded, Observer, Options, load};
