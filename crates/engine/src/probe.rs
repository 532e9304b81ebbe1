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

use std::io::Cursor;

use image::oci::LayerBlob;
use image::tar::{BLOCK, Kind, Member, Owner, PaxRecords, end_of_archive, padding, write_header};
use oci::Digest;
use oci::annotation::{ATTESTATION, CONTAINERD_NAME, REF_NAME, REFERENCE_DIGEST, REFERENCE_TYPE};
use oci::layout::{INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, blob_path};
use oci::media_type::{EMPTY, INDEX, MANIFEST};
use oci::reference::full_name;
use serde_json::{Value, json};

use crate::Error;
use crate::api::Api;

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
    pub(crate) fn new(engine: &'a Api, blobs: &[LayerBlob]) -> Result<Self, Error> {
        let mut archive = Archive::default();
        let config = archive.blob(b"{}");
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
            let digest = archive.blob(text.as_bytes());
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
        let digest = archive.blob(text.as_bytes());
        // A name for each run, so that none deletes what another one asks.
        let tag = format!("{}-{}", std::process::id(), &digest.hex()[..12]);
        let name = format!("stream-layered-probe:{tag}");
        let mut entry = descriptor(INDEX, &digest, text.len() as u64);
        entry["annotations"] = json!({
            CONTAINERD_NAME: full_name(&name),
            REF_NAME: tag,
        });
        archive.member(
            INDEX_FILE,
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
                .to_string()
                .as_bytes(),
        );
        archive.member(LAYOUT_FILE, LAYOUT_TEXT.as_bytes());
        engine
            .client
            .load("/images/load", Cursor::new(archive.finish()))?;
        Ok(Self {
            engine,
            name,
            blobs: blobs.len(),
            manifests,
        })
    }

    /// Which of the blobs are there.
    pub(crate) fn present(&self) -> Result<Vec<bool>, Error> {
        let image = self.engine.inspect(&self.name)?;
        let told = image.and_then(|image| image.manifests).unwrap_or_default();
        let mut present = Vec::with_capacity(self.blobs);
        for (digest, own) in &self.manifests {
            let bits = told.get(digest).map_or(0, |told| bits(told.content, *own));
            let rest = (self.blobs - present.len()).min(BLOBS);
            present.extend((0..rest).map(|index| bits >> index & 1 == 1));
        }
        Ok(present)
    }
}

/// Which blobs of a manifest are there, the first one in the lowest bit; none where the sum is not
/// one of the manifest's sizes.
fn bits(content: u64, own: u64) -> u64 {
    match content.checked_sub(own) {
        Some(sum) if sum.is_multiple_of(UNIT) && sum / UNIT < 1 << BLOBS => sum / UNIT,
        _ => 0,
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        // One that stays is untidy, a few kilobytes, and no reason to fail.
        let path = format!("/images/{}", self.name);
        let _ = self.engine.client.delete("cannot tidy up", &path);
    }
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
}

/// A small OCI layout as a tar, in memory.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.member(&blob_path(&digest), bytes);
        digest
    }

    fn member(&mut self, name: &str, bytes: &[u8]) {
        let length = bytes.len() as u64;
        let member = Member {
            name: name.as_bytes(),
            kind: Kind::File(length),
            mode: 0o644,
            mtime: 1,
            owner: &Owner::root(),
            pax: PaxRecords::new(),
        };
        write_header(&mut self.0, &member);
        self.0.extend(bytes);
        self.zeros(padding(length, BLOCK));
    }

    fn zeros(&mut self, count: u64) {
        // Less than a record.
        self.0.resize(self.0.len() + count as usize, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.zeros(end_of_archive(self.0.len() as u64));
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_says_which_blobs_are_there() {
        assert_eq!(bits(700, 700), 0);
        assert_eq!(bits(700 + UNIT + (UNIT << 39), 700), 1 | 1 << 39);
        // Sizes that the manifest did not give: nothing is known.
        for content in [0, 699, 701, 700 + 44_714_794, 700 + (UNIT << 40), u64::MAX] {
            assert_eq!(bits(content, 700), 0, "{content}");
        }
    }
}
