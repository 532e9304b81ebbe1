//! Base images whose layers are blobs, in an OCI layout or a registry.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use oci::{Descriptor, Digest, Manifest, media_type};
use serde_json::Value;

use super::{BaseContent, BaseError, BaseImage, BaseLayer, Inherit, MAX_JSON, Source};
use crate::layer_blob::LayerBlob;
use crate::sink::{CopyError, HashingSink, Sink, WriteSink};
use crate::tar::{Owner, PaxRecords};

/// Where the blobs of a base image are: a layout, a repository of a registry.
pub trait BlobStore: fmt::Debug + Send + Sync {
    /// What messages call it.
    fn name(&self) -> String;

    /// Hands a reader of a blob to `take`.
    ///
    /// # Errors
    ///
    /// The blob is not there, or cannot be opened.
    fn read(
        &self,
        digest: &Digest,
        size: u64,
        take: &mut dyn FnMut(&mut dyn Read),
    ) -> io::Result<()>;
}

impl BaseImage {
    /// Takes an image whose manifest and blobs are in `store`.
    ///
    /// # Errors
    ///
    /// Its configuration cannot be read, or it is no image for containers.
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
        let Descriptor { digest, size, .. } = &manifest.config;
        copy_blob(&*store, digest, *size, &mut text)?.map_err(|source| BaseError::Blob {
            name: store.name(),
            digest: *digest,
            source,
        })?;
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
        let layer = |(diff_id, layer): (Digest, &Descriptor)| {
            let media_type = media_type::oci_layer(&layer.media_type)
                .ok_or_else(|| wrong(format!("it has a layer of type {}", layer.media_type)))?;
            Ok(BaseLayer {
                name: format!("{}/layer.tar", diff_id.hex()),
                diff_id,
                blob: Some(LayerBlob {
                    diff_id,
                    digest: layer.digest,
                    size: layer.size,
                    media_type,
                }),
                offset: 0,
                content: BaseContent::File(layer.size),
                mode: 0o644,
                mtime: 0,
                owner: Owner::nobody_named(),
                pax: PaxRecords::new(),
            })
        };
        let layers = diff_ids.into_iter().zip(&manifest.layers).map(layer);
        Ok(Self {
            layers: layers.collect::<Result<_, BaseError>>()?,
            source: Source::Blobs(store),
            config,
            inherit: BTreeSet::from([Inherit::Env]),
        })
    }
}

/// Writes a blob to `sink`, and checks it.
pub(super) fn copy_blob(
    store: &dyn BlobStore,
    digest: &Digest,
    size: u64,
    sink: &mut impl Sink,
) -> Result<io::Result<()>, BaseError> {
    let failed = |source| BaseError::Blob {
        name: store.name(),
        digest: *digest,
        source,
    };
    let mut sink = HashingSink::new(sink);
    let mut result = Ok(0);
    store
        .read(digest, size, &mut |stream| {
            result = sink.copy_stream(stream, size);
        })
        .map_err(failed)?;
    match result {
        Ok(_) if sink.finish() == *digest => Ok(Ok(())),
        Ok(_) => Err(failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not what its digest says",
        ))),
        Err(CopyError::Read(source)) => Err(failed(source)),
        Err(CopyError::Write(error)) => Ok(Err(error)),
    }
}
