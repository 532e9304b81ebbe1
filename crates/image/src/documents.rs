//! What stands above an image's layers in OCI form: its configuration and its manifest.

use std::collections::BTreeMap;

use oci::annotation::{CONTAINERD_NAME, REF_NAME};
use oci::reference::{DEFAULT_TAG, full_name, split_tag};
use oci::{Descriptor, Digest, Manifest, media_type};

use crate::bytes::image_config::config_text;
use crate::error::Error;
use crate::layer_table::LayerTable;

/// Configuration and manifest of an image whose layers are all known.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The configuration's text.
    pub config: Vec<u8>,
    /// The manifest's text.
    pub manifest: Vec<u8>,
    /// What an index says of the manifest: its platform, but no name.
    pub descriptor: Descriptor,
    /// Digest of the configuration: the image's id.
    pub image_id: Digest,
}

impl Documents {
    /// Writes configuration and manifest of layers that are all known. `annotations` are the
    /// manifest's.
    ///
    /// # Errors
    ///
    /// A layer is not known, which is a fault of the program, or the documents cannot be serialised.
    pub fn new(
        table: &LayerTable<'_>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let image = table.image();
        let config = config_text(image, &table.diff_ids()?)?;
        let layers = table.blobs()?.into_iter().enumerate();
        let layers = layers.map(|(index, blob)| Descriptor {
            annotations: table.annotations(index),
            ..Descriptor::new(blob.media_type, blob.digest, blob.size)
        });
        let manifest = Manifest::new(
            Descriptor::of(media_type::CONFIG, &config),
            layers.collect(),
            annotations.clone(),
        )
        .to_json()?;
        Ok(Self {
            image_id: Digest::of(&config),
            descriptor: Descriptor {
                platform: Some(image.platform.clone()),
                ..Descriptor::of(media_type::MANIFEST, &manifest)
            },
            config,
            manifest,
        })
    }

    /// What a layout's index says of the manifest under a name `REPOSITORY:TAG`: its tag, and its
    /// full name as containerd has it.
    pub(crate) fn named(&self, repo_tag: &str) -> Descriptor {
        let (_, tag) = split_tag(repo_tag);
        let names = [
            (REF_NAME, tag.unwrap_or(DEFAULT_TAG).to_owned()),
            (CONTAINERD_NAME, full_name(repo_tag)),
        ];
        Descriptor {
            annotations: names.map(|(name, text)| (name.to_owned(), text)).into(),
            ..self.descriptor.clone()
        }
    }
}
