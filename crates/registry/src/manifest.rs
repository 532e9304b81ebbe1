//! Manifests and indexes, as far as sending and finding images needs to understand them.
//!
//! A manifest is kept as the bytes that came, since its digest is theirs. Formats: the OCI image
//! specification 1.1, and Docker's image manifest version 2, schema 2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use oci::media_type::{self, DOCKER_INDEX, DOCKER_MANIFEST};
use oci::{Descriptor, Digest, Platform};

pub(crate) const ACCEPTED: [&str; 4] = [
    media_type::MANIFEST,
    media_type::INDEX,
    DOCKER_MANIFEST,
    DOCKER_INDEX,
];

/// The codes by which registries say that a manifest lists a blob that they lack.
pub(crate) const BLOB_UNKNOWN: [&str; 2] = ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"];

/// What a manifest is, and what it lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An image, or another artifact.
    Image {
        /// Its configuration.
        config: Box<Descriptor>,
        /// Its layers, the lowest first.
        layers: Vec<Descriptor>,
    },
    /// Manifests for several platforms.
    Index {
        /// The manifests.
        manifests: Vec<Descriptor>,
    },
}

/// A manifest or index that a registry stores, as the bytes that came.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    /// The tag or digest that it was asked for by.
    pub identifier: String,
    /// What it is.
    pub media_type: String,
    /// The digest of [`Self::bytes`].
    pub digest: Digest,
    /// Exactly what the registry gave.
    pub bytes: Vec<u8>,
    /// What it lists.
    pub document: Document,
    /// What kind of artifact it is: of images, the media type of their configuration.
    pub artifact_type: Option<String>,
    /// The manifest that it refers to, if any.
    pub subject: Option<Descriptor>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts {
    media_type: Option<String>,
    artifact_type: Option<String>,
    subject: Option<Descriptor>,
    config: Option<Box<Descriptor>>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl StoredManifest {
    /// Understands `bytes`; `said` is the content type that came with them.
    ///
    /// # Errors
    ///
    /// They are neither a manifest nor an index.
    pub(crate) fn read(identifier: &str, said: &str, bytes: Vec<u8>) -> Result<Self, String> {
        let parts: Parts = serde_json::from_slice(&bytes)
            .map_err(|error| format!("it is not a manifest: {error}"))?;
        let said = said.split(';').next().unwrap_or_default().trim();
        let inside = parts
            .media_type
            .as_deref()
            .filter(|media_type| !media_type.is_empty());
        let (subject, annotations) = (parts.subject, parts.annotations.unwrap_or_default());
        let document = match (parts.manifests, parts.config, parts.layers) {
            (Some(manifests), None, None) => Document::Index { manifests },
            (None, Some(config), Some(layers)) => Document::Image { config, layers },
            _ => {
                return Err(format!(
                    "it is neither a manifest nor an index, but {:?}",
                    inside.unwrap_or(said)
                ));
            }
        };
        let artifact_type = match (parts.artifact_type, &document) {
            (Some(artifact_type), _) if !artifact_type.is_empty() => Some(artifact_type),
            (_, Document::Image { config, .. }) => Some(config.media_type.clone()),
            (_, Document::Index { .. }) => None,
        };
        // Registries are known to answer with a plain JSON type; the document says it better.
        let media_type = inside
            .or_else(|| ACCEPTED.into_iter().find(|accepted| *accepted == said))
            .unwrap_or(match document {
                Document::Image { .. } => media_type::MANIFEST,
                Document::Index { .. } => media_type::INDEX,
            })
            .to_owned();
        let digest = Digest::of(&bytes);
        Ok(Self {
            identifier: identifier.to_owned(),
            media_type,
            digest,
            bytes,
            document,
            artifact_type,
            subject,
            annotations,
        })
    }

    /// The blobs that it lists: configuration and layers; none for an index.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, layers) = match &self.document {
            Document::Image { config, layers } => (Some(config.as_ref()), layers.as_slice()),
            Document::Index { .. } => (None, [].as_slice()),
        };
        config.into_iter().chain(layers)
    }

    /// The manifest for `platform` in an index.
    pub fn for_platform(&self, platform: &Platform) -> Option<&Descriptor> {
        match &self.document {
            Document::Index { manifests } => manifests.iter().find(|manifest| {
                manifest
                    .platform
                    .as_ref()
                    .is_some_and(|other| platform.matches(other))
            }),
            Document::Image { .. } => None,
        }
    }
}

/// A document as JSON, to change a part of it and to keep the rest.
pub(crate) fn object(bytes: &[u8]) -> Result<serde_json::Map<String, Value>, String> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(byte: u8) -> String {
        format!(
            r#"{{"mediaType": "m", "digest": "{}", "size": {byte}, "urls": []}}"#,
            Digest::of(&[byte])
        )
    }

    #[test]
    fn an_image_manifest_lists_its_blobs() {
        let text = format!(
            r#"{{"schemaVersion": 2, "config": {}, "layers": [{}, {}], "annotations": {{"a": "b"}}}}"#,
            descriptor(1),
            descriptor(2),
            descriptor(3)
        );
        let manifest = StoredManifest::read(
            "v1",
            "application/json; charset=utf-8",
            text.clone().into_bytes(),
        )
        .unwrap();
        assert_eq!(manifest.media_type, media_type::MANIFEST);
        assert_eq!(manifest.digest, Digest::of(text.as_bytes()));
        assert_eq!(
            manifest.blobs().map(|blob| blob.size).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(manifest.annotations["a"], "b");
        let docker = StoredManifest::read("v1", DOCKER_MANIFEST, text.into_bytes()).unwrap();
        assert_eq!(docker.media_type, DOCKER_MANIFEST);
    }

    #[test]
    fn an_index_is_searched_by_platform() {
        let text = format!(
            r#"{{"mediaType": "{DOCKER_INDEX}", "manifests": [
                {{"digest": "{}", "size": 1, "platform": {{"os": "linux", "architecture": "amd64"}}}},
                {{"digest": "{}", "size": 2, "platform": {{"os": "linux", "architecture": "arm64", "variant": "v8"}}}}
            ]}}"#,
            Digest::of(b"1"),
            Digest::of(b"2")
        );
        let index = StoredManifest::read("v1", media_type::INDEX, text.into_bytes()).unwrap();
        assert_eq!(
            index.media_type, DOCKER_INDEX,
            "the document itself knows best"
        );
        assert_eq!(index.blobs().count(), 0);
        let size = |architecture: &str, variant: Option<&str>| {
            let platform = Platform {
                os: "linux".to_owned(),
                architecture: architecture.to_owned(),
                variant: variant.map(str::to_owned),
                os_version: None,
            };
            index.for_platform(&platform).map(|manifest| manifest.size)
        };
        assert_eq!(size("amd64", None), Some(1));
        assert_eq!(size("arm64", None), Some(2));
        assert_eq!(size("arm64", Some("v9")), None);
        assert_eq!(size("riscv64", None), None);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"schemaVersion": 1, "fsLayers": []}"#,
            r#"{"config": {"digest": "x", "size": 1}, "layers": []}"#,
            r#"{"manifests": [], "layers": []}"#,
            r#"{"manifests": [{"digest": "sha256:00", "size": -1}]}"#,
        ] {
            assert!(
                StoredManifest::read("v1", media_type::MANIFEST, text.as_bytes().to_vec()).is_err(),
                "{text}"
            );
        }
    }
}
