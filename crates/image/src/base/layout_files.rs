//! The files of an OCI layout: in a directory, or in an archive of one.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use oci::Digest;
use oci::layout::blob_path;

use super::archive_file::ArchiveFile;
use super::archive_members::{ArchiveMembers, FoundContent};
use super::image::BlobStore;
use super::regular_file::open_regular;

/// The files of a layout.
pub(super) enum LayoutFiles {
    Directory(PathBuf),
    Archive {
        members: ArchiveMembers,
        /// A reader that is not in use: reading on is cheaper than anew.
        idle: Mutex<Option<ArchiveFile>>,
    },
}

impl LayoutFiles {
    /// Those of an archive.
    pub(super) fn in_archive(members: ArchiveMembers) -> Self {
        Self::Archive {
            members,
            idle: Mutex::new(None),
        }
    }

    /// What messages call the file of this name.
    pub(super) fn display(&self, name: &str) -> String {
        match self {
            Self::Directory(directory) => directory.join(name).display().to_string(),
            Self::Archive { members, .. } => format!("{name} of {}", members.source.path.display()),
        }
    }

    /// Hands the length of a file in bytes, and its reader, to `take`.
    ///
    /// # Errors
    ///
    /// There is no such file, it is no regular one, or it cannot be read.
    pub(super) fn read(
        &self,
        name: &str,
        take: &mut dyn FnMut(u64, &mut dyn Read),
    ) -> io::Result<()> {
        let (members, idle) = match self {
            Self::Directory(directory) => {
                let (mut file, size) = open_regular(&directory.join(name))?;
                take(size, &mut file);
                return Ok(());
            }
            Self::Archive { members, idle } => (members, idle),
        };
        let member = members.find(name.as_bytes());
        let member = member.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "not there"))?;
        let FoundContent::File { offset, size, .. } = member.content else {
            let what = "it is no regular file of the archive";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        };
        let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = lock().take();
        let mut reader = match reader {
            Some(reader) => reader,
            None => ArchiveFile::open(&members.source, members.compression)?,
        };
        reader.seek_to(offset)?;
        take(size, &mut (&mut reader).take(size));
        *lock() = Some(reader);
        Ok(())
    }
}

impl fmt::Debug for LayoutFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl BlobStore for LayoutFiles {
    fn name(&self) -> String {
        match self {
            Self::Directory(directory) => format!("oci:{}", directory.display()),
            Self::Archive { members, .. } => {
                format!("oci-archive:{}", members.source.path.display())
            }
        }
    }

    fn read(&self, digest: &Digest, _: u64, take: &mut dyn FnMut(&mut dyn Read)) -> io::Result<()> {
        Self::read(self, &blob_path(digest), &mut |_, reader| take(reader))
    }
}
