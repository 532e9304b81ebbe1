//! The tar format of layers and archives: what Python's `tarfile` writes in its pax form, byte for
//! byte, since that is what nixpkgs' images are made of.
//!
//! Any change to the bytes made here is a break of the format: layers get other digests.

mod archive;
mod block;
pub(crate) mod gnu;
mod header;
mod layer;

pub use archive::ArchiveWriter;
pub use block::{BLOCK, RECORD, end_of_archive, padding};
pub use header::{Kind, Member, Owner, PaxRecords, TarRules, header_length, write_header};
pub use layer::LayerTar;
