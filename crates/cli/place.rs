//! Files that appear under their name only when they are whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// A file that is being written.
pub enum Place {
    /// A device, pipe or socket, which is written as it is.
    Special(File),
    /// A regular file, beside its place until it is whole.
    Regular(NamedTempFile, PathBuf),
}

impl Place {
    /// Starts to write the file that will be `path`.
    pub fn create(path: &Path) -> Result<Self> {
        let context = || format!("cannot write {}", path.display());
        // A link is followed, so that the file it leads to is replaced, and not the link.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Special(
                OpenOptions::new()
                    .write(true)
                    .open(&target)
                    .with_context(context)?,
            ));
        }
        let directory = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".stream-layered-")
            .permissions(permissions())
            .tempfile_in(directory)
            .with_context(context)?;
        Ok(Self::Regular(file, target))
    }

    /// The open file.
    pub fn file(&self) -> io::Result<File> {
        match self {
            Self::Special(file) => file.try_clone(),
            Self::Regular(file, _) => file.as_file().try_clone(),
        }
    }

    /// Gives the whole file its name.
    pub fn finish(self) -> Result<()> {
        if let Self::Regular(file, target) = self {
            // On disk before it has its name: a crash leaves the old file or the new one.
            let context = || format!("cannot write {}", target.display());
            file.as_file().sync_data().with_context(context)?;
            file.persist(&target)
                .map_err(|error| error.error)
                .with_context(context)?;
        }
        Ok(())
    }
}

/// As for any new file: what the process' mask leaves of this.
fn permissions() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o666)
}
