//! Base images whose layers are blobs, in an OCI layout or a registry.

use std::collections::BTreeSet;

use oci::{Descriptor, Digest, Manifest, media_type};
use serde_json::Value;

use super::error::BaseError;
use super::image::{BaseContent, BaseImage, BaseLayer, BaseSource, BlobStore};
use super::inherit::Inherit;
use super::limits::{MAX_JSON, MAX_LAYERS};
use super::reader::copy_blob;
use crate::bytes::tar::{Owner, PaxRecords};
use crate::layer_id::BlobId;
use crate::sink::WriteSink;

impl BaseImage {
    /// Takes an image whose manifest and blobs are in `store`.
    ///
    /// # Errors
    ///
    /// Its configuration cannot be read, or it is not an image for containers.
    pub fn of_blobs(store: Box<dyn BlobStore>, manifest: &Manifest) -> Result<Self, BaseError> {
        let wrong = |what: String| BaseError::Blobs {
            name: store.name(),
            what,
        };
        if manifest.config.size > MAX_JSON {
            let size = manifest.config.size;
            return Err(wrong(format!("its configuration has {size} bytes")));
        }
        let mut text = WriteSink::new(Vec::new());
        let config = BlobId {
            digest: manifest.config.digest,
            size: manifest.config.size,
            media_type: media_type::CONFIG,
        };
        copy_blob(&*store, &config, &mut text)?;
        let config: Value = serde_json::from_slice(&text.into_inner())
            .map_err(|error| wrong(format!("its configuration: {error}")))?;
        let diff_ids: Vec<Digest> = match config.pointer("/rootfs/diff_ids") {
            Some(diff_ids) => serde_json::from_value(diff_ids.clone())
                .map_err(|error| wrong(format!("its configuration's rootfs.diff_ids: {error}")))?,
            None => return Err(wrong("its configuration has no rootfs.diff_ids".to_owned())),
        };
        if diff_ids.len() != manifest.layers.len() {
            let (layers, ids) = (manifest.layers.len(), diff_ids.len());
            return Err(wrong(format!(
                "its manifest has {layers} layers, its configuration {ids}"
            )));
        }
        if diff_ids.len() > MAX_LAYERS {
            return Err(wrong(format!("it has {} layers", diff_ids.len())));
        }
        let layer = |(diff_id, layer): (Digest, &Descriptor)| {
            let media_type = media_type::oci_layer(&layer.media_type)
                .ok_or_else(|| wrong(unusable_layer(&layer.media_type)))?;
            Ok(BaseLayer {
                name: format!("{}/layer.tar", diff_id.hex()),
                diff_id,
                content: BaseContent::Blob(BlobId {
                    digest: layer.digest,
                    size: layer.size,
                    media_type,
                }),
                mode: 0o644,
                mtime: 0,
                owner: Owner::without_names(),
                pax: PaxRecords::new(),
            })
        };
        let layers = diff_ids.into_iter().zip(&manifest.layers).map(layer);
        Ok(Self {
            layers: layers.collect::<Result<_, BaseError>>()?,
            source: BaseSource::Blobs(store),
            config,
            inherit: BTreeSet::from([Inherit::Env]),
            warnings: Vec::new(),
        })
    }
}

/// Why a layer of this media type cannot be used.
fn unusable_layer(media_type: &str) -> String {
    let what = if media_type::is_foreign_layer(media_type) {
        "whose bytes may not be passed on, so that registries do not have them: it is of an image for Windows"
    } else if media_type.contains("encrypted") {
        "which is encrypted; decrypt the image first, for example with `skopeo copy --decryption-key`"
    } else {
        "which is no tar, nor one that gzip or zstd compressed; a container's file system is needed"
    };
    format!("it has a layer of type {media_type}, {what}")
}
