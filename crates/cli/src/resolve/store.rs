//! The stores that `--store` names: one in the file system, or binary caches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::bytes::root_links::{Package, RootLinks};
use nix_compat::signature::PublicKey;
use nix_compat::tree::{TreeError, Trees};
use nix_compat::{NarHash, PathInfo, StoreDir, StorePath};
use stores::binary_cache::{Environment, Options, Trust, Warn, nix_settings};
use stores::{BinaryCaches, LocalStore};

use crate::resolve::store_address::{LocalPlaces, StoreAddress};
use crate::usage::UsageError;

/// Longest file with keys, in bytes.
const MAX_KEYS: u64 = 1 << 20;

/// Where closures and trees come from.
pub enum Store {
    /// The machine's own store, or one below another root.
    Local(LocalStore),
    /// Binary caches. Links that lead to store paths are still read from the file system.
    Caches(Box<BinaryCaches>),
}

/// Where store paths are, as it was given.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// `auto`, `local`, a directory, or the URLs of binary caches, which may stand in one text. See
    /// [`StoreAddress`].
    pub urls: Vec<String>,
    /// Keys that are trusted on top of those of Nix's settings, or `@FILE`s that hold some.
    pub trusted_keys: Vec<String>,
    /// Whether a binary cache's paths must be signed by a trusted key.
    pub require_signatures: bool,
    /// PEM files with certificate authorities that are trusted on top of the machine's own.
    pub ca_files: Vec<PathBuf>,
    /// What is told of binary caches that fail while others stand in for them.
    pub warn: Warn,
}

impl StoreSettings {
    /// What the user should know of a store that was opened with these settings.
    pub fn warning(&self, store: &Store) -> Option<String> {
        let Store::Caches(caches) = store else {
            return None;
        };
        let trusted: Vec<&str> = caches.trusted().collect();
        let unsigned = match (caches.requires_signatures(), self.require_signatures) {
            (false, false) => "signatures are not required (--no-require-sigs)".to_owned(),
            (false, true) => {
                "signatures are not required (`require-sigs = false` in Nix's settings)".to_owned()
            }
            (true, _) if trusted.is_empty() => return None,
            (true, _) => {
                let trusted = trusted.join(", ");
                format!("signatures are not required of {trusted} (`trusted` in the address)")
            }
        };
        Some(format!(
            "{unsigned}: whoever controls the binary cache, or the connection to it, decides what the image contains"
        ))
    }
}

