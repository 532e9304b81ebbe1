//! Images for several platforms under one tag, also when each comes from another machine.

use oci::index::put_platform;
use oci::{Descriptor, Digest, Platform, media_type};
use serde_json::{Map, Value, json};

use crate::error::{Error, Place, Result};
use crate::manifest::{Document, StoredManifest, object};
use crate::repository::Repository;

/// An image's configuration is read up to this size, to find its platform.
const CONFIG_LIMIT: u64 = 8 << 20;

/// How often an index is written again because someone else wrote it at the same time.
const RACES: u32 = 5;

impl Repository<'_> {
    /// Makes `image`, which must name its platform and be in the repository, the one for that
    /// platform in the index under `tag`. The others stay. Without an index, one is made; an
    /// image that has the tag by itself becomes a part of it.
    ///
    /// Gives the digest of the index.
    ///
    /// # Errors
    ///
    /// The registry cannot be asked or refuses, or what the tag names cannot be understood.
    pub fn put_in_index(&self, tag: &str, image: &Descriptor) -> Result<Digest> {
        let place = self.place(format!("index {tag}"));
        if image.platform.is_none() {
            return Err(Error::Answer {
                place,
                why: "the image to add has no platform".to_owned(),
            });
        }
        self.edit_index(tag, image, |entries| put_platform(entries, image))
    }

    /// Changes the index under `tag` until the registry has it with `entry` in it.
    pub(crate) fn edit_index(
        &self,
        tag: &str,
        entry: &Descriptor,
        edit: impl Fn(&mut Vec<Value>),
    ) -> Result<Digest> {
        let place = self.place(format!("index {tag}"));
        let mut current = self.manifest(tag)?;
        for _ in 0..RACES {
            let mut index = self.as_index(current.as_ref(), &place)?;
            match index.get_mut("manifests") {
                Some(Value::Array(entries)) => edit(entries),
                _ => {
                    return Err(Error::Answer {
                        place,
                        why: "the index lists no manifests".to_owned(),
                    });
                }
            }
            let bytes = serde_json::to_vec(&index).map_err(|error| Error::Answer {
                place: place.clone(),
                why: error.to_string(),
            })?;
            let digest = Digest::of(&bytes);
            if current
                .as_ref()
                .is_some_and(|current| current.digest == digest)
            {
                return Ok(digest);
            }
            let media_type = index
                .get("mediaType")
                .and_then(Value::as_str)
                .unwrap_or(media_type::INDEX);
            self.put_manifest(tag, media_type, &bytes)?;
            // The protocol knows no "only if unchanged": whoever writes last wins, so see who did.
            current = self.manifest(tag)?;
            let listed = current.as_ref().map(|manifest| &manifest.document);
            if let Some(Document::Index { manifests }) = listed
                && manifests.iter().any(|manifest| {
                    manifest.digest == entry.digest && manifest.platform == entry.platform
                })
            {
                return Ok(current.map_or(digest, |current| current.digest));
            }
        }
        let why = format!("others wrote it {RACES} times while it was being written; try again");
        Err(Error::Answer { place, why })
    }

    /// What a tag names, as an index to change.
    fn as_index(
        &self,
        current: Option<&StoredManifest>,
        place: &Place,
    ) -> Result<Map<String, Value>> {
        let unusable = |why: String| Error::Answer {
            place: place.clone(),
            why,
        };
        let entries = match current {
            None => json!([]),
            Some(manifest) => match &manifest.document {
                Document::Index { .. } => return object(&manifest.bytes).map_err(unusable),
                Document::Image { config, .. } => {
                    let bytes = self.blob_bytes(config.digest, config.size, CONFIG_LIMIT)?;
                    let platform: Platform = serde_json::from_slice(&bytes).map_err(|error| {
                        unusable(format!(
                            "the configuration of the image under that tag: {error}"
                        ))
                    })?;
                    json!([Descriptor {
                        platform: Some(platform),
                        ..Descriptor::of(&manifest.media_type, &manifest.bytes)
                    }])
                }
            },
        };
        let index =
            json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": entries });
        match index {
            Value::Object(index) => Ok(index),
            _ => Ok(Map::new()),
        }
    }
}
