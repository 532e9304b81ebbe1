//! What Nix knows of a store path, and the JSON forms in which it prints that: `nix path-info
//! --json` of Nix 2.8 to 2.34, and the graphs in a derivation's `.attrs.json`.

use serde::Deserialize;
use serde_json::Value;

use crate::nixhash::{NarHash, ParseHashError};
use crate::store_path::{ParseStorePathError, StoreDir, StorePath};

/// What Nix knows of a valid store path, as far as images depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The store path.
    pub path: StorePath,
    /// Hash of the path's NAR serialisation, where the source of the information has it.
    pub nar_hash: Option<NarHash>,
    /// Length of the path's NAR serialisation, in bytes.
    pub nar_size: u64,
    /// Store paths that occur in this one's files, sorted; itself among them where it does.
    pub references: Vec<StorePath>,
}

/// Why a JSON text gives no path infos.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathInfoError {
    /// Not JSON, or cut off.
    #[error("this is not JSON: {0}")]
    Json(serde_json::Error),
    /// JSON of another form.
    #[error("{0}")]
    Form(String),
    /// An entry's path or reference is not a store path.
    #[error(transparent)]
    Path(#[from] ParseStorePathError),
    /// An entry's hash cannot be read.
    #[error("{path}: {why}")]
    Hash {
        /// The entry's path.
        path: StorePath,
        /// What is wrong.
        why: ParseHashError,
    },
    /// The path is listed, but Nix says that it is not valid.
    #[error("{0} is not valid in the store that the list was made from; build or fetch it first")]
    Invalid(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    path: Option<String>,
    nar_hash: Option<String>,
    nar_size: Option<serde_json::Number>,
    references: Option<Vec<String>>,
    valid: Option<bool>,
}

/// Reads path infos in each form that Nix prints: a list of objects with a `path` (2.8 to 2.18,
/// and `.attrs.json`), an object by path (2.19 and later), or `{"info": {BASE NAME: …}}` with a
/// `storeDir` (`--json-format 2`).
///
/// # Errors
///
/// The value has none of these forms, an entry lacks its size or references, or a path, reference
/// or hash cannot be read. The order of the entries is kept.
pub fn from_json(store_dir: &StoreDir, value: Value) -> Result<Vec<PathInfo>, PathInfoError> {
    match value {
        Value::Array(entries) => entries
            .into_iter()
            .enumerate()
            .map(|(at, entry)| {
                let entry = parse_entry(&format!("entry {} of the list", at + 1), entry)?;
                let path = entry.path.clone().ok_or_else(|| {
                    PathInfoError::Form("an entry of the list has no `path`".to_owned())
                })?;
                path_info(store_dir, &path, entry)
            })
            .collect(),
        Value::Object(mut object) => {
            let store_dir = match object.get("storeDir") {
                Some(Value::String(text)) => StoreDir::new(text)?,
                _ => store_dir.clone(),
            };
            let entries = match object.remove("info") {
                Some(Value::Object(info)) => info,
                Some(_) => return Err(PathInfoError::Form("`info` is not an object".to_owned())),
                None => object,
            };
            entries
                .into_iter()
                .map(|(path, entry)| {
                    if entry.is_null() {
                        return Err(PathInfoError::Invalid(path));
                    }
                    let entry = parse_entry(&path, entry)?;
                    path_info(&store_dir, &path, entry)
                })
                .collect()
        }
        _ => Err(PathInfoError::Form(
            "neither a list nor an object of path infos".to_owned(),
        )),
    }
}

fn parse_entry(place: &str, entry: Value) -> Result<Entry, PathInfoError> {
    serde_json::from_value(entry).map_err(|error| PathInfoError::Form(format!("{place}: {error}")))
}

fn path_info(store_dir: &StoreDir, path: &str, entry: Entry) -> Result<PathInfo, PathInfoError> {
    if entry.valid == Some(false) {
        return Err(PathInfoError::Invalid(path.to_owned()));
    }
    let path = parse_either(store_dir, path)?;
    let missing = |what: &str| PathInfoError::Form(format!("{path} has no `{what}`"));
    let nar_size = entry.nar_size.ok_or_else(|| missing("narSize"))?;
    let nar_size = nar_size.as_u64().ok_or_else(|| {
        PathInfoError::Form(format!(
            "{path}: its `narSize`, {nar_size}, is not a number of bytes"
        ))
    })?;
    let references = entry.references.ok_or_else(|| missing("references"))?;
    let nar_hash = match entry.nar_hash {
        None => None,
        Some(text) => Some(NarHash::parse(&text).map_err(|why| PathInfoError::Hash {
            path: path.clone(),
            why,
        })?),
    };
    let mut references = references
        .iter()
        .map(|reference| parse_either(store_dir, reference))
        .collect::<Result<Vec<_>, _>>()?;
    references.sort();
    references.dedup();
    Ok(PathInfo {
        path,
        nar_hash,
        nar_size,
        references,
    })
}

/// An absolute path, or (in `--json-format 2`) a base name.
fn parse_either(store_dir: &StoreDir, text: &str) -> Result<StorePath, ParseStorePathError> {
    if text.contains('/') {
        store_dir.parse(text)
    } else {
        store_dir.parse_base_name(text)
    }
}
