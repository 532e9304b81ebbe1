//! The caches that are asked for a path, in their order, and what they say of it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use net::Retry;
use nix_compat::nar::Listing;
use nix_compat::narinfo::{CacheInfo, Compression, NarFile, Signed};
use nix_compat::tree::{TreeError, Trees, Visit};
use nix_compat::{NarHash, NarInfo, PathInfo, StoreDir, StorePath};

use super::checked::{Checked, Part};
use super::decompress::decompress;
use super::environment::Environment;
use super::error::{BinaryCacheError, FetchError};
use super::http::Client;
use super::outline_digest::OutlineDigest;
use super::place::{Fetched, Place};
use super::trust::Trust;
use super::unpack::{Stopped, unpack};
use super::walk::walk;

/// Longest narinfo that is read, in bytes: one with tens of thousands of references.
const NARINFO_MOST: u64 = 4 << 20;
/// Longest listing that is read, in bytes, before and after decompression.
const LISTING_MOST: u64 = 32 << 20;
/// Between the stages from the cache to the visitor.
const BUFFER: usize = 128 << 10;
/// Paths in a closure: more than nixpkgs has in all.
const MOST_PATHS: usize = 1_000_000;
/// How many narinfo files of a directory are read at once.
const DIRECTORY_THREADS: usize = 4;

/// How caches are reached, and which keys are trusted.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keys, and whether they are required.
    pub trust: Trust,
    /// The maximum number of requests at once.
    pub connections: usize,
    /// When a request is repeated.
    pub retry: Retry,
    /// PEM files with certificate authorities to trust beside the machine's own.
    pub ca_files: Vec<PathBuf>,
    /// Where credentials and certificates are looked for.
    pub environment: Environment,
}

impl Options {
    /// The usual numbers, and the environment of this process.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            connections: 48,
            retry: Retry::default(),
            ca_files: Vec::new(),
            environment: Environment::of_process(),
        }
    }
}

/// One or more binary caches.
#[derive(Debug)]
pub struct BinaryCaches {
    client: Client,
    /// In the order in which they are asked.
    caches: Vec<Place>,
    store_dir: StoreDir,
    trust: Trust,
    connections: usize,
    found: Mutex<BTreeMap<StorePath, Arc<Found>>>,
    /// Digests of the outlines that listings gave.
    pub(super) listed: Mutex<BTreeMap<StorePath, Vec<u8>>>,
}

/// A path that a cache has.
#[derive(Debug)]
struct Found {
    /// Which one.
    cache: usize,
    signed: Signed,
    file: NarFile,
}

impl Found {
    fn new(cache: usize, NarInfo { signed, file, .. }: NarInfo) -> Self {
        Self {
            cache,
            signed,
            file,
        }
    }
}

impl BinaryCaches {
    /// Opens caches by their addresses, and asks each for its `nix-cache-info`. They are asked for
    /// paths in the order of their priorities, a lower one first: the one that an address names
    /// (`?priority=N`), else the one that the cache has, else 0; among equals, in the order given.
    ///
    /// # Errors
    ///
    /// An address is invalid, a cache cannot be reached or is not a cache, two have different stores, or
    /// a file with credentials cannot be read.
    pub fn open(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        options: Options,
    ) -> Result<Self, BinaryCacheError> {
        let client = Client::new(
            options.connections,
            options.retry,
            &options.ca_files,
            &options.environment,
        )?;
        let mut store_dir = None;
        let mut caches = Vec::new();
        for url in urls {
            let (place, priority) = Place::parse(url.as_ref(), &options.environment)?;
            let info = cache_info(&place, &client)?;
            let expected = store_dir.get_or_insert_with(|| info.store_dir.clone());
            if info.store_dir != *expected {
                return Err(BinaryCacheError::StoreDir {
                    url: place.shown().to_owned(),
                    found: info.store_dir.to_string(),
                    expected: expected.to_string(),
                });
            }
            caches.push((priority.or(info.priority).unwrap_or(0), place));
        }
        caches.sort_by_key(|(priority, _)| *priority);
        Ok(Self {
            client,
            caches: caches.into_iter().map(|(_, place)| place).collect(),
            store_dir: store_dir.ok_or(BinaryCacheError::NoCache)?,
            trust: options.trust,
            connections: options.connections,
            found: Mutex::default(),
            listed: Mutex::default(),
        })
    }

