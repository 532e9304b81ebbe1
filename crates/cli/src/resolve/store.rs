//! The stores that `--store` names: one in the file system, or binary caches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::root::RootTree;
use nix_compat::signature::PublicKey;
use nix_compat::tree::{TreeError, Trees};
use nix_compat::{NarHash, PathInfo, StoreDir, StorePath};
use stores::binary_cache::{Environment, Options, Trust, nix_settings};
use stores::{BinaryCaches, LocalStore};

use crate::args::StoreArgs;
use crate::usage::UsageError;

/// Most bytes of a file with keys.
const MAX_KEYS: usize = 1 << 20;

/// Where closures and trees come from.
pub enum Store {
    /// The machine's own store, or one below another root.
    Local(LocalStore),
    /// Binary caches, and the store of the file system for links that lead to store paths.
    Caches(Box<BinaryCaches>),
}

impl Store {
    /// Opens what was typed.
    pub fn open(args: &StoreArgs) -> Result<Self> {
        // Addresses may stand behind each other; a directory's name may have any character.
        let urls: Vec<&str> = args
            .store
            .iter()
            .flat_map(|text| match text.contains("://") {
                true => text.split(',').collect(),
                false => vec![text.as_str()],
            })
            .collect();
        let is_cache = |url: &&str| url.contains("://");
        if urls.iter().any(is_cache) {
            if let Some(other) = urls.iter().find(|url| !is_cache(url)) {
                let usage = format!(
                    "--store {other}: beside binary caches, only further ones can be given"
                );
                return Err(UsageError(usage).into());
            }
            let options = Options::new(trust(args)?);
            let caches = BinaryCaches::open(urls, options)?;
            return Ok(Self::Caches(Box::new(caches)));
        }
        match urls.as_slice() {
            ["local" | "auto"] => Ok(Self::Local(LocalStore::below(Path::new("/")))),
            [root] => below(root).map(Self::Local),
            _ => {
                let usage = "--store: more than one store was given, and only binary caches can be";
                Err(UsageError(usage.to_owned()).into())
            }
        }
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

    /// Does something with the trees for which their files' contents are not needed.
    pub fn with_outlines<T>(&self, body: impl FnOnce(&dyn Trees) -> T) -> T {
        match self {
            Self::Local(store) => body(store.files()),
            Self::Caches(caches) => body(&caches.outlines()),
        }
    }

    /// Links the trees of some paths into one.
    pub fn link(&self, paths: &[StorePath]) -> Result<RootTree, TreeError> {
        self.with_outlines(|trees| RootTree::link(trees, paths))
    }

    /// The closure of some paths, in the order of the paths.
    pub fn closure(&self, roots: &[StorePath]) -> Result<Vec<PathInfo>> {
        Ok(match self {
            Self::Local(store) => store.closure(roots)?,
            Self::Caches(caches) => caches.closure(roots)?,
        })
    }

    /// What this store says of the NAR hashes of some paths. One in the file system may have no
    /// database, or not all of them: they are of use, not more.
    pub fn nar_hashes(&self, paths: &[StorePath]) -> Result<BTreeMap<StorePath, NarHash>> {
        match self {
            Self::Local(store) => Ok(store.nar_hashes(paths).unwrap_or_default()),
            Self::Caches(caches) => Ok(caches.nar_hashes(paths)?),
        }
    }

    /// Whether NAR hashes that another source tells must not be used: a file may tell of another
    /// build of a path than the caches have, and their trees are held to their own hashes alone.
    pub fn has_own_hashes(&self) -> bool {
        matches!(self, Self::Caches(_))
    }

    /// The store path that a path of the command line means. Binary caches have no place in the
    /// file system: there it is a store path's text, its base name, or a link that leads to one.
    pub fn resolve(&self, path: &Path) -> Result<StorePath> {
        match self {
            Self::Local(store) => Ok(store.resolve(path)?),
            Self::Caches(caches) => {
                let store_dir = caches.store_dir();
                let text = path.to_str().unwrap_or_default();
                if path.starts_with(store_dir.as_str()) {
                    return store_dir.parse_inside(text).context(text.to_owned());
                }
                if let Ok(path) = store_dir.parse_base_name(text) {
                    return Ok(path);
                }
                let found = LocalStore::below(Path::new("/")).resolve(path)?;
                Ok(store_dir.parse_base_name(found.base_name())?)
            }
        }
    }

    /// Where a path of a configuration lies in the file system.
    pub fn locate(&self, path: &Path) -> PathBuf {
        match self {
            Self::Local(store) => store.locate(path),
            Self::Caches(_) => path.to_owned(),
        }
    }
}

fn below(root: &str) -> Result<LocalStore> {
    let root = std::path::absolute(root).with_context(|| format!("--store {root}"))?;
    let store = LocalStore::below(&root);
    if !store.locate(Path::new(store.store_dir().as_str())).is_dir() {
        let shown = root.display();
        let usage = format!("--store {shown}: there is no {shown}/nix/store");
        return Err(UsageError(usage).into());
    }
    Ok(store)
}

/// The keys of Nix's settings, and those that were typed.
fn trust(args: &StoreArgs) -> Result<Trust> {
    let settings = nix_settings(&Environment::of_process())?;
    let mut trust =
        Trust::from_settings(&settings).context("trusted-public-keys of Nix's settings")?;
    for text in &args.trusted_key {
        let context = || format!("--trusted-key {text}");
        let keys = match text.strip_prefix('@') {
            None => text.clone(),
            Some(file) => {
                let keys = std::fs::read_to_string(file).with_context(context)?;
                anyhow::ensure!(
                    keys.len() < MAX_KEYS,
                    "{}: that is no file of keys",
                    context()
                );
                keys
            }
        };
        for key in keys.split_ascii_whitespace() {
            trust
                .keys
                .push(PublicKey::parse(key).with_context(context)?);
        }
    }
    trust.require_signatures = !args.no_require_sigs;
    Ok(trust)
}

/// What the user should know of what was typed.
pub fn warning(args: &StoreArgs, store: &Store) -> Option<String> {
    let unsigned = args.no_require_sigs && matches!(store, Store::Caches(_));
    unsigned.then(|| {
        "signatures are not required (--no-require-sigs): whoever serves the binary cache, or stands between, decides \
         what the image holds"
            .to_owned()
    })
}
