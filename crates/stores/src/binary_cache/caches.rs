//! The caches that are asked for a path, in their order, and what they say of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::Retry;
use nix_compat::nar::Listing;
use nix_compat::narinfo::CacheInfo;
use nix_compat::tree::{TreeError, Trees, Visit};
use nix_compat::{NarHash, NarInfo, PathInfo, StoreDir, StorePath};

use super::documents::{self, Limits};
use super::environment::Environment;
use super::error::{BinaryCacheError, causes};
use super::found::{Failed, Found};
use super::http::Client;
use super::outline_digest::OutlineDigest;
use super::place::Place;
use super::trust::Trust;
use super::walk::walk;
use super::warn::Warn;

/// Longest narinfo that is read, in bytes: one with tens of thousands of references.
const NARINFO_MOST: u64 = 4 << 20;
/// Longest listing that is read, in bytes, before and after decompression: of a quarter of a million
/// files. The NAR of a larger tree is read instead.
const LISTING_MOST: u64 = 16 << 20;
/// How long a small file may take.
const DOCUMENT_TIME: Duration = Duration::from_secs(60);
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
    /// How long a narinfo, a listing or `nix-cache-info` may take, from its first byte on.
    pub document_time: Duration,
    /// What is told of caches that fail while others stand in for them.
    pub warn: Warn,
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
            document_time: DOCUMENT_TIME,
            warn: Warn::default(),
        }
    }
}

/// One or more binary caches.
#[derive(Debug)]
pub struct BinaryCaches {
    client: Client,
    /// In the order in which they are asked.
    caches: Vec<Cache>,
    store_dir: StoreDir,
    trust: Trust,
    connections: usize,
    document_time: Duration,
    warn: Warn,
    found: Mutex<BTreeMap<StorePath, Arc<Found>>>,
    /// Digests of the outlines that listings gave.
    pub(super) listed: Mutex<BTreeMap<StorePath, Vec<u8>>>,
}

#[derive(Debug)]
struct Cache {
    place: Place,
    /// Whether its paths need no signature.
    trusted: bool,
    /// Whether it has failed, and is only asked for what no other cache has.
    has_failed: AtomicBool,
    /// Whether the user was told that it fails.
    is_told: AtomicBool,
}

impl BinaryCaches {
    /// Opens caches by their addresses, and asks each for its `nix-cache-info`. They are asked for
    /// paths in the order of their priorities, a lower one first: the one that an address names
    /// (`?priority=N`), else the one that the cache has, else 0; among equals, in the order given.
    ///
    /// A cache that cannot be reached or used is left out with a warning if there is another one. So
    /// is one whose paths belong to another store than those of the others, as Nix does: `/nix/store`
    /// is the one that counts.
    ///
    /// # Errors
    ///
    /// An address is invalid, no cache can be reached and used, or a file with credentials cannot be
    /// read.
    pub fn open(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        options: Options,
    ) -> Result<Self, BinaryCacheError> {
        let Options { trust, warn, .. } = options;
        let client = Client::new(
            options.connections,
            options.retry,
            &options.ca_files,
            &options.environment,
        )?;
        let limits = Limits {
            length: NARINFO_MOST,
            time: options.document_time,
        };
        let mut opened = Vec::new();
        let mut failed = Vec::new();
        for url in urls {
            let (place, settings) = Place::parse(url.as_ref(), &options.environment)?;
            for name in &settings.unknown {
                let name = nix_compat::shown(name);
                warn.say(&format!("{}: unknown parameter `{name}`", place.shown()));
            }
            match cache_info(&place, &client, limits) {
                Ok(info) => opened.push((place, settings, info)),
                Err(error) => failed.push((place, error)),
            }
        }
        let usual = StoreDir::default();
        let store_dir = match opened.iter().find(|(_, _, info)| info.store_dir == usual) {
            Some(_) => usual,
            None => match opened.first() {
                Some((_, _, info)) => info.store_dir.clone(),
                None => {
                    let first = failed.into_iter().next().map(|(_, error)| error);
                    return Err(first.unwrap_or(BinaryCacheError::NoCache));
                }
            },
        };
        let left_out = |place: &Place, why: &str| {
            warn.say(&format!("the cache {} is left out: {why}", place.shown()));
        };
        for (place, error) in &failed {
            left_out(place, &causes(error));
        }
        let mut caches = Vec::new();
        for (place, settings, info) in opened {
            if info.store_dir == store_dir {
                caches.push((
                    settings.priority.or(info.priority).unwrap_or(0),
                    settings,
                    place,
                ));
            } else {
                let why = format!(
                    "its paths are of the store {}, those of the other caches of {store_dir}",
                    nix_compat::shown(info.store_dir.as_str())
                );
                left_out(&place, &why);
            }
        }
        caches.sort_by_key(|(priority, ..)| *priority);
        let caches = caches.into_iter().map(|(_, settings, place)| Cache {
            place,
            trusted: settings.trusted,
            has_failed: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        });
        Ok(Self {
            client,
            caches: caches.collect(),
            store_dir,
            trust,
            connections: options.connections,
            document_time: options.document_time,
            warn,
            found: Mutex::default(),
            listed: Mutex::default(),
        })
    }