    /// The store directory that the caches' paths belong to.
    pub fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    /// The addresses of the caches, in the order in which they are asked, without passwords.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.caches.iter().map(Place::shown)
    }

    /// The closure of some paths, in the order of the paths.
    ///
    /// # Errors
    ///
    /// A path of it is in no cache, is not signed by a trusted key, or what a cache says of it
    /// cannot be had or used.
    pub fn closure(&self, roots: &[StorePath]) -> Result<Vec<PathInfo>, BinaryCacheError> {
        let found = walk(roots, self.threads(), MOST_PATHS, |path, needed_by| {
            let found = self.find(path, needed_by)?;
            let references = found.signed.references.clone();
            Ok((found, references))
        })?;
        Ok(found
            .into_values()
            .map(|found| found.signed.clone().into())
            .collect())
    }

    /// The NAR hashes of some paths.
    ///
    /// # Errors
    ///
    /// As for a closure.
    pub fn nar_hashes(
        &self,
        paths: &[StorePath],
    ) -> Result<BTreeMap<StorePath, NarHash>, BinaryCacheError> {
        walk(paths, self.threads(), MOST_PATHS, |path, needed_by| {
            let found = self.find(path, needed_by)?;
            Ok((found.signed.nar_hash, Vec::new()))
        })
    }

    /// How many paths are asked for at once.
    fn threads(&self) -> usize {
        if self.caches.iter().all(Place::is_directory) {
            DIRECTORY_THREADS
        } else {
            self.connections
        }
    }

    /// What the first cache that has a trusted narinfo says of a path. If a cache fails, the others are
    /// still asked.
    fn find(
        &self,
        path: &StorePath,
        needed_by: Option<StorePath>,
    ) -> Result<Arc<Found>, BinaryCacheError> {
        let known = |found: &Mutex<BTreeMap<_, Arc<Found>>>| {
            let found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.get(path).cloned()
        };
        if let Some(found) = known(&self.found) {
            return Ok(found);
        }
        if path.store_dir() != self.store_dir.as_str() {
            return Err(BinaryCacheError::StoreDir {
                url: self.addresses().collect::<Vec<_>>().join(", "),
                found: self.store_dir.to_string(),
                expected: path.store_dir().to_owned(),
            });
        }
        let mut failed = None;
        for (cache, place) in self.caches.iter().enumerate() {
            match self.ask(place, path) {
                Ok(None) => {}
                Ok(Some(info)) => {
                    let found = Arc::new(Found::new(cache, info));
                    self.note(&found);
                    return Ok(found);
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| BinaryCacheError::Missing {
            path: path.clone(),
            needed_by,
            caches: self.addresses().map(str::to_owned).collect(),
        }))
    }

    fn note(&self, found: &Arc<Found>) {
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(found.signed.path.clone(), Arc::clone(found));
    }

    /// What one cache says of a path.
    fn ask(&self, place: &Place, path: &StorePath) -> Result<Option<NarInfo>, BinaryCacheError> {
        let name = format!("{}.narinfo", path.hash());
        let url = || place.shown_file(&name);
        let Some(text) = text(place, &self.client, &name, NARINFO_MOST)? else {
            return Ok(None);
        };
        let info = NarInfo::parse(&self.store_dir, &text)
            .map_err(|source| BinaryCacheError::NarInfo { url: url(), source })?;
        if info.signed.path != *path {
            return Err(BinaryCacheError::WrongPath {
                url: url(),
                asked: path.clone(),
                found: info.signed.path,
            });
        }
        if self.trust.require_signatures && info.signed_by(&self.trust.keys).is_none() {
            return Err(BinaryCacheError::Untrusted {
                path: path.clone(),
                url: url(),
                signers: info
                    .signatures
                    .iter()
                    .map(|s| s.name().to_owned())
                    .collect(),
            });
        }
        Ok(Some(info))
    }

    fn show(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), Failed> {
        let found = self.find(path, None)?;
        let error = match self.open_nar(&found) {
            Ok(fetched) => return self.unpack(&found, fetched, visitor),
            Err(error) => error,
        };
        // The visitor has seen nothing yet, and a later cache may have the same NAR.
        for cache in found.cache + 1..self.caches.len() {
            if let Ok(Some(info)) = self.ask(&self.caches[cache], path)
                && info.signed.nar_hash == found.signed.nar_hash
            {
                let other = Arc::new(Found::new(cache, info));
                if let Ok(fetched) = self.open_nar(&other) {
                    self.note(&other);
                    return self.unpack(&other, fetched, visitor);
                }
            }
        }
        Err(error.into())
    }

    fn open_nar<'a>(&'a self, found: &'a Found) -> Result<Fetched<'a>, BinaryCacheError> {
        let (place, name) = (&self.caches[found.cache], &found.file.url);
        let failed = |source| BinaryCacheError::Fetch {
            url: place.shown_file(name),
            source,
        };
        let fetched = place.open(&self.client, name).map_err(failed)?;
        fetched.ok_or_else(|| {
            failed(FetchError::Status {
                status: 404,
                message: "the narinfo names a file that does not exist".to_owned(),
            })
        })
    }

    fn unpack(
        &self,
        found: &Found,
        fetched: Fetched<'_>,
        visitor: &mut dyn Visit,
    ) -> Result<(), Failed> {
        let NarFile {
            url: name,
            compression,
            hash,
            size,
        } = &found.file;
        let url = || self.caches[found.cache].shown_file(name);
        let nar = |source| BinaryCacheError::Nar { url: url(), source };
        if let Some(encoding) = fetched.encoding {
            let why = format!("the server has encoded it once more, as {encoding}");
            return Err(nar(io::Error::other(why)).into());
        }
        // The hash of a NAR that is kept as it is is that of its file.
        let hash = hash.filter(|_| *compression != Compression::None);
        let file = Checked::new(fetched.data, Part::File, *size, hash);
        let mut file = BufReader::with_capacity(BUFFER, file);
        let nar_size = found.signed.nar_size;
        {
            let plain = decompress(*compression, &mut file).map_err(nar)?;
            let nar_hash = Some(found.signed.nar_hash);
            let plain = Checked::new(plain, Part::Nar, Some(nar_size), nar_hash);
            let plain = BufReader::with_capacity(BUFFER, plain);
            unpack(plain, nar_size, &found.signed.path, visitor).map_err(
                |stopped| match stopped {
                    Stopped::Nar(source) => nar(source).into(),
                    Stopped::Spool(source) => BinaryCacheError::Spool(source).into(),
                    Stopped::Visitor(error) => Failed::Visitor(error),
                },
            )?;
        }
        // The decompressor stops where its own data ends. At the file's end, its hash is checked.
        match file.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => {
                let why = "bytes follow after the end of the compressed NAR";
                Err(nar(io::Error::new(io::ErrorKind::InvalidData, why)).into())
            }
            Err(error) => Err(nar(error).into()),
        }
    }

    /// A path's listing, if the cache has one that fits its narinfo.
    pub(super) fn listing(&self, path: &StorePath) -> Result<Option<Listing>, BinaryCacheError> {
        let found = self.find(path, None)?;
        let place = &self.caches[found.cache];
        let name = format!("{}.ls", path.hash());
        // A listing only saves time: without it, or if it is bad, the NAR itself is read.
        let Ok(Some(text)) = text(place, &self.client, &name, LISTING_MOST) else {
            return Ok(None);
        };
        let listing = Listing::parse(text.as_bytes()).ok();
        Ok(listing.filter(|listing| listing.nar_size() == found.signed.nar_size))
    }
}

