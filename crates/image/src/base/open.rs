//! Opens the archive of an image, of either kind.

use std::path::Path;

use oci::Platform;
use oci::layout::INDEX_FILE;

use super::archive_members::ArchiveMembers;
use super::docker_archive::MANIFEST;
use super::error::BaseError;
use super::image::BaseImage;
use super::layout::open_layout_archive;

impl BaseImage {
    /// Opens the image in an archive: a docker-archive, or, where it is none, the archive of an OCI
    /// layout. `wanted` is one of the image's names, its tag in a layout, or `@` and its number in a
    /// docker-archive, from 0.
    ///
    /// # Errors
    ///
    /// The archive cannot be read, is none of an image, or has no such image.
    pub fn open(path: &Path, wanted: Option<&str>, platform: &Platform) -> Result<Self, BaseError> {
        let archive = ArchiveMembers::open(path)?;
        let has = |name: &str| archive.find(name.as_bytes()).is_some();
        if has(INDEX_FILE) && !has(MANIFEST) {
            return open_layout_archive(archive, wanted, platform);
        }
        Self::of_docker_archive(&archive, wanted)
    }

    /// Opens the image in the archive of an OCI layout.
    ///
    /// # Errors
    ///
    /// The archive cannot be read, is none of a layout, or has no such image.
    pub fn open_oci_archive(
        path: &Path,
        tag: Option<&str>,
        platform: &Platform,
    ) -> Result<Self, BaseError> {
        open_layout_archive(ArchiveMembers::open(path)?, tag, platform)
    }
}
