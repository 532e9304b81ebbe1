//! The digests of the store layers, computed once, when the image is built, or taken over from the
//! previous release.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use image::bytes::tar::{Owner, TarRules};
use image::layer_cache::LayerKey;
use image::timestamp::Timestamp;
use image::{Compression, Image, LayerTable, Spool, StoreLayer, TarId, hash_unknown_layers};
use nix_compat::StorePath;
use serde::{Deserialize, Serialize};
use stores::LocalStore;

use super::attributes::{self, Attributes};
use super::plan::{self, PlanAttributes};
use crate::output::console::say;

/// Time and owner of files, as attributes.
#[derive(Debug, Deserialize)]
pub struct FileAttributes {
    /// `now` or a time.
    pub mtime: String,
    /// Numeric user.
    pub uid: i64,
    /// Numeric group.
    pub gid: i64,
    /// User name.
    pub uname: String,
    /// Group name.
    pub gname: String,
}

impl FileAttributes {
    /// The rules for a layer's tar.
    pub fn rules(&self) -> Result<TarRules> {
        Ok(TarRules {
            mtime: Timestamp::parse(&self.mtime, Timestamp::NIX)
                .context("mtime")?
                .seconds(),
            owner: Owner {
                uid: self.uid,
                gid: self.gid,
                uname: self.uname.clone(),
                gname: self.gname.clone(),
            },
        })
    }
}

/// A layer with its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KnownLayer {
    /// The paths, in the order of the archive.
    pub paths: Vec<String>,
    /// The digest.
    pub digest: DigestText,
}

/// A digest as configurations hold it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DigestText {
    diff_id: String,
    size: u64,
    /// What fixes the layer's bytes, so that the next release can take the digest from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl DigestText {
    fn new(tar: TarId, key: Option<LayerKey>) -> Self {
        Self {
            diff_id: tar.digest.to_string(),
            size: tar.size,
            key: key.map(|key| key.hex()),
        }
    }
}

/// The layers of a derivation's closure, as its attributes have them planned.
pub struct Layers {
    /// The layers, bottom first.
    pub layers: Vec<StoreLayer>,
    /// What names each of them.
    pub keys: Vec<Option<LayerKey>>,
    /// The rules for their tars.
    pub rules: TarRules,
    /// What the previous release says of its layers.
    pub known: BTreeMap<LayerKey, TarId>,
}

impl Layers {
    /// Plans them.
    ///
    /// # Errors
    ///
    /// They cannot be planned, or the previous release's digests are damaged.
    pub fn plan(attributes: &Attributes<PlanAttributes>) -> Result<Self> {
        let rules = attributes::read::<FileAttributes>()?.values.rules()?;
        let planned = plan::plan(&attributes.values, &attributes.text)?;
        let infos = planned.closure.paths();
        let nar_hashes = infos.filter_map(|info| Some((info.path.clone(), info.nar_hash?)));
        let nar_hashes = nar_hashes.collect();
        let layers = planned.plan.layers.into_iter().map(|layer| StoreLayer {
            paths: layer.paths,
            size: layer.size,
            tar: None,
        });
        let layers: Vec<StoreLayer> = layers.collect();
        let key = |layer: &StoreLayer| LayerKey::of_paths(&rules, &layer.paths, &nar_hashes);
        let known = match &planned.release {
            Some(release) => release.tars()?.clone(),
            None => BTreeMap::new(),
        };
        Ok(Self {
            keys: layers.iter().map(key).collect(),
            layers,
            rules,
            known,
        })
    }

    /// What the previous release says of a layer.
    pub fn known(&self, index: usize) -> Option<TarId> {
        self.known.get(self.keys[index].as_ref()?).copied()
    }
}

/// Plans, and writes the digest of each layer of the plan. Those of layers that the previous release
/// has, too, are taken over.
pub fn run() -> Result<()> {
    let attributes: Attributes<PlanAttributes> = attributes::read()?;
    let mut layers = Layers::plan(&attributes)?;
    for index in 0..layers.layers.len() {
        layers.layers[index].tar = layers.known(index);
    }
    if !layers.known.is_empty() {
        let taken = layers.layers.iter().filter(|layer| layer.tar.is_some());
        let (taken, all) = (taken.count(), layers.layers.len());
        say!("{taken} of {all} digests are those of the previous release");
    }
    let tars = take(layers.layers.clone(), &layers.rules)?;
    let digests = tars.into_iter().zip(layers.keys);
    let digests = digests.map(|(tar, key)| DigestText::new(tar, key));
    let known = layers.layers.iter().zip(digests);
    let known = known.map(|(layer, digest)| KnownLayer {
        paths: layer
            .paths
            .iter()
            .map(|path| path.as_str().to_owned())
            .collect(),
        digest,
    });
    let known: Vec<KnownLayer> = known.collect();
    attributes::write(
        &attributes.out,
        serde_json::to_string_pretty(&known)? + "\n",
    )
}

/// Hashes layers.
pub fn hash(layers: &[Vec<StorePath>], rules: &TarRules) -> Result<Vec<DigestText>> {
    let layers = layers.iter().map(|paths| StoreLayer {
        paths: paths.clone(),
        size: 0,
        tar: None,
    });
    let tars = take(layers.collect(), rules)?;
    let digests = tars.into_iter().map(|tar| DigestText::new(tar, None));
    Ok(digests.collect())
}

/// Hashes those layers whose tars are not known; gives all tars.
pub fn take(layers: Vec<StoreLayer>, rules: &TarRules) -> Result<Vec<TarId>> {
    let store = LocalStore::below(Path::new("/"));
    let image = Image::of_layers(rules.clone(), layers);
    let table = LayerTable::new(&image, Compression::None)?;
    // A store of this machine is read without being kept anywhere.
    let spool = Spool::new(0);
    hash_unknown_layers(&table, store.files(), crate::jobs::jobs(None), &spool)?;
    let tars = (0..image.store_layers.len()).filter_map(|index| table.tar(index).value());
    Ok(tars.collect())
}
