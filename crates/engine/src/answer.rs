//! What engines say of an image.

use std::collections::BTreeSet;

use image::Digest;
use serde_json::Value;

/// An image that an engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Its id as the engine gives it, `sha256:…`, or without that from podman.
    pub id: String,
    /// Digests of its layers' tars, bottom first.
    pub diff_ids: Vec<Digest>,
    /// Digests of the manifests whose blobs are all there. Only Docker's containerd store tells,
    /// from 28.0 on.
    pub available: Option<BTreeSet<Digest>>,
}

impl Inspected {
    /// Whether this is its id, with or without what names the hash.
    pub fn has_id(&self, id: &str) -> bool {
        let plain = |id: &str| id.trim_start_matches("sha256:").to_owned();
        plain(&self.id) == plain(id)
    }

    /// Reads the answer to `GET /images/NAME/json`.
    pub fn parse(answer: &Value) -> Option<Self> {
        let layers = answer.pointer("/RootFS/Layers").and_then(Value::as_array);
        let diff_ids = layers.into_iter().flatten().map(digest);
        Some(Self {
            id: answer.get("Id")?.as_str()?.to_owned(),
            diff_ids: diff_ids.collect::<Option<_>>()?,
            available: answer
                .get("Manifests")
                .and_then(Value::as_array)
                .map(|manifests| available(manifests)),
        })
    }
}

fn available(manifests: &[Value]) -> BTreeSet<Digest> {
    let whole = manifests
        .iter()
        .filter(|manifest| manifest.get("Available").and_then(Value::as_bool) == Some(true));
    whole
        .filter_map(|manifest| digest(manifest.pointer("/Descriptor/digest")?))
        .collect()
}

fn digest(value: &Value) -> Option<Digest> {
    value.as_str()?.parse().ok()
}

/// An image in the list of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its names.
    pub repo_tags: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

impl Listed {
    /// Reads an entry of the answer to `GET /images/json`.
    pub fn parse(entry: &Value) -> Option<Self> {
        let repo_tags = entry.get("RepoTags").and_then(Value::as_array);
        Some(Self {
            id: entry.get("Id")?.as_str()?.to_owned(),
            repo_tags: repo_tags
                .into_iter()
                .flatten()
                .filter_map(|tag| tag.as_str().map(str::to_owned))
                .collect(),
            created: entry.get("Created").and_then(Value::as_i64).unwrap_or(0),
        })
    }
}
