//! Files that appear under their name only when they are whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, CWD};
#[cfg(target_os = "linux")]
use rustix::fs::{Mode, OFlags};
#[cfg(target_os = "linux")]
use rustix::io::Errno;
use tempfile::NamedTempFile;

/// Permissions of a new file, less what the process' mask takes away.
const PERMISSIONS: u32 = 0o666;

/// A file that is being written.
pub enum Place {
    /// A device, pipe or socket, which is written as it is.
    Special(File),
    /// A file that has no name yet: whatever ends the program, nothing is left of it.
    Unnamed(File, PathBuf),
    /// A file under another name, where the file system has no unnamed ones.
    Named(NamedTempFile, PathBuf),
}

impl Place {
    /// Starts to write the file that will be `path`.
    pub fn create(path: &Path) -> Result<Self> {
        Self::open(path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn open(path: &Path) -> io::Result<Self> {
        // A link is followed, so that the file it leads to is replaced, and not the link.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Special(OpenOptions::new().write(true).open(&target)?));
        }
        match unnamed(directory_of(&target))? {
            Some(file) => Ok(Self::Unnamed(file, target)),
            None => Ok(Self::Named(beside(&target)?, target)),
        }
    }

    /// The open file.
    pub fn file(&self) -> io::Result<File> {
        match self {
            Self::Special(file) | Self::Unnamed(file, _) => file.try_clone(),
            Self::Named(file, _) => file.as_file().try_clone(),
        }
    }

    /// Gives the whole file its name.
    pub fn finish(self) -> Result<()> {
        let (Self::Unnamed(_, target) | Self::Named(_, target)) = &self else {
            return Ok(());
        };
        let context = format!("cannot write {}", target.display());
        self.name().context(context)
    }

    fn name(self) -> io::Result<()> {
        match self {
            Self::Special(_) => Ok(()),
            Self::Unnamed(file, target) => {
                // On disk before it has its name: a crash leaves the old file or the new one.
                file.sync_data()?;
                // A file can be given a name that is free, and then be moved over another; it is
                // without a final name no longer than that.
                let free = beside(&target)?.into_temp_path();
                fs::remove_file(&free)?;
                let open = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, open, CWD, &*free, AtFlags::SYMLINK_FOLLOW)?;
                free.persist(&target).map_err(|error| error.error)
            }
            Self::Named(file, target) => {
                file.as_file().sync_data()?;
                file.persist(&target).map_err(|error| error.error)?;
                Ok(())
            }
        }
    }
}

/// A file without a name in a directory, where the system and the file system have such.
#[cfg(target_os = "linux")]
fn unnamed(directory: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, directory, flags, Mode::from_raw_mode(PERMISSIONS)) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

fn directory_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn beside(target: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = fs::Permissions::from_mode(PERMISSIONS);
    tempfile::Builder::new()
        .prefix(".stream-layered-")
        .permissions(permissions)
        .tempfile_in(directory_of(target))
}
