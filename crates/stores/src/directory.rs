//! The trees of store paths, read from the file system.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix_compat::StorePath;
use nix_compat::tree::{Contents, Opened, Stamp, TreeError, Trees, Visit, sibling_order};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use listing::{Lister, Listing, Listings};

mod listing;

/// What Nix adds, with a number behind it, to names in a store whose file system takes `Makefile` and
/// `makefile` for one: `makefile~nix~case~hack~1` (`libutil/archive.cc`, setting `use-case-hack`). NARs,
/// and so images, have the name without it.
const CASE_HACK: &[u8] = b"~nix~case~hack~";

/// Longest path that the system takes at once, in bytes.
const MAX_PATH: usize = 1023;

/// The files of a store that lies below some root directory.
#[derive(Debug, Clone)]
pub struct StoreFiles {
    root: PathBuf,
    case_hack: bool,
    /// What was found in trees that were shown once.
    listings: Arc<Listings>,
}

impl StoreFiles {
    /// The store whose `/nix/store/…` lies at `root/nix/store/…`; the machine's own with `/`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            // As Nix's own default.
            case_hack: cfg!(target_os = "macos"),
            listings: Arc::default(),
        }
    }

    /// Whether names in this store may have Nix's case hack, and are shown without it: on macOS they
    /// are, elsewhere not, unless this says otherwise.
    #[must_use]
    pub fn with_case_hack(self, case_hack: bool) -> Self {
        Self { case_hack, ..self }
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
        if self.case_hack {
            // A name that was found is not the one that is shown.
            return self.walk(path, visitor);
        }
        if let Some(listing) = self.listings.take(path) {
            return self.show(&listing, visitor);
        }
        let listing = self.list(path, visitor)?;
        if let Some(listing) = listing {
            self.listings.keep(path, listing, 1);
        }
        Ok(())
    }

    fn prepare(&self, path: &StorePath) {
        if self.case_hack || self.listings.has(path) {
            return;
        }
        // A tree that cannot be read fails when it is shown.
        if let Ok(Some(listing)) = self.list(path, &mut Nobody) {
            self.listings.keep(path, listing, 2);
        }
    }
}

/// Takes what is only listed.
struct Nobody;

impl Visit for Nobody {
    fn directory(&mut self, _: &[u8]) -> Result<(), TreeError> {
        Ok(())
    }

    fn file(&mut self, _: &[u8], _: bool, _: &mut dyn Contents) -> Result<(), TreeError> {
        Ok(())
    }

    fn symlink(&mut self, _: &[u8], _: &[u8]) -> Result<(), TreeError> {
        Ok(())
    }
}

impl StoreFiles {
    /// Shows a tree as it was found before.
    fn show(&self, listing: &Listing, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        let root = &self.root;
        listing.show(visitor, |visitor, path, executable, stamp| {
            let place = Place { root, path };
            let mut contents = FileContents {
                entry: None,
                stamp,
                place,
            };
            visitor.file(path, executable, &mut contents)
        })
    }

    /// Walks through a tree, shows what is there, and gives its listing.
    fn list(
        &self,
        path: &StorePath,
        visitor: &mut dyn Visit,
    ) -> Result<Option<Listing>, TreeError> {
        let mut lister = Lister::new(visitor);
        self.walk(path, &mut lister)?;
        Ok(lister.finish(MAX_PATH.saturating_sub(self.root.as_os_str().len())))
    }

    /// Walks through a tree and shows what is there.
    fn walk(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        let place = self.locate(path.as_ref());
        let name = CString::new(place.as_os_str().as_bytes()).map_err(|error| TreeError::Read {
            path: place.clone(),
            source: error.into(),
        })?;
        let mut walk = Walk {
            root: &self.root,
            case_hack: self.case_hack,
            path: path.as_str().as_bytes().to_vec(),
            visitor,
        };
        // Most are directories: those take one call fewer than with a look at the kind before.
        match open_directory(CWD, &name) {
            Ok(directory) => walk.directory(directory),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let stat = rustix::fs::statat(CWD, &name, AtFlags::SYMLINK_NOFOLLOW);
                let stat = stat.map_err(|error| walk.read_error(error))?;
                walk.leaf(CWD, &name, FileType::from_raw_mode(stat.st_mode))
            }
            Err(Errno::NOENT) => Err(TreeError::Missing {
                path: path.clone(),
                store: self.locate(Path::new(path.store_dir())),
            }),
            Err(error) => Err(walk.read_error(error)),
        }
    }
}

