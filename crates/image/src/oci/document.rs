//! The JSON documents of the OCI image specification 1.1: descriptors, manifests, indexes, layouts.
//!
//! Fields stand in the specification's order, and maps are sorted, so that equal images have equal
//! digests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Compression, Digest, Error};

/// Media type of an image's manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index: several manifests under one name.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image's configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer that is not compressed.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Media type of a layer in gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Media type of a layer in zstd.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Annotation of a manifest in a layout: its tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation of a manifest in a layout: the image's full name, which containerd gives it.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Name of the file that says that a directory is a layout.
pub const LAYOUT_FILE: &str = "oci-layout";
/// Its text.
pub const LAYOUT_TEXT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";
/// Name of the file that lists a layout's images.
pub const INDEX_FILE: &str = "index.json";
/// Directory of a layout's blobs.
pub const BLOBS: &str = "blobs/sha256";

/// The media type of a layer that is compressed in this way.
pub fn layer_media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => LAYER,
        Compression::Gzip(_) => LAYER_GZIP,
        Compression::Zstd(_) => LAYER_ZSTD,
    }
}

/// Where an image runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Platform {
    /// As in Go's `GOOS`.
    #[serde(default)]
    pub os: String,
    /// As in Go's `GOARCH`.
    #[serde(default)]
    pub architecture: String,
    /// Of the architecture, such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Of the operating system.
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
}

/// What a manifest says about one of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What an artifact is, in an index of referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// For manifests in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free text by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Describes some bytes.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Describes these bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// An image's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`MANIFEST`]; manifests of others may leave it out.
    #[serde(default)]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, bottom first.
    pub layers: Vec<Descriptor>,
    /// Free text by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// The manifest of these parts.
    pub fn new(
        config: Descriptor,
        layers: Vec<Descriptor>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config,
            layers,
            annotations,
        }
    }
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`INDEX`]; indexes of others may leave it out.
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
            media_type: INDEX.to_owned(),
            manifests,
            annotations: BTreeMap::new(),
        }
    }
}

/// The text of a document, as it is hashed and kept.
///
/// # Errors
///
/// It cannot be serialised.
pub fn text(document: &impl Serialize) -> Result<Vec<u8>, Error> {
    Ok(serde_json::to_vec(document)?)
}
