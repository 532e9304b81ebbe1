//! Names in an image layout: a directory, or an archive of one, that holds images by their blobs.

use crate::Digest;

/// Name of the file that says that a directory is a layout.
pub const LAYOUT_FILE: &str = "oci-layout";
/// The text of [`LAYOUT_FILE`].
pub const LAYOUT_TEXT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";
/// Name of the file that lists a layout's images.
pub const INDEX_FILE: &str = "index.json";
/// Directory of a layout's blobs.
pub const BLOBS: &str = "blobs/sha256";

/// The path of a blob within a layout.
pub fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}", digest.hex())
}