/// Opens a directory that is not a link to one.
fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
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
    case_hack: bool,
    /// Of the current entry, as the store names it.
    path: Vec<u8>,
    visitor: &'a mut dyn Visit,
}

impl Walk<'_> {
    /// Shows a directory and all below it. The levels are a list of their own, so that the depth of
    /// a tree is limited by open files, not by this thread's stack.
    fn directory(&mut self, directory: OwnedFd) -> Result<(), TreeError> {
        let mut levels = vec![self.read(directory, self.path.len())?];
        while let Some(level) = levels.last_mut() {
            let Some((name, kind)) = level.entries.pop() else {
                self.path.truncate(level.parent);
                levels.pop();
                continue;
            };
            let parent = self.path.len();
            self.path.push(b'/');
            self.path
                .extend_from_slice(name_in_nar(&name, self.case_hack));
            let at = level
                .directory
                .fd()
                .map_err(|error| self.read_error(error))?;
            if kind == FileType::Directory {
                let next = open_directory(at, &name).map_err(|error| self.read_error(error))?;
                levels.push(self.read(next, parent)?);
            } else {
                self.leaf(at, &name, kind)?;
                self.path.truncate(parent);
            }
        }
        Ok(())
    }

    /// Shows the directory itself, and reads what is in it.
    fn read(&mut self, directory: OwnedFd, parent: usize) -> Result<Level, TreeError> {
        self.visitor.directory(&self.path)?;
        let mut directory = Dir::new(directory).map_err(|error| self.read_error(error))?;
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
        let case_hack = self.case_hack;
        entries.sort_by(|(a, _), (b, _)| {
            sibling_order(name_in_nar(b, case_hack), name_in_nar(a, case_hack))
        });
        if case_hack {
            self.no_name_twice(&entries)?;
        }
        Ok(Level {
            directory,
            entries,
            parent,
        })
    }

    /// Refuses sorted entries of which two have the same name without the case hack.
    fn no_name_twice(&self, entries: &[(CString, FileType)]) -> Result<(), TreeError> {
        let mut pairs = entries.windows(2);
        let is_same = |pair: &&[(CString, FileType)]| {
            name_in_nar(&pair[0].0, true) == name_in_nar(&pair[1].0, true)
        };
        pairs.find(is_same).map_or(Ok(()), |pair| {
            let twice = format!(
                "{:?} and {:?} are the same name without Nix's case hack",
                pair[0].0, pair[1].0
            );
            Err(TreeError::Read {
                path: self.place().on_disk(),
                source: io::Error::other(twice),
            })
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
                #[allow(
                    clippy::unnecessary_cast,
                    clippy::useless_conversion,
                    reason = "types of other systems"
                )]
                let stamp = Stamp {
                    inode: stat.st_ino as u64,
                    size,
                    mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
                };
                let executable = Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
                self.visitor.file(
                    &self.path,
                    executable,
                    &mut FileContents {
                        entry: Some((at, name)),
                        stamp,
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
                path: self.place().on_disk(),
            }),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            root: self.root,
            path: &self.path,
        }
    }

    fn read_error(&self, error: Errno) -> TreeError {
        self.place().read_error(error)
    }
}

/// The name that an entry of a directory has in its NAR.
fn name_in_nar(name: &CStr, case_hack: bool) -> &[u8] {
    let name = name.to_bytes();
    let is_hack = |at: &usize| name[*at..].starts_with(CASE_HACK);
    match case_hack.then(|| (0..name.len()).find(is_hack)).flatten() {
        Some(end) => &name[..end],
        None => name,
    }
}

