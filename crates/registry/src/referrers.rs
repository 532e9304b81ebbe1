//! Artifacts that refer to an image: kept beside it, without a tag of their own.
//!
//! Follows the referrers API of the distribution specification 1.1; for registries without it,
//! the tag that the specification names in its place.

use std::collections::BTreeMap;

use oci::{Descriptor, Digest, media_type};
use serde::Deserialize;
use serde_json::json;
use ureq::http::{Method, header};

use crate::error::{Error, Result};
use crate::manifest::{Document, Manifest};
use crate::repository::Repository;
use crate::url::escape;

impl Repository<'_> {
    /// The artifacts of this type that refer to the manifest of digest `subject`.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub fn referrers(&self, subject: Digest, artifact_type: &str) -> Result<Vec<Descriptor>> {
        let place = self.place(format!("referrers of {subject}"));
        let path = format!("referrers/{subject}?artifactType={}", escape(artifact_type));
        let mut call = self.call(Method::GET, &path, place.clone())?;
        call.headers
            .push((header::ACCEPT, media_type::INDEX.to_owned()));
        let answer = self.client.answer(&call, None)?;
        let index = match answer.status.as_u16() {
            200 => Some(
                Manifest::read("", media_type::INDEX, answer.body)
                    .map_err(|why| Error::Answer { place, why })?,
            ),
            400 | 404 | 405 => self.manifest(&fallback_tag(subject))?,
            _ => return Err(answer.refused(&place)),
        };
        let mut found = match index.map(|index| index.document) {
            Some(Document::Index { manifests }) => manifests,
            _ => Vec::new(),
        };
        // Registries may leave the filter to us.
        found.retain(|artifact| artifact.artifact_type.as_deref() == Some(artifact_type));
        Ok(found)
    }

    /// Puts an artifact's manifest, whose `subject` names the manifest that it refers to. Its
    /// blobs must be there.
    ///
    /// # Errors
    /// When the manifest is none, or the registry refuses it.
    pub fn put_referrer(&self, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Artifact {
            subject: Descriptor,
            config: Option<Descriptor>,
            artifact_type: Option<String>,
            #[serde(default)]
            annotations: BTreeMap<String, String>,
        }
        let artifact: Artifact = serde_json::from_slice(bytes).map_err(|error| Error::Answer {
            place: self.place("push of an artifact"),
            why: error.to_string(),
        })?;
        let digest = Digest::of(bytes);
        let stored = self.put_manifest(&digest.to_string(), media_type, bytes)?;
        if !stored.subject_noted {
            let entry = Descriptor {
                media_type: media_type.to_owned(),
                digest,
                size: bytes.len() as u64,
                artifact_type: artifact
                    .artifact_type
                    .or(artifact.config.map(|config| config.media_type)),
                platform: None,
                annotations: artifact.annotations,
            };
            self.edit_index(&fallback_tag(artifact.subject.digest), &entry, |entries| {
                let name = digest.to_string();
                entries.retain(|entry| entry["digest"].as_str() != Some(&name));
                entries.push(json!(entry));
            })?;
        }
        Ok(digest)
    }
}

fn fallback_tag(subject: Digest) -> String {
    format!("sha256-{}", subject.hex())
}
