//! Opens the archive of an image, of either kind.

use std::fs::File;
use std::path::Path;

use oci::Platform;
use oci::layout::INDEX_FILE;

use super::archive_members::ArchiveMembers;
use super::archive_source::ArchiveSource;
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
        Self::of_archive(ArchiveSource::at(path), wanted, platform)
    }

    /// The same of the only image in an archive that is open already and may have no path; it is
    /// opened anew through `/proc`. `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// The archive cannot be read, or is none of an image.
    pub fn open_unlinked(file: File, name: &str, platform: &Platform) -> Result<Self, BaseError> {
        Self::of_archive(ArchiveSource::unlinked(file, name), None, platform)
    }

    fn of_archive(
        archive: ArchiveSource,
        wanted: Option<&str>,
        platform: &Platform,
    ) -> Result<Self, BaseError> {
        let archive = ArchiveMembers::open(archive)?;
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
        open_layout_archive(
            ArchiveMembers::open(ArchiveSource::at(path))?,
            tag,
            platform,
        )
    }
}