    /// Whether paths of caches that are not trusted by their addresses need a signature.
    pub fn requires_signatures(&self) -> bool {
        self.trust.require_signatures
    }

    /// The addresses of the caches whose paths need no signature, as their addresses ask for it.
    pub fn trusted(&self) -> impl Iterator<Item = &str> {
        let trusted = self.caches.iter().filter(|cache| cache.trusted);
        trusted.map(|cache| cache.place.shown())
    }

    /// The store directory that the caches' paths belong to.
    pub fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    /// The addresses of the caches, in the order in which they are asked, without passwords.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.caches.iter().map(|cache| cache.place.shown())
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
        if self.caches.iter().all(|cache| cache.place.is_directory()) {
            DIRECTORY_THREADS
        } else {
            self.connections
        }
    }

    /// What the first cache that has a trusted narinfo says of a path. If a cache fails, the others are
    /// still asked; and from then on they are asked before it.
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
        let (last, first): (Vec<_>, Vec<_>) =
            (0..self.caches.len()).partition(|&cache| self.has_failed(cache));
        for cache in first.into_iter().chain(last) {
            match self.ask(cache, path) {
                Ok(None) => {}
                Ok(Some(found)) => return Ok(self.note(found)),
                Err(error) => {
                    self.failed(&self.caches[cache], &error);
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

    fn has_failed(&self, cache: usize) -> bool {
        self.caches[cache].has_failed.load(Ordering::Relaxed)
    }

    /// Remembers that a cache fails, and tells the user once. What one path lacks is not told: another
    /// cache most likely has it.
    fn failed(&self, cache: &Cache, error: &BinaryCacheError) {
        if self.caches.len() == 1 {
            return;
        }
        if error.is_outage() {
            cache.has_failed.store(true, Ordering::Relaxed);
        }
        let is_of_path = matches!(error, BinaryCacheError::Untrusted { .. }) || error.is_refusal();
        if !is_of_path && !cache.is_told.swap(true, Ordering::Relaxed) {
            let why = causes(error);
            self.warn.say(&format!("{why}; the other caches are asked"));
        }
    }

    fn note(&self, found: Found) -> Arc<Found> {
        let found = Arc::new(found);
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(found.signed.path.clone(), Arc::clone(&found));
        found
    }

    fn limits(&self, length: u64) -> Limits {
        Limits {
            length,
            time: self.document_time,
        }
    }

    /// What one cache says of a path.
    fn ask(&self, cache: usize, path: &StorePath) -> Result<Option<Found>, BinaryCacheError> {
        let Cache { place, trusted, .. } = &self.caches[cache];
        let name = format!("{}.narinfo", path.hash());
        let url = || place.shown_file(&name);
        let text = documents::fetch(place, &self.client, &name, self.limits(NARINFO_MOST))?;
        let Some(text) = text else {
            return Ok(None);
        };
        // Bytes that are not UTF-8 can only stand where they do not matter.
        let info = NarInfo::parse(&self.store_dir, &String::from_utf8_lossy(&text))
            .map_err(|source| BinaryCacheError::NarInfo { url: url(), source })?;
        if info.signed.path != *path {
            return Err(BinaryCacheError::WrongPath {
                url: url(),
                asked: path.clone(),
                found: info.signed.path,
            });
        }
        if !self.trust.require_signatures || *trusted || info.signed_by(&self.trust.keys).is_some()
        {
            return Ok(Some(Found::new(cache, info, None)));
        }
        match info.proof(&self.store_dir) {
            Some(proof) => Ok(Some(Found::new(cache, info, Some(proof)))),
            None => Err(BinaryCacheError::Untrusted {
                path: path.clone(),
                url: url(),
                signers: info
                    .signatures
                    .iter()
                    .map(|s| s.name().to_owned())
                    .collect(),
                has_address: info.ca.is_some(),
            }),
        }
    }

    /// Shows a tree from the first cache that can give it. What a visitor saw cannot be taken back, so
    /// a NAR that a later cache may have as well is checked before it is shown.
    fn show(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), Failed> {
        let mut found = self.find(path, None)?;
        let mut first_error = None;
        loop {
            let place = &self.caches[found.cache].place;
            let error = if found.cache + 1 == self.caches.len() {
                match found.show(place, &self.client, visitor) {
                    Err(Failed::Cache(error)) => error,
                    result => return result,
                }
            } else {
                match found.spool(place, &self.client) {
                    Ok(spooled) => return found.show_spooled(spooled, visitor),
                    Err(Failed::Cache(error)) => error,
                    Err(failed) => return Err(failed),
                }
            };
            let spare = match &error {
                BinaryCacheError::Spool(_) => None,
                _ => self.spare(&found),
            };
            let Some(spare) = spare else {
                return Err(first_error.unwrap_or(error).into());
            };
            let other = self.caches[spare.cache].place.shown();
            let why = causes(&error);
            let text = format!("{why}; {other} has the same path and is asked instead");
            self.warn.say(&text);
            first_error.get_or_insert(error);
            found = self.note(spare);
        }
    }

    /// The same NAR in a later cache.
    fn spare(&self, found: &Found) -> Option<Found> {
        (found.cache + 1..self.caches.len()).find_map(|cache| {
            let other = self.ask(cache, &found.signed.path).ok()??;
            let is_same = other.signed.nar_hash == found.signed.nar_hash;
            is_same.then_some(other)
        })
    }

    /// A path's listing, if the cache has one that fits its narinfo.
    pub(super) fn listing(&self, path: &StorePath) -> Result<Option<Listing>, BinaryCacheError> {
        let found = self.find(path, None)?;
        let place = &self.caches[found.cache].place;
        let name = format!("{}.ls", path.hash());
        // A listing only saves time: without it, or if it is bad, the NAR itself is read.
        let limits = self.limits(LISTING_MOST);
        let Ok(Some(text)) = documents::fetch(place, &self.client, &name, limits) else {
            return Ok(None);
        };
        let listing = Listing::parse(&text).ok();
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

fn cache_info(
    place: &Place,
    client: &Client,
    limits: Limits,
) -> Result<CacheInfo, BinaryCacheError> {
    let name = "nix-cache-info";
    let text = documents::fetch(place, client, name, limits)?
        .ok_or_else(|| BinaryCacheError::NoCacheInfo(place.shown().to_owned()))?;
    CacheInfo::parse(&String::from_utf8_lossy(&text)).map_err(|source| BinaryCacheError::NarInfo {
        url: place.shown_file(name),
        source,
    })
}
