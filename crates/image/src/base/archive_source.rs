//! Where an archive is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::regular_file::open_regular;

/// Where an archive is, and what messages call it.
#[derive(Debug, Clone)]
pub(super) struct ArchiveSource {
    /// Its path, or what stands for one in messages.
    pub(super) path: PathBuf,
    /// The file, if it has no name in the file system.
    unlinked: Option<Arc<File>>,
}

impl ArchiveSource {
    /// A file at a path.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            unlinked: None,
        }
    }

    /// A file that is open already and has no path; messages call it `name`.
    pub(super) fn unlinked(file: File, name: &str) -> Self {
        Self {
            path: name.into(),
            unlinked: Some(Arc::new(file)),
        }
    }

    /// Opens it at its start. A duplicate of an open file would share its position with other
    /// readers, so that file is opened anew by way of `/proc`.
    pub(super) fn open(&self) -> io::Result<File> {
        let (file, _) = match &self.unlinked {
            Some(file) => open_regular(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref())?,
            None => open_regular(&self.path)?,
        };
        Ok(file)
    }
}
