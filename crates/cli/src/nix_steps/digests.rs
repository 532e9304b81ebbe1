//! The digests of the store layers, computed once, when the image is built.

use std::path::Path;

use anyhow::{Context, Result};
use image::tar::{Owner, TarRules};
use image::time::Timestamp;
use image::{Layer, LayerDigest, StoreLayer};
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

impl From<LayerDigest> for DigestText {
    fn from(digest: LayerDigest) -> Self {
        Self {
            diff_id: digest.diff_id.to_string(),
            size: digest.size,
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
    let layers: Vec<StoreLayer> = layers
        .iter()
        .map(|paths| StoreLayer {
            paths: paths.clone(),
            promise: None,
        })
        .collect();
    let layers: Vec<Layer<'_>> = layers.iter().map(Layer::Store).collect();
    let digests = image::take_digests(&layers, store.files(), rules, crate::jobs::jobs(None))?;
    Ok(digests.into_iter().map(DigestText::from).collect())
}
