//! What engines report of an image.

use std::collections::BTreeMap;

use oci::Digest;
use serde_json::{Value, json};

use crate::api::{Api, Store};
use crate::error::Error;

/// An image that an engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Its id as the engine gives it, `sha256:…`, or without that from podman.
    pub id: String,
    /// Digests of its layers' tars, bottom first.
    pub diff_ids: Vec<Digest>,
    /// Its manifests. Only Docker's containerd store reports them, from 28.0 on.
    pub manifests: Option<BTreeMap<Digest, Manifest>>,
}

/// What is there of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// Whether the store has all blobs.
    pub is_available: bool,
    /// Bytes of the blobs that are there, as their descriptors say.
    pub content: u64,
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
            manifests: answer
                .get("Manifests")
                .and_then(Value::as_array)
                .map(|manifests| manifests.iter().filter_map(manifest).collect()),
        })
    }
}

fn manifest(value: &Value) -> Option<(Digest, Manifest)> {
    let manifest = Manifest {
        is_available: value.get("Available")?.as_bool()?,
        content: value.pointer("/Size/Content")?.as_u64()?,
    };
    Some((digest(value.pointer("/Descriptor/digest")?)?, manifest))
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

impl Api {
    /// Asks for an image by its id or name.
    pub(crate) fn inspect(&self, name: &str) -> Result<Option<Inspected>, Error> {
        const WHAT: &str = "cannot ask for an image";
        let path = format!("{}/{name}/json", self.images());
        let Some(answer) = self.client.get(WHAT, &path, self.inspect_query())? else {
            return Ok(None);
        };
        match Inspected::parse(&answer) {
            Some(image) => Ok(Some(image)),
            None => {
                let why = "an image without Id and RootFS.Layers".to_owned();
                Err(self.client.answer(WHAT, why))
            }
        }
    }

    /// The images of some repositories, or all if none is given.
    pub(crate) fn list(&self, repositories: &[&str]) -> Result<Vec<Listed>, Error> {
        const WHAT: &str = "cannot ask which images there are";
        let path = format!("{}/json", self.images());
        let filters = json!({"reference": repositories}).to_string();
        let query: &[(&str, &str)] = match repositories {
            [] => &[],
            _ => &[("filters", &filters)],
        };
        let ask = || self.client.get(WHAT, &path, query);
        let mut answer = ask();
        // podman fails where somebody removes an image while it lists them.
        for _ in 0..3 {
            if self.store == Store::Podman && matches!(answer, Err(Error::Refused { .. })) {
                answer = ask();
            }
        }
        let answer = answer?.unwrap_or_default();
        let images = answer.as_array().into_iter().flatten();
        images
            .map(|image| {
                Listed::parse(image)
                    .ok_or_else(|| self.client.answer(WHAT, "an image without Id".to_owned()))
            })
            .collect()
    }
}
