//! Nix's database of valid paths: `<state directory>/db/db.sqlite`, tables `ValidPaths` and `Refs`.
//!
//! It is opened read-only in SQLite's ordinary mode, which also reads what Nix has committed to the
//! write-ahead log. `immutable=1` would not read the log. It is used only where no log exists or can
//! be created: on a store that is mounted read-only.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix_compat::nixhash::ParseHashError;
use nix_compat::store_path::ParseStorePathError;
use nix_compat::{NarHash, PathInfo, StoreDir, StorePath};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

/// How long a query waits while Nix has the database locked.
const BUSY: Duration = Duration::from_secs(30);

/// Why a closure cannot be read from the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The database does not exist.
    #[error("there is no Nix database at {}: is Nix installed here, and is `--store` right?", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// SQLite cannot open or read it.
    #[error("cannot read the Nix database {}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// It is no file.
    #[error("cannot read the Nix database {}", path.display())]
    Kind {
        /// The database.
        path: PathBuf,
        /// What it is.
        source: io::Error,
    },
    /// A path that was asked for is not valid there.
    #[error(
        "{path} is not a valid path of the store; build it first, or fetch it with `nix-store --realise {path}`"
    )]
    NotValid {
        /// The path.
        path: StorePath,
    },
    /// The database contains an invalid path.
    #[error("the Nix database {} is damaged: {why}", database.display())]
    Path {
        /// The database.
        database: PathBuf,
        /// What is wrong.
        why: ParseStorePathError,
    },
    /// The database contains an invalid hash.
    #[error("the Nix database {} is damaged: {path}: {why}", database.display())]
    Hash {
        /// The database.
        database: PathBuf,
        /// Whose hash it is.
        path: StorePath,
        /// What is wrong.
        why: ParseHashError,
    },
}

/// A Nix database, open for reading.
pub struct Database {
    path: PathBuf,
    connection: Connection,
}

impl Database {
    /// Opens the database file.
    ///
    /// # Errors
    ///
    /// It is not there, or SQLite cannot open it.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        if !path.exists() {
            return Err(DatabaseError::Missing {
                path: path.to_owned(),
            });
        }
        // SQLite would wait for a pipe. What cannot be opened, it says better itself.
        match files::open(path) {
            Err(source) if source.kind() == io::ErrorKind::InvalidInput => {
                let path = path.to_owned();
                return Err(DatabaseError::Kind { path, source });
            }
            _ => {}
        }
        let sqlite = |source| DatabaseError::Sqlite {
            path: path.to_owned(),
            source,
        };
        let readable = |connection: &Connection| {
            connection.busy_timeout(BUSY)?;
            connection.query_row("select count(*) from sqlite_master", [], |row| {
                row.get::<_, i64>(0)
            })
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        let connection = match readable(&connection) {
            Ok(_) => connection,
            Err(error) if needs_log(&error) && !has_log(path) => {
                let connection = Connection::open_with_flags(
                    immutable_uri(path),
                    flags | OpenFlags::SQLITE_OPEN_URI,
                )
                .map_err(sqlite)?;
                readable(&connection).map_err(sqlite)?;
                connection
            }
            Err(error) => return Err(sqlite(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// The closure of some paths, in the order of the paths, from one snapshot of the database.
    ///
    /// # Errors
    ///
    /// A path is not valid, or the database cannot be read.
    pub fn closure(
        &self,
        store_dir: &StoreDir,
        roots: &[StorePath],
    ) -> Result<Vec<PathInfo>, DatabaseError> {
        let sqlite = |source| DatabaseError::Sqlite {
            path: self.path.clone(),
            source,
        };
        // One transaction, because Nix may add and delete paths at the same time.
        let transaction = self.connection.unchecked_transaction().map_err(sqlite)?;
        let mut by_path = transaction
            .prepare("select id from ValidPaths where path = ?1")
            .map_err(sqlite)?;
        let mut by_id = transaction
            .prepare("select path, hash, narSize from ValidPaths where id = ?1")
            .map_err(sqlite)?;
        let mut references = transaction
            .prepare("select reference from Refs where referrer = ?1 order by reference")
            .map_err(sqlite)?;

        let mut todo = Vec::new();
        for root in roots {
            let id = by_path
                .query_row([root.as_str()], |row| row.get::<_, i64>(0))
                .optional()
                .map_err(sqlite)?;
            todo.push(id.ok_or_else(|| DatabaseError::NotValid { path: root.clone() })?);
        }
        let mut found: BTreeMap<i64, (StorePath, NarHash, u64, Vec<i64>)> = BTreeMap::new();
        let mut seen: BTreeSet<i64> = todo.iter().copied().collect();
        while let Some(id) = todo.pop() {
            let (path, hash, size) = by_id
                .query_row([id], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, Option<i64>>(2)?,
                    ))
                })
                .map_err(sqlite)?;
            let path = store_dir.parse(&path).map_err(|why| DatabaseError::Path {
                database: self.path.clone(),
                why,
            })?;
            let hash = NarHash::parse(&hash).map_err(|why| DatabaseError::Hash {
                database: self.path.clone(),
                path: path.clone(),
                why,
            })?;
            let ids = references
                .query_map([id], |row| row.get::<_, i64>(0))
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(sqlite)?;
            todo.extend(ids.iter().copied().filter(|&id| seen.insert(id)));
            found.insert(
                id,
                (
                    path,
                    hash,
                    size.and_then(|size| size.try_into().ok()).unwrap_or(0),
                    ids,
                ),
            );
        }
        let mut infos: Vec<PathInfo> = found
            .values()
            .map(|(path, hash, size, ids)| {
                let mut references: Vec<StorePath> = ids
                    .iter()
                    .filter_map(|id| found.get(id))
                    .map(|(path, ..)| path.clone())
                    .collect();
                references.sort();
                PathInfo {
                    path: path.clone(),
                    nar_hash: Some(*hash),
                    nar_size: *size,
                    references,
                }
            })
            .collect();
        infos.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(infos)
    }

    /// The NAR hashes of some paths; those that are not valid are left out.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub fn nar_hashes(
        &self,
        paths: &[StorePath],
    ) -> Result<BTreeMap<StorePath, NarHash>, DatabaseError> {
        let sqlite = |source| DatabaseError::Sqlite {
            path: self.path.clone(),
            source,
        };
        let mut by_path = self
            .connection
            .prepare("select hash from ValidPaths where path = ?1")
            .map_err(sqlite)?;
        let mut hashes = BTreeMap::new();
        for path in paths {
            let hash = by_path
                .query_row([path.as_str()], |row| row.get::<_, String>(0))
                .optional()
                .map_err(sqlite)?;
            if let Some(hash) = hash {
                let hash = NarHash::parse(&hash).map_err(|why| DatabaseError::Hash {
                    database: self.path.clone(),
                    path: path.clone(),
                    why,
                })?;
                hashes.insert(path.clone(), hash);
            }
        }
        Ok(hashes)
    }
}

/// SQLite could not make or open the files that it shares with writers.
fn needs_log(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// Whether commits may wait in a log beside the database.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0)
}

/// What is escaped in the path of a `file:` address: all but RFC 3986's unreserved characters and `/`.
const OF_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// SQLite's name for a file that nobody changes (<https://sqlite.org/uri.html>).
fn immutable_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let path = percent_encode(path.as_os_str().as_bytes(), OF_PATH);
    format!("file:{path}?immutable=1")
}
