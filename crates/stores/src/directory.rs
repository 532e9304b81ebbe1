//! The trees of store paths, read from the file system.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix_compat::StorePath;
use nix_compat::tree::{Contents, Opened, TreeError, Trees, Visit, sibling_order};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// The files of a store that lies below some root directory.
#[derive(Debug, Clone)]
pub struct StoreFiles {
    root: PathBuf,
}

impl StoreFiles {
    /// The store whose `/nix/store/…` lies at `root/nix/store/…`; the machine's own with `/`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where an absolute path of the store lies on this machine.
    pub fn locate(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("/") {
            Ok(relative) => self.root.join(relative),
            Err(_) => path.to_owned(),
        }
    }
}

impl Trees for StoreFiles {
    fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        let place = self.locate(path.as_ref());
        let name = CString::new(place.as_os_str().as_bytes()).map_err(|error| TreeError::Read {
            path: place.clone(),
            source: error.into(),
        })?;
        let mut walk = Walk {
            root: &self.root,
            path: path.as_str().as_bytes().to_vec(),
            visitor,
        };
        let kind = match rustix::fs::statat(CWD, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => {
                return Err(TreeError::Missing {
                    path: path.clone(),
                    store: self.locate(Path::new(path.store_dir())),
                });
            }
            Err(error) => return Err(walk.read_error(error)),
        };
        if kind == FileType::Directory {
            walk.directory(CWD, &name)
        } else {
            walk.leaf(CWD, &name, kind)
        }
    }
}

/// A directory whose entries are being shown.
struct Level {
    directory: Dir,
    /// Entries still to come, the next one last.
    entries: Vec<(CString, FileType)>,
    /// Length of the path of the directory's parent.
    parent: usize,
}

struct Walk<'a> {
    root: &'a Path,
    /// Of the current entry, as the store names it.
    path: Vec<u8>,
    visitor: &'a mut dyn Visit,
}

impl Walk<'_> {
    /// Shows a directory and all below it. The levels are a list of their own, so that the depth of
    /// a tree is limited by open files, not by this thread's stack.
    fn directory(&mut self, at: BorrowedFd<'_>, name: &CStr) -> Result<(), TreeError> {
        let mut levels = vec![self.open(at, name, self.path.len())?];
        while let Some(level) = levels.last_mut() {
            let Some((name, kind)) = level.entries.pop() else {
                self.path.truncate(level.parent);
                levels.pop();
                continue;
            };
            let parent = self.path.len();
            self.path.push(b'/');
            self.path.extend_from_slice(name.as_bytes());
            let at = level
                .directory
                .fd()
                .map_err(|error| self.read_error(error))?;
            if kind == FileType::Directory {
                let next = self.open(at, &name, parent)?;
                levels.push(next);
            } else {
                self.leaf(at, &name, kind)?;
                self.path.truncate(parent);
            }
        }
        Ok(())
    }

    fn open(&mut self, at: BorrowedFd<'_>, name: &CStr, parent: usize) -> Result<Level, TreeError> {
        self.visitor.directory(&self.path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = rustix::fs::openat(at, name, flags, Mode::empty())
            .and_then(Dir::new)
            .map_err(|error| self.read_error(error))?;
        let mut entries = Vec::new();
        while let Some(entry) = directory.read() {
            let entry = entry.map_err(|error| self.read_error(error))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            entries.push((name.to_owned(), entry.file_type()));
        }
        // Some file systems do not say what an entry is.
        for (name, kind) in entries
            .iter_mut()
            .filter(|(_, kind)| *kind == FileType::Unknown)
        {
            let stat = directory
                .fd()
                .and_then(|at| rustix::fs::statat(at, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW))
                .map_err(|error| self.read_error(error))?;
            *kind = FileType::from_raw_mode(stat.st_mode);
        }
        entries.sort_by(|(a, _), (b, _)| sibling_order(b.as_bytes(), a.as_bytes()));
        Ok(Level {
            directory,
            entries,
            parent,
        })
    }

    fn leaf(&mut self, at: BorrowedFd<'_>, name: &CStr, kind: FileType) -> Result<(), TreeError> {
        match kind {
            FileType::RegularFile => {
                let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| self.read_error(error))?;
                let place = Place {
                    root: self.root,
                    path: &self.path,
                };
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let executable = Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
                self.visitor.file(
                    &self.path,
                    executable,
                    &mut FileContents {
                        at,
                        name,
                        size,
                        place,
                    },
                )
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(at, name, Vec::new())
                    .map_err(|error| self.read_error(error))?;
                self.visitor.symlink(&self.path, target.as_bytes())
            }
            _ => Err(TreeError::Kind {
                path: Place {
                    root: self.root,
                    path: &self.path,
                }
                .on_disk(),
            }),
        }
    }

    fn read_error(&self, error: Errno) -> TreeError {
        Place {
            root: self.root,
            path: &self.path,
        }
        .read_error(error)
    }
}

/// The place of an entry, for errors.
struct Place<'a> {
    root: &'a Path,
    path: &'a [u8],
}

impl Place<'_> {
    fn on_disk(&self) -> PathBuf {
        let relative = self.path.strip_prefix(b"/").unwrap_or(self.path);
        self.root.join(std::ffi::OsStr::from_bytes(relative))
    }

    fn read_error(&self, error: Errno) -> TreeError {
        TreeError::Read {
            path: self.on_disk(),
            source: error.into(),
        }
    }
}

struct FileContents<'a> {
    at: BorrowedFd<'a>,
    name: &'a CStr,
    size: u64,
    place: Place<'a>,
}

impl Contents for FileContents<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&mut self) -> Result<Opened<'_>, TreeError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(self.at, self.name, flags, Mode::empty())
            .map(|file| Opened::File(File::from(file)))
            .map_err(|error| self.place.read_error(error))
    }
}
