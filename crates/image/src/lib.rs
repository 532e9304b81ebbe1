//! Images: plan and trees become layers, a configuration, and an archive.
//!
//! Layers of store paths depend on nothing but the trees and a few settings; what is written, in
//! which order and by how many threads, never shows in the bytes.

pub mod base;
pub mod compression;
pub mod conf;
pub mod config;
pub mod docker_archive;
pub mod json;
pub mod layer_cache;
pub mod new_file;
pub mod oci;
pub mod output;
pub mod root_directory;
pub mod root_links;
pub mod sink;
pub mod tar;
pub mod time;

mod digests;
mod error;
mod kernel_copy;
mod layer_blob;
mod layers;
mod spool;

pub use ::oci::Digest;
pub use compression::Compression;
pub use digests::take_digests;
pub use error::Error;
pub use layers::{Image, Layer, LayerDigest, Promise, Root, StoreLayer};
pub use output::Output;
