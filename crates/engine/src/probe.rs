//! Asks Docker's containerd store which blobs it has.
//!
//! Its API lists images, and of an image the digests of the unpacked layers; a layer that came
//! compressed from a registry stands there as well, though its blob has another digest. What it
//! does tell of a manifest is how many bytes of its blobs are there, going by the sizes that the
//! manifest itself gives. So an index is loaded with manifests that name the blobs that are asked
//! for, each with another power of two as its size, and is asked for in turn: the sum says which
//! are there. Few manifests for many blobs, because each costs the store a few writes to disk. They
//! say that they are attestations, which are not unpacked. As long as the index is there, it also
//! keeps the blobs from being collected.
//!
//! Why not simply ask for the blobs? The engine has no request for that, and containerd's own
//! socket below it belongs to root. It rests on how moby's `daemon/containerd` sums up
//! `Manifests[].Size.Content`, as seen in Docker 28. If another version sums otherwise,
//! [`Probe::present`] tells so instead of guessing, and all layers are sent.

use std::io::Cursor;

use image::BlobId;
use image::bytes::tar::ArchiveWriter;
use image::sink::{Stop, WriteSink};
use oci::Digest;
use oci::annotation::{ATTESTATION, CONTAINERD_NAME, REF_NAME, REFERENCE_DIGEST, REFERENCE_TYPE};
use oci::layout::{INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, blob_path};
use oci::media_type::{EMPTY, INDEX, MANIFEST};
use oci::reference::full_name;
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::Error;
use crate::temporary_name::{Owner, PROBE};

/// The size that a manifest gives of its first blob; the next ones double it. All else that counts
/// is smaller, and sizes that were not taken from the manifest are no multiples of it.
const UNIT: u64 = 1 << 20;

/// Most blobs of a manifest: the sum of their sizes is a signed number of 64 bits.
const BLOBS: usize = 40;

/// An index that stands in the engine's store while it is in use.
pub(crate) struct Probe<'a> {
    engine: &'a Api,
    name: String,
    blobs: usize,
    /// The manifests, and the bytes that they and their configuration have.
    manifests: Vec<(Digest, u64)>,
}

impl<'a> Probe<'a> {
    /// Loads an index that asks for these blobs.
    pub(crate) fn new(engine: &'a Api, blobs: &[BlobId]) -> Result<Self, Error> {
        let (archive, probe) = Self::build(engine, blobs).map_err(image::Error::from)?;
        engine
            .client
            .load(&format!("{}/load", engine.images()), Cursor::new(archive))?;
        Ok(probe)
    }

    /// The index as an OCI archive.
    fn build(engine: &'a Api, blobs: &[BlobId]) -> Result<(Vec<u8>, Self), Stop> {
        let mut sink = WriteSink::new(Vec::new());
        let mut archive = ArchiveWriter::new(&mut sink, 1);
        let add_blob = |archive: &mut ArchiveWriter<'_, _>, bytes: &[u8]| {
            let digest = Digest::of(bytes);
            archive.file(&blob_path(&digest), bytes)?;
            Ok::<_, Stop>(digest)
        };
        let config = add_blob(&mut archive, b"{}")?;
        let mut manifests = Vec::new();
        let mut entries = Vec::new();
        for group in blobs.chunks(BLOBS) {
            let blobs = group
                .iter()
                .enumerate()
                .map(|(index, blob)| descriptor(blob.media_type, &blob.digest, UNIT << index));
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": descriptor(EMPTY, &config, 2),
                "layers": blobs.collect::<Vec<_>>(),
            });
            let text = manifest.to_string();
            let digest = add_blob(&mut archive, text.as_bytes())?;
            let size = text.len() as u64;
            let mut entry = descriptor(MANIFEST, &digest, size);
            entry["platform"] = json!({"architecture": "unknown", "os": "unknown"});
            entry["annotations"] = json!({
                REFERENCE_TYPE: ATTESTATION,
                REFERENCE_DIGEST: config.to_string(),
            });
            manifests.push((digest, size + 2));
            entries.push(entry);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        let text = index.to_string();
        let digest = add_blob(&mut archive, text.as_bytes())?;
        // A name for each run, so that none deletes what another one asks.
        let tag = format!("{}-{}", Owner::this_process(), &digest.hex()[..12]);
        let name = format!("{PROBE}:{tag}");
        let mut entry = descriptor(INDEX, &digest, text.len() as u64);
        entry["annotations"] = json!({
            CONTAINERD_NAME: full_name(&name),
            REF_NAME: tag,
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        archive.file(INDEX_FILE, index.to_string().as_bytes())?;
        archive.file(LAYOUT_FILE, LAYOUT_TEXT.as_bytes())?;
        archive.finish()?;
        let probe = Self {
            engine,
            name,
            blobs: blobs.len(),
            manifests,
        };
        Ok((sink.into_inner(), probe))
    }

    /// Which of the blobs are there; nothing where the engine's sums are not those of these blobs.
    pub(crate) fn present(&self) -> Result<Option<Vec<bool>>, Error> {
        let image = self.engine.inspect(&self.name)?;
        let told = image.and_then(|image| image.manifests).unwrap_or_default();
        let mut present = Vec::with_capacity(self.blobs);
        for (digest, own) in &self.manifests {
            let Some(bits) = told.get(digest).and_then(|told| bits(told.content, *own)) else {
                return Ok(None);
            };
            let rest = (self.blobs - present.len()).min(BLOBS);
            present.extend((0..rest).map(|index| bits >> index & 1 == 1));
        }
        Ok(Some(present))
    }
}

/// Which blobs of a manifest are there, the first one in the lowest bit; nothing where the sum is
/// not one of the manifest's sizes.
fn bits(content: u64, own: u64) -> Option<u64> {
    let sum = content.checked_sub(own)?;
    (sum.is_multiple_of(UNIT) && sum / UNIT < 1 << BLOBS).then_some(sum / UNIT)
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.engine.remove_name(&self.name);
    }
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_says_which_blobs_are_there() {
        assert_eq!(bits(700, 700), Some(0));
        assert_eq!(bits(700 + UNIT + (UNIT << 39), 700), Some(1 | 1 << 39));
        // Sizes that the manifest did not give: nothing is known.
        for content in [0, 699, 701, 700 + 44_714_794, 700 + (UNIT << 40), u64::MAX] {
            assert_eq!(bits(content, 700), None, "{content}");
        }
    }
}
