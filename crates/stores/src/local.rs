//! The machine's own store, or one below another root directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix_compat::store_path::ParseStorePathError;
use nix_compat::{NarHash, PathInfo, StoreDir, StorePath};

use crate::database::{Database, DatabaseError};
use crate::directory::StoreFiles;

/// The maximum number of links that are followed for one path, as for the kernel.
const MAX_LINKS: usize = 40;

/// A store in the file system.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    store_dir: StoreDir,
    /// Where Nix keeps its state.
    state: PathBuf,
    files: StoreFiles,
}

/// Why a path of the command line does not lead to a store path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// It, or a link on the way, cannot be read.
    #[error("cannot follow {}", path.display())]
    Read {
        /// The path that was given.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It ends outside the store.
    #[error(
        "{} does not lie in the store {store_dir}, but at {}; give a store path, or a link to one such as ./result",
        path.display(), end.display()
    )]
    Outside {
        /// The path that was given.
        path: PathBuf,
        /// Where it leads.
        end: PathBuf,
        /// The store.
        store_dir: String,
    },
    /// It lies in the store, but not in a store path.
    #[error("{}: {why}", path.display())]
    Name {
        /// The path that was given.
        path: PathBuf,
        /// What is wrong.
        why: ParseStorePathError,
    },
}

impl LocalStore {
    /// The store whose `/nix/store` lies at `root/nix/store`: the machine's own with `/`.
    pub fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            store_dir: StoreDir::default(),
            state: root.join("nix/var/nix"),
            files: StoreFiles::below(root),
        }
    }

    /// The store whose paths are in another directory than `/nix/store`, below this store's root.
    #[must_use]
    pub fn with_store_dir(self, store_dir: StoreDir) -> Self {
        Self { store_dir, ..self }
    }

    /// The store whose database is `state/db/db.sqlite`.
    #[must_use]
    pub fn with_state(self, state: PathBuf) -> Self {
        Self { state, ..self }
    }

    /// See [`StoreFiles::with_case_hack`].
    #[must_use]
    pub fn with_case_hack(self, case_hack: bool) -> Self {
        let files = self.files.with_case_hack(case_hack);
        Self { files, ..self }
    }

    /// The directory that this store's paths name.
    pub fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    /// The store's files.
    pub fn files(&self) -> &StoreFiles {
        &self.files
    }

    /// Where a path of a configuration lies: a path in the store below this store's root, any other
    /// where it says.
    pub fn locate(&self, path: &Path) -> PathBuf {
        if path.starts_with(self.store_dir.as_str()) {
            self.files.locate(path)
        } else {
            path.to_owned()
        }
    }

    /// The closure of some paths, from Nix's database, in the order of the paths.
    ///
    /// # Errors
    ///
    /// See [`DatabaseError`].
    pub fn closure(&self, roots: &[StorePath]) -> Result<Vec<PathInfo>, DatabaseError> {
        Database::open(&self.database())?.closure(&self.store_dir, roots)
    }

    /// The NAR hashes of some paths, from Nix's database. Paths that it does not have are left out.
    ///
    /// # Errors
    ///
    /// See [`DatabaseError`].
    pub fn nar_hashes(
        &self,
        paths: &[StorePath],
    ) -> Result<BTreeMap<StorePath, NarHash>, DatabaseError> {
        Database::open(&self.database())?.nar_hashes(paths)
    }

    fn database(&self) -> PathBuf {
        self.state.join("db/db.sqlite")
    }

    /// The store path that a path of the command line means: itself, the store path that it lies
    /// in, or what a link leads to. A store path that is a link stands for itself.
    ///
    /// # Errors
    ///
    /// See [`ResolveError`].
    pub fn resolve(&self, path: &Path) -> Result<StorePath, ResolveError> {
        let read = |source| ResolveError::Read {
            path: path.to_owned(),
            source,
        };
        let mut place = std::path::absolute(path).map_err(read)?;
        for _ in 0..MAX_LINKS {
            let inside = self.files.locate(Path::new(self.store_dir.as_str()));
            let logical = match place.strip_prefix(&inside) {
                Ok(rest) if self.root != Path::new("/") => {
                    Path::new(self.store_dir.as_str()).join(rest)
                }
                _ => place.clone(),
            };
            if logical.starts_with(self.store_dir.as_str()) && logical.components().all(is_plain) {
                let text = String::from_utf8_lossy(logical.as_os_str().as_bytes());
                return self
                    .store_dir
                    .parse_inside(&text)
                    .map_err(|why| ResolveError::Name {
                        path: path.to_owned(),
                        why,
                    });
            }
            let outside = |end: &Path| ResolveError::Outside {
                path: path.to_owned(),
                end: end.to_owned(),
                store_dir: self.store_dir.to_string(),
            };
            let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
                return Err(outside(&place));
            };
            let parent = parent.canonicalize().map_err(read)?;
            let real = parent.join(name);
            place = match std::fs::read_link(&real) {
                Ok(target) => parent.join(target),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && real != place => real,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(outside(&real));
                }
                Err(error) => return Err(read(error)),
            };
        }
        Err(read(io::Error::other(
            "too many links, one after the other",
        )))
    }
}

fn is_plain(component: Component<'_>) -> bool {
    component.as_os_str() != OsStr::new("..")
}
