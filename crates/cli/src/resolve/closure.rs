//! The closure that goes into an image.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use layering::Closure;
use nix_compat::StorePath;
use stores::Graph;

use crate::input;
use crate::resolve::store::Store;
use crate::resolve::subject::refuse_derivation;

/// Store paths, and everything that they need.
pub struct RootedClosure {
    /// What was asked for, in order; if nothing was, the closure's own roots.
    pub roots: Vec<StorePath>,
    /// The closure.
    pub closure: Closure,
    /// Paths of the closure that go into no layer.
    pub hidden: BTreeSet<StorePath>,
}

impl RootedClosure {
    /// The closure of `paths`, from the `file` of `--closure` if there is one, else from the store.
    ///
    /// # Errors
    ///
    /// A path is missing, or the file describes no closure.
    pub fn read(paths: &[StorePath], file: Option<&Path>, store: &Store) -> Result<Self> {
        let (infos, hidden) = match file {
            Some(file) => {
                let bytes = input::read_input(file)?;
                let is_empty = || {
                    format!(
                        "--closure {}: it is empty, and lists no store path; see whether the command that wrote it \
                         has failed",
                        file.display()
                    )
                };
                if bytes.trim_ascii().is_empty() {
                    bail!(is_empty());
                }
                let graph = store
                    .with_outlines(|trees| Graph::parse(store.store_dir(), &bytes, trees))
                    .with_context(|| format!("--closure {}", file.display()))?;
                if graph.paths.is_empty() {
                    bail!(is_empty());
                }
                (graph.paths, graph.exclude)
            }
            None => (store.closure(paths)?, BTreeSet::new()),
        };
        let closure = Closure::new(infos).context("the closure is incomplete")?;
        for path in paths {
            closure
                .get(path)
                .with_context(|| format!("{path} is not in the closure that was given"))?;
        }
        let mut this = Self::of(closure);
        this.roots.retain(|path| !hidden.contains(path));
        this.hidden = hidden;
        if !paths.is_empty() {
            this.roots = paths.to_vec();
        }
        for root in &this.roots {
            refuse_derivation(root)?;
        }
        Ok(this)
    }

    /// A closure with its own roots.
    pub fn of(closure: Closure) -> Self {
        let roots = closure.roots();
        let roots = roots.iter().map(|&root| closure.graph()[root].path.clone());
        Self {
            roots: roots.collect(),
            hidden: BTreeSet::new(),
            closure,
        }
    }
}
