//! Indexes of images for several platforms, and how one platform's image takes its place in one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::annotation::REFERENCE_DIGEST;
use crate::{Descriptor, Platform, media_type};

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::INDEX`]; indexes of others may leave it out.
    #[serde(default)]
    pub media_type: String,
    /// What it lists.
    pub manifests: Vec<Descriptor>,
    /// Free text by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The index of these manifests.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::INDEX.to_owned(),
            manifests,
            annotations: BTreeMap::new(),
        }
    }

    /// The document's text, as it is hashed and stored.
    ///
    /// # Errors
    ///
    /// It cannot be serialised.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

/// Makes `image` the one for its platform among an index's entries; the others stay, and the
/// order does not depend on that in which they came. What was said about an image that is replaced
/// goes with it.
///
/// Entries are JSON rather than [`Descriptor`]s, so that what others say in them stays.
pub fn put_platform(entries: &mut Vec<Value>, image: &Descriptor) {
    let is_ours = |entry: &Value| match (&image.platform, platform_of(entry)) {
        (Some(ours), Some(other)) => ours.matches(&other),
        _ => false,
    };
    let replaced: Vec<String> = entries
        .iter()
        .filter(|entry| is_ours(entry))
        .filter_map(|entry| entry["digest"].as_str().map(str::to_owned))
        .filter(|digest| *digest != image.digest.to_string())
        .collect();
    entries.retain(|entry| {
        let attests = entry["annotations"][REFERENCE_DIGEST]
            .as_str()
            .unwrap_or_default();
        !is_ours(entry) && !replaced.iter().any(|replaced| replaced == attests)
    });
    entries.push(json!(image));
    entries.sort_by_cached_key(|entry| {
        let platform = platform_of(entry).unwrap_or_default();
        (matches!(platform.os.as_str(), "" | "unknown"), platform)
    });
}

fn platform_of(entry: &Value) -> Option<Platform> {
    serde_json::from_value(entry.get("platform")?.clone()).ok()
}
