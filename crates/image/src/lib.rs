//! Images: plan and trees become layers, a configuration, and an archive.
//!
//! A recipe ([`Image`]) says what an image is made of; the [`LayerTable`] what is known of its
//! layers. Layers of store paths depend on nothing but the trees and a few settings; what is
//! written, in which order and by how many threads, never shows in the bytes, all of which [`bytes`]
//! decides.

pub mod base;
pub mod bytes;
pub mod config_types;
pub mod key_annotations;
pub mod layer_cache;
pub mod new_file;
pub mod nix_image_json;
pub mod sink;
pub mod threads;
pub mod timestamp;
pub mod write;

mod blob_writer;
mod documents;
mod error;
mod filling;
mod kernel_copy;
mod layer_hashing;
mod layer_id;
mod layer_stream;
mod layer_table;
mod output;
mod recipe;
mod schedule;
mod seen;
mod spool;
mod witness;

pub use blob_writer::{BlobWriter, BlobWriters};
pub use bytes::compression::Compression;
pub use documents::Documents;
pub use error::Error;
pub use layer_hashing::{hash_doubtful_layers, hash_unkeyed_layers, hash_unknown_layers};
pub use layer_id::{BlobId, TarId};
pub use layer_stream::LayerStream;
pub use layer_table::{Fact, LayerTable};
pub use output::Output;
pub use recipe::{Image, Layer, OwnLayer, Root, StoreLayer};
pub use spool::{Spool, directory as spool_directory, room as spool_room};
pub use witness::Witness;
