//! A closure's graph from a file: what Nix writes for a derivation, or prints.

use std::collections::BTreeSet;

use nix_compat::nar::{NarLength, Node};
use nix_compat::path_info::{self, PathInfoError};
use nix_compat::registration::{self, RegistrationError};
use nix_compat::store_path::ParseStorePathError;
use nix_compat::tree::{Contents, TreeError, Trees, Visit};
use nix_compat::{PathInfo, StoreDir, StorePath};
use serde_json::Value;

/// A closure as a file lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The closure's paths, in the order of the file.
    pub paths: Vec<PathInfo>,
    /// Paths that belong to the graph, but to no layer.
    pub exclude: BTreeSet<StorePath>,
}

/// Why a file gives no closure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphFileError {
    /// Not text.
    #[error(
        "it is not UTF-8 text; a list of exportReferencesGraph, a derivation's .attrs.json, or what `nix path-info --json -r` prints was expected"
    )]
    Text,
    /// JSON, but no path infos.
    #[error(transparent)]
    Json(#[from] PathInfoError),
    /// Text, but no list of exportReferencesGraph.
    #[error("it is not a list from exportReferencesGraph")]
    List(#[from] RegistrationError),
    /// A path of `exclude_paths` is none.
    #[error("its `exclude_paths`: {0}")]
    Exclude(ParseStorePathError),
    /// `exclude_paths` is not a list of texts.
    #[error("its `exclude_paths` is not a list of store paths")]
    ExcludeForm,
    /// The list has no sizes, and they cannot be measured.
    #[error("it gives no sizes, and they cannot be measured")]
    Measure(#[source] TreeError),
}

impl Graph {
    /// Reads a graph. Sizes that the form does not have are measured in `trees`.
    ///
    /// # Errors
    ///
    /// See [`GraphFileError`].
    pub fn parse(
        store_dir: &StoreDir,
        bytes: &[u8],
        trees: &dyn Trees,
    ) -> Result<Self, GraphFileError> {
        let text = std::str::from_utf8(bytes).map_err(|_| GraphFileError::Text)?;
        if !text.trim_start().starts_with(['{', '[']) {
            return Self::from_list(store_dir, text, trees);
        }
        let value: Value = serde_json::from_str(text).map_err(PathInfoError::Json)?;
        match value {
            Value::Object(mut attributes)
                if attributes.get("graph").is_some_and(Value::is_array) =>
            {
                let graph = attributes.remove("graph").unwrap_or_default();
                let exclude = match attributes.remove("exclude_paths") {
                    None => BTreeSet::new(),
                    Some(Value::Array(paths)) => paths
                        .iter()
                        .map(|path| {
                            let text = path.as_str().ok_or(GraphFileError::ExcludeForm)?;
                            store_dir.parse(text).map_err(GraphFileError::Exclude)
                        })
                        .collect::<Result<_, _>>()?,
                    Some(_) => return Err(GraphFileError::ExcludeForm),
                };
                Ok(Self {
                    paths: path_info::from_json(store_dir, graph)?,
                    exclude,
                })
            }
            value => Ok(Self {
                paths: path_info::from_json(store_dir, value)?,
                exclude: BTreeSet::new(),
            }),
        }
    }

    fn from_list(
        store_dir: &StoreDir,
        text: &str,
        trees: &dyn Trees,
    ) -> Result<Self, GraphFileError> {
        let registrations = registration::parse(store_dir, text)?;
        let paths = registrations
            .into_iter()
            .map(|registration| {
                let path = registration.path;
                let (nar_hash, nar_size) = match registration.nar {
                    Some((hash, size)) => (Some(hash), size),
                    None => (
                        None,
                        measure(trees, &path).map_err(GraphFileError::Measure)?,
                    ),
                };
                let mut references = registration.references;
                references.sort();
                references.dedup();
                Ok(PathInfo {
                    path,
                    nar_hash,
                    nar_size,
                    references,
                })
            })
            .collect::<Result<_, GraphFileError>>()?;
        Ok(Self {
            paths,
            exclude: BTreeSet::new(),
        })
    }
}

/// Length of a tree's NAR serialisation in bytes.
fn measure(trees: &dyn Trees, path: &StorePath) -> Result<u64, TreeError> {
    let mut measure = Measure {
        length: NarLength::default(),
        root: path.as_str().len(),
    };
    trees.visit(path, &mut measure)?;
    Ok(measure.length.bytes())
}

struct Measure {
    length: NarLength,
    /// Length of the root's path.
    root: usize,
}

impl Measure {
    fn add(&mut self, path: &[u8], node: Node<'_>) {
        let name = path[self.root..].rsplit(|&byte| byte == b'/').next();
        self.length.add(name.filter(|name| !name.is_empty()), node);
    }
}

impl Visit for Measure {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.add(path, Node::Directory);
        Ok(())
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        contents: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        let size = contents.size();
        self.add(path, Node::File { executable, size });
        Ok(())
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        self.add(path, Node::Symlink { target });
        Ok(())
    }
}
