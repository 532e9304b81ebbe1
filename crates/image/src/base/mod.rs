//! A base image, whose layers come first in another image. They are taken as they are.

mod archive;
mod archive_file;
mod blobs;
mod error;
mod image;
mod inherit;
mod inherited_config;
mod layout;
mod reader;

pub use self::error::BaseError;
pub use self::image::{BaseContent, BaseImage, BaseLayer, BlobStore};
pub use self::inherit::{Inherit, merge_env};
pub use self::layout::open_layout;
pub use self::reader::BaseReader;

#[cfg(test)]
mod tests;
