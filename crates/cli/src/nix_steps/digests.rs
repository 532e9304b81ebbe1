//! The digests of the store layers, computed once, when the image is built.

use std::path::Path;

use anyhow::{Context, Result};
use image::bytes::tar::{Owner, TarRules};
use image::timestamp::Timestamp;
use image::{Compression, Image, LayerTable, Spool, StoreLayer, TarId, hash_unknown_layers};
use nix_compat::StorePath;
use serde::{Deserialize, Serialize};
use stores::LocalStore;

use super::attributes::{self, Attributes};
use super::plan::{self, PlanAttributes};

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
}

impl From<TarId> for DigestText {
    fn from(tar: TarId) -> Self {
        Self {
            diff_id: tar.digest.to_string(),
            size: tar.size,
        }
    }
}

/// Plans, and writes the digest of each layer of the plan.
pub fn run() -> Result<()> {
    let attributes: Attributes<PlanAttributes> = attributes::read()?;
    let rules = attributes::read::<FileAttributes>()?.values.rules()?;
    let plan = plan::plan(&attributes.values, &attributes.text)?;
    let layers: Vec<Vec<StorePath>> = plan.layers.into_iter().map(|layer| layer.paths).collect();
    let digests = take(&layers, &rules)?;
    let known = layers
        .iter()
        .zip(digests)
        .map(|(paths, digest)| KnownLayer {
            paths: paths.iter().map(|path| path.as_str().to_owned()).collect(),
            digest,
        });
    let known: Vec<KnownLayer> = known.collect();
    attributes::write(
        &attributes.out,
        serde_json::to_string_pretty(&known)? + "\n",
    )
}

/// Computes the digests of layers.
pub fn take(layers: &[Vec<StorePath>], rules: &TarRules) -> Result<Vec<DigestText>> {
    let store = LocalStore::below(Path::new("/"));
    let layers = layers.iter().map(|paths| StoreLayer {
        paths: paths.clone(),
        size: 0,
        tar: None,
    });
    let image = Image::of_layers(rules.clone(), layers.collect());
    let table = LayerTable::new(&image, Compression::None)?;
    // A store of this machine is read without being kept anywhere.
    let spool = Spool::new(0);
    hash_unknown_layers(&table, store.files(), crate::jobs::jobs(None), &spool)?;
    let tars = (0..image.store_layers.len()).filter_map(|index| table.tar(index).value());
    Ok(tars.map(DigestText::from).collect())
}