impl Store {
    /// Opens a store.
    ///
    /// # Errors
    ///
    /// There is no such store, or a trusted key is none.
    pub fn open(settings: &StoreSettings) -> Result<Self> {
        // A list of URLs is split at its commas, but a directory's name may have some.
        let addresses = settings
            .urls
            .iter()
            .flat_map(|text| match text.contains("://") {
                true => text.split(',').collect(),
                false => vec![text.as_str()],
            })
            .map(|text| StoreAddress::parse(text, &|name| std::env::var_os(name)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(UsageError)?;
        let mut urls = Vec::new();
        let mut local = Vec::new();
        for address in addresses {
            match address {
                StoreAddress::Cache(url) => urls.push(url),
                StoreAddress::Local(places) => local.push(places),
            }
        }
        let usage = match (local.len(), urls.is_empty()) {
            (1, true) => None,
            (0, _) => None,
            (_, true) => Some("--store: only binary caches can be given more than once".to_owned()),
            (_, false) => {
                let texts = settings.urls.iter();
                let other = texts.map(String::as_str).find(|text| !text.contains("://"));
                Some(format!(
                    "--store {}: binary caches can only be combined with each other",
                    other.unwrap_or_default()
                ))
            }
        };
        if let Some(usage) = usage {
            return Err(UsageError(usage).into());
        }
        if let Some(places) = local.pop() {
            return local_store(places).map(Self::Local);
        }
        let options = Options {
            ca_files: settings.ca_files.clone(),
            warn: settings.warn.clone(),
            ..Options::new(trust(settings)?)
        };
        let caches = BinaryCaches::open(urls, options)?;
        Ok(Self::Caches(Box::new(caches)))
    }

    /// The directory that this store's paths name.
    pub fn store_dir(&self) -> &StoreDir {
        match self {
            Self::Local(store) => store.store_dir(),
            Self::Caches(caches) => caches.store_dir(),
        }
    }

    /// The trees of this store's paths.
    pub fn trees(&self) -> &dyn Trees {
        match self {
            Self::Local(store) => store.files(),
            Self::Caches(caches) => &**caches,
        }
    }

    /// Calls `body` with the trees. The contents of files may be missing, which saves a binary cache
    /// from downloading them.
    pub fn with_outlines<T>(&self, body: impl FnOnce(&dyn Trees) -> T) -> T {
        match self {
            Self::Local(store) => body(store.files()),
            Self::Caches(caches) => body(&caches.outlines()),
        }
    }

    /// Links the trees of some paths into one.
    pub fn link(&self, paths: &[StorePath]) -> Result<RootLinks, TreeError> {
        let packages: Vec<Package> = paths.iter().cloned().map(Package::from).collect();
        self.with_outlines(|trees| RootLinks::link(trees, self.store_dir(), &packages))
    }

    /// The closure of some paths, in the order of the paths.
    pub fn closure(&self, roots: &[StorePath]) -> Result<Vec<PathInfo>> {
        Ok(match self {
            Self::Local(store) => store.closure(roots)?,
            Self::Caches(caches) => caches.closure(roots)?,
        })
    }

    /// The NAR hashes of some paths, as far as the store knows them. A store in the file system may
    /// have no database, or one without all paths. The hashes are only keys of the cache there, so
    /// that an image can be made without them.
    pub fn nar_hashes(&self, paths: &[StorePath]) -> Result<BTreeMap<StorePath, NarHash>> {
        match self {
            Self::Local(store) => Ok(store.nar_hashes(paths).unwrap_or_default()),
            Self::Caches(caches) => Ok(caches.nar_hashes(paths)?),
        }
    }

    /// Whether only this store's own NAR hashes may be used. Binary caches check trees against their
    /// own hashes, and a file from `--closure` may have the hash of another build of a path.
    pub fn has_own_hashes(&self) -> bool {
        matches!(self, Self::Caches(_))
    }

    /// The store path that a PATH means. A binary cache has no directory to look into: there, PATH is
    /// a store path, its base name, or a link that leads to one.
    pub fn resolve(&self, path: &Path) -> Result<StorePath> {
        match self {
            Self::Local(store) => Ok(store.resolve(path)?),
            Self::Caches(caches) => {
                let store_dir = caches.store_dir();
                // The names of store paths are ASCII; other texts can only lead to one.
                if let Some(text) = path.to_str() {
                    if path.starts_with(store_dir.as_str()) {
                        return store_dir.parse_inside(text).context(text.to_owned());
                    }
                    if let Ok(path) = store_dir.parse_base_name(text) {
                        return Ok(path);
                    }
                }
                let found = LocalStore::below(Path::new("/")).resolve(path)?;
                Ok(store_dir.parse_base_name(found.base_name())?)
            }
        }
    }

    /// The place of a path of a configuration in the file system.
    pub fn locate(&self, path: &Path) -> PathBuf {
        match self {
            Self::Local(store) => store.locate(path),
            Self::Caches(_) => path.to_owned(),
        }
    }
}

/// A store in the file system. On macOS, Nix's settings say whether names in it have the case hack.
/// Elsewhere only a setting that nobody makes would give them one, so the settings are not read.
fn local_store(mut places: LocalPlaces) -> Result<LocalStore> {
    if let Some(root) = &mut places.root {
        *root =
            std::path::absolute(&root).with_context(|| format!("--store {}", root.display()))?;
    }
    let root = places.root.clone();
    let store = places.store();
    let directory = store.locate(Path::new(store.store_dir().as_str()));
    if root.is_some() && !directory.is_dir() {
        let usage = format!(
            "--store {}: there is no {}",
            root.unwrap_or_default().display(),
            directory.display()
        );
        return Err(UsageError(usage).into());
    }
    if !cfg!(target_os = "macos") {
        return Ok(store);
    }
    let settings = nix_settings(&Environment::of_process());
    Ok(
        match settings
            .as_ref()
            .map(|settings| settings.get("use-case-hack"))
        {
            Ok(Some("false")) => store.with_case_hack(false),
            _ => store,
        },
    )
}

/// The keys of Nix's settings, and those that were given.
fn trust(settings: &StoreSettings) -> Result<Trust> {
    let of_nix = nix_settings(&Environment::of_process())?;
    let mut trust =
        Trust::from_settings(&of_nix).context("trusted-public-keys of Nix's settings")?;
    for text in &settings.trusted_keys {
        match text.strip_prefix('@') {
            None => trust.keys.push(public_key(text)?),
            Some(file) => {
                let keys = keys_of_file(Path::new(file));
                trust
                    .keys
                    .extend(keys.with_context(|| format!("--trusted-key {text}"))?);
            }
        }
    }
    trust.require_signatures &= settings.require_signatures;
    Ok(trust)
}

fn keys_of_file(file: &Path) -> Result<Vec<PublicKey>> {
    let keys = files::read_text(file, MAX_KEYS).context("cannot read the file")?;
    let keys = keys.split_ascii_whitespace().map(PublicKey::parse);
    Ok(keys.collect::<Result<_, _>>()?)
}

/// Reads a key. An error names it, but does not show the text: it may be a secret key, given by
/// mistake.
fn public_key(text: &str) -> Result<PublicKey> {
    PublicKey::parse(text).map_err(|error| {
        let context = format!("--trusted-key {}", error.name());
        anyhow::Error::new(error).context(context)
    })
}