/// The place of an entry, for errors.
struct Place<'a> {
    root: &'a Path,
    path: &'a [u8],
}

impl Place<'_> {
    fn on_disk(&self) -> PathBuf {
        let root = self.root.as_os_str().as_bytes();
        let root = root.strip_suffix(b"/").unwrap_or(root);
        OsString::from_vec([root, self.path].concat()).into()
    }

    fn read_error(&self, error: Errno) -> TreeError {
        TreeError::Read {
            path: self.on_disk(),
            source: error.into(),
        }
    }
}

struct FileContents<'a> {
    /// The directory that it lies in, and its name there, where that directory is open.
    entry: Option<(BorrowedFd<'a>, &'a CStr)>,
    stamp: Stamp,
    place: Place<'a>,
}

impl Contents for FileContents<'_> {
    fn size(&self) -> u64 {
        self.stamp.size
    }

    fn stamp(&self) -> Option<Stamp> {
        Some(self.stamp)
    }

    fn open(&mut self) -> Result<Opened<'_>, TreeError> {
        // It was a regular file. With `NONBLOCK`, a pipe that took its place is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match self.entry {
            Some((at, name)) => rustix::fs::openat(at, name, flags, Mode::empty()),
            None => rustix::fs::open(self.place.on_disk(), flags, Mode::empty()),
        };
        let file = file.map_err(|error| self.place.read_error(error))?;
        Ok(Opened::File(File::from(file)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const STORE_PATH: &str = "nix/store/00000000000000000000000000000000-x";

    /// Paths in the store path, as a visitor gets them.
    #[derive(Default)]
    struct Paths(Vec<String>);

    impl Paths {
        fn add(&mut self, path: &[u8]) {
            let inside = &path[STORE_PATH.len() + 1..];
            self.0.push(String::from_utf8_lossy(inside).into_owned());
        }
    }

    impl Visit for Paths {
        fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
            self.add(path);
            Ok(())
        }

        fn file(
            &mut self,
            path: &[u8],
            _: bool,
            contents: &mut dyn Contents,
        ) -> Result<(), TreeError> {
            self.add(path);
            contents.open().map(|_| ())
        }

        fn symlink(&mut self, path: &[u8], _: &[u8]) -> Result<(), TreeError> {
            self.add(path);
            Ok(())
        }
    }

    fn paths(files: &[&str], case_hack: bool) -> Result<Vec<String>, TreeError> {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let file = root.path().join(STORE_PATH).join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let store_path = nix_compat::StoreDir::default().parse(&format!("/{STORE_PATH}"));
        let mut paths = Paths::default();
        StoreFiles::below(root.path())
            .with_case_hack(case_hack)
            .visit(&store_path.unwrap(), &mut paths)?;
        Ok(paths.0)
    }

    #[test]
    fn names_are_those_of_the_nar_where_the_store_has_the_case_hack() {
        let files = [
            "A/y",
            "a~nix~case~hack~1/x",
            "Bb",
            "bb~nix~case~hack~12",
            "c",
        ];
        let restored = ["", "/A", "/A/y", "/Bb", "/a", "/a/x", "/bb", "/c"];
        assert_eq!(paths(&files, true).unwrap(), restored);
        // Siblings are in the order of the names that the image has.
        let order = paths(&["b~nix~case~hack~1", "b-"], true).unwrap();
        assert_eq!(order, ["", "/b", "/b-"]);
        // Elsewhere such a name is like any other.
        let kept = paths(&files, false).unwrap();
        assert!(
            kept.contains(&"/a~nix~case~hack~1/x".to_owned()),
            "{kept:?}"
        );
    }

    #[test]
    fn two_entries_of_one_name_are_refused() {
        let error = paths(&["a~nix~case~hack~1", "a"], true).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("a~nix~case~hack~1"), "{why}");
    }
}
