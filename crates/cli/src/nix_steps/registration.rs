//! The closure as `nix-store --load-db` reads it, for an image with a Nix database.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use stores::{Graph, LocalStore};

use super::attributes::{self, Attributes};
use crate::output::console;

/// Prints the list.
pub fn run() -> Result<()> {
    let attributes: Attributes<Value> = attributes::read()?;
    let store = LocalStore::below(Path::new("/"));
    let graph = Graph::parse(store.store_dir(), &attributes.text, store.files())
        .context("the derivation's exportReferencesGraph.graph")?;
    let mut text = String::new();
    let shown = graph.paths.iter();
    for info in shown.filter(|info| !graph.exclude.contains(&info.path)) {
        let hash = info
            .nar_hash
            .with_context(|| format!("{} has no hash in the derivation's graph", info.path))?;
        // The empty line is for the deriver. Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}\n{hash}\n{}\n\n{}",
            info.path,
            info.nar_size,
            info.references.len()
        );
        for reference in &info.references {
            let _ = writeln!(text, "{reference}");
        }
    }
    console::print(text)
}
