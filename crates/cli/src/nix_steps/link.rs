//! Links the files of packages into a directory, which becomes the image's root.

use std::path::Path;

use anyhow::{Context, Result, bail};
use image::bytes::root_links::{Package, RootLinks};
use nix_compat::StoreDir;
use serde::Deserialize;
use stores::LocalStore;

use super::attributes::{self, Attributes};
use crate::output::console::say;

#[derive(Deserialize)]
struct Contents {
    contents: Vec<String>,
}

/// Links the derivation's `contents` into `root`, which is made.
pub fn run(root: &Path) -> Result<()> {
    let Attributes { values, out, .. } = attributes::read::<Contents>()?;
    let store_dir = out.parent().and_then(Path::to_str).unwrap_or_default();
    let store_dir = StoreDir::new(store_dir).context("outputs.out")?;
    let packages = values
        .contents
        .iter()
        .map(|path| Package::parse(&store_dir, path));
    let packages: Vec<Package> = packages.collect::<Result<_, _>>().context("contents")?;
    // What a build sees of the store is always at the store's own path.
    let store = LocalStore::below(Path::new("/"));
    let links = RootLinks::link(store.files(), &store_dir, &packages).context("contents")?;
    if let Some(package) = links.not_linked().first() {
        bail!(
            "contents: {} is a file, and what is linked into the image's root is what a directory holds; put it \
             into one, at the place where it shall be (`writeTextDir`, `runCommand`)",
            package.as_str()
        );
    }
    for left_out in links.left_out() {
        say!("warning: {left_out}");
    }
    Ok(links.lay_out(root)?)
}
