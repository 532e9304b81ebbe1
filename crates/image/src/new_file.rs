//! Files that appear under their name only when they are whole.
//!
//! Until then they have no name, where the system and the file system have such files, so that
//! nothing is left of them whatever ends the program. Elsewhere a killed run leaves a file behind,
//! which [`remove_abandoned`] removes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
#[cfg(target_os = "linux")]
use rustix::io::Errno;
use tempfile::NamedTempFile;

/// Permissions of a new file, less what the process' mask takes away.
const PERMISSIONS: u32 = 0o666;

/// What the names begin with that files have before their own.
const PREFIX: &str = ".stream-layered-";

/// A file that is being written. It is locked as long as it is open.
#[derive(Debug)]
pub struct NewFile(Kind);

#[derive(Debug)]
enum Kind {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(NamedTempFile),
}

impl NewFile {
    /// Starts a file that will have a name in `directory`.
    ///
    /// # Errors
    ///
    /// The directory is not there, or cannot be written.
    pub fn create_in(directory: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed(directory)? {
            return Ok(Self(Kind::Unnamed(file)));
        }
        loop {
            let file = beginning()
                .permissions(fs::Permissions::from_mode(PERMISSIONS))
                .tempfile_in(directory)?;
            lock(file.as_file());
            // Another run may have taken it for an abandoned one before it was locked.
            if file.as_file().metadata()?.nlink() > 0 {
                return Ok(Self(Kind::Named(file)));
            }
        }
    }

    /// The open file.
    pub fn file(&self) -> &File {
        match &self.0 {
            #[cfg(target_os = "linux")]
            Kind::Unnamed(file) => file,
            Kind::Named(file) => file.as_file(),
        }
    }

    /// Gives the whole file its name, in place of what had it. It is on disk before: a crash leaves
    /// the old file or the new one.
    ///
    /// # Errors
    ///
    /// The disk is full, or the directory cannot be written.
    pub fn name(self, path: &Path) -> io::Result<()> {
        self.file().sync_data()?;
        match self.0 {
            #[cfg(target_os = "linux")]
            Kind::Unnamed(file) => match link(&file, path) {
                // It can be given a name that is free, and then be moved over another.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let linked = beginning().make_in(directory_of(path), |free| link(&file, free));
                    linked?.persist(path).map_err(|error| error.error)?;
                    Ok(())
                }
                result => result,
            },
            Kind::Named(file) => {
                file.persist(path).map_err(|error| error.error)?;
                Ok(())
            }
        }
    }
}

/// Removes files of a directory that got no name of their own, as runs that were killed may leave
/// them. Those of runs that go on stay: they are locked.
pub fn remove_abandoned(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = |name: &OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_ours(&entry.file_name())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            // It does no harm where it stays.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The directory that has a file's name.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn beginning() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    builder
}

/// Where the file system has no locks, nothing that was abandoned is removed.
fn lock(file: &File) {
    let _ = file.lock();
}

/// A file without a name, where the file system has such.
#[cfg(target_os = "linux")]
fn unnamed(directory: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, directory, flags, Mode::from_raw_mode(PERMISSIONS)) {
        Ok(file) => {
            let file = File::from(file);
            lock(&file);
            // Without /proc it could not be named.
            Ok(fs::symlink_metadata(open_path(&file))
                .is_ok()
                .then_some(file))
        }
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_FOLLOW;
    Ok(rustix::fs::linkat(CWD, open_path(file), CWD, path, flags)?)
}

#[cfg(target_os = "linux")]
fn open_path(file: &File) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for text in ["one", "another"] {
            let new = NewFile::create_in(directory.path()).unwrap();
            new.file().write_all(text.as_bytes()).unwrap();
            assert_ne!(fs::read_to_string(&path).ok().as_deref(), Some(text));
            new.name(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(directory.path()), ["file"]);
        }
        let mode = fs::metadata(&path).unwrap().mode();
        let other = directory.path().join("other");
        File::create(&other).unwrap();
        assert_eq!(mode, fs::metadata(&other).unwrap().mode());
    }

    #[test]
    fn only_what_nobody_writes_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        File::create(at(".stream-layered-old")).unwrap();
        fs::create_dir(at(".stream-layered-directory")).unwrap();
        File::create(at("other")).unwrap();
        let written = File::create(at(".stream-layered-written")).unwrap();
        written.lock().unwrap();
        remove_abandoned(directory.path());
        assert_eq!(
            names(directory.path()),
            [
                ".stream-layered-directory",
                ".stream-layered-written",
                "other"
            ]
        );
    }
}