impl Trees for BinaryCaches {
    fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        let listed = self.listed.lock();
        let listed = listed
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned();
        let Some(expected) = listed else {
            return self.show(path, visitor).map_err(|failed| failed.of(path));
        };
        let mut outlined = OutlineDigest::new(visitor);
        self.show(path, &mut outlined)
            .map_err(|failed| failed.of(path))?;
        if outlined.finish() == expected {
            return Ok(());
        }
        let error = BinaryCacheError::Listing(format!("{}.ls", path.hash()));
        Err(Failed::Cache(error).of(path))
    }

    fn rereads_cheaply(&self) -> bool {
        false
    }
}

/// Why a tree was not shown completely.
pub(super) enum Failed {
    Cache(BinaryCacheError),
    Visitor(TreeError),
}

impl From<BinaryCacheError> for Failed {
    fn from(error: BinaryCacheError) -> Self {
        Self::Cache(error)
    }
}

impl Failed {
    pub(super) fn of(self, path: &StorePath) -> TreeError {
        match self {
            Self::Visitor(error) => error,
            Self::Cache(source) => TreeError::Source {
                path: path.clone(),
                source: Box::new(source),
            },
        }
    }
}

fn cache_info(place: &Place, client: &Client) -> Result<CacheInfo, BinaryCacheError> {
    let name = "nix-cache-info";
    let text = text(place, client, name, NARINFO_MOST)?
        .ok_or_else(|| BinaryCacheError::NoCacheInfo(place.shown().to_owned()))?;
    CacheInfo::parse(&text).map_err(|source| BinaryCacheError::NarInfo {
        url: place.shown_file(name),
        source,
    })
}

/// A small text, decompressed if the server says that it is compressed.
fn text(
    place: &Place,
    client: &Client,
    name: &str,
    most: u64,
) -> Result<Option<String>, BinaryCacheError> {
    let fetch = |source| BinaryCacheError::Fetch {
        url: place.shown_file(name),
        source,
    };
    let Some(fetched) = place.open(client, name).map_err(fetch)? else {
        return Ok(None);
    };
    let data: Box<dyn Read + Send> = match fetched.encoding {
        None => fetched.data,
        Some(encoding) => Compression::parse(&encoding)
            .map_err(io::Error::other)
            .and_then(|compression| {
                decompress(compression, BufReader::new(fetched.data.take(most)))
            })
            .map_err(|error| fetch(FetchError::Io(error)))?,
    };
    let mut bytes = Vec::new();
    data.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fetch(FetchError::Io(error)))?;
    if bytes.len() as u64 > most {
        return Err(fetch(FetchError::TooLong(most)));
    }
    let text = String::from_utf8(bytes);
    text.map(Some)
        .map_err(|error| fetch(FetchError::Io(io::Error::other(error.utf8_error()))))
}
