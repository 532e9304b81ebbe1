//! A base image, whose layers come first in another image. They are taken as they are.

mod archive_file;
mod archive_members;
mod archive_source;
mod blobs;
mod diff_id;
mod docker_archive;
mod error;
mod image;
mod inherit;
mod inherited_config;
mod layer_start;
mod layout;
mod layout_files;
mod limits;
mod open;
mod reader;
mod regular_file;

pub(crate) use self::diff_id::DiffIdSink;
pub use self::error::BaseError;
pub use self::image::{BaseContent, BaseImage, BaseLayer, BlobStore};
pub use self::inherit::{Inherit, merge_env};
pub use self::layout::open_layout;
pub use self::reader::BaseReader;

#[cfg(test)]
mod tests;
