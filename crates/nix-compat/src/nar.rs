//! Nix archives (NAR): the serialisation of a file tree whose hash fixes a store path's content.
//!
//! The format is that of the Nix manual's chapter "Nix Archive (NAR) format". Both directions are
//! streams: neither a NAR nor a file in it is held in memory, and a length that the archive names
//! is never trusted with an allocation. Reading is as strict as the format: what is accepted is
//! byte for byte what [`Writer`] writes for the same tree.

mod entry;
mod error;
mod length;
mod limits;
mod listing;
mod position;
mod reader;
mod strings;
mod writer;

pub use entry::{Entry, Node};
pub use error::{NarError, Problem};
pub use length::NarLength;
pub use limits::Limits;
pub use listing::{Listing, ListingError};
pub use reader::{Contents, Reader};
pub use writer::Writer;
