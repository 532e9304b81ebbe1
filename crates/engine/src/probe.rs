//! Asks Docker's containerd store which blobs it has.
//!
//! Its API lists images, and of an image the digests of the unpacked layers; a layer that came
//! compressed from a registry stands there as well, though its blob has another digest. What it
//! does tell is whether all blobs of a manifest are there. So an index is loaded with a manifest
//! for each blob that is asked for, a few hundred bytes each, and is asked for in turn. The
//! manifests say that they are attestations, which are not unpacked. As long as the index is there
//! it also keeps the blobs from being collected.

use std::collections::BTreeSet;
use std::io::Cursor;

use image::Digest;
use image::oci::{
    CONTAINERD_NAME, INDEX, INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, LayerBlob, MANIFEST, REF_NAME,
};
use image::tar::{BLOCK, Kind, Member, Owner, PaxRecords, end_of_archive, padding, write_header};
use serde_json::{Value, json};

use crate::Error;
use crate::find::Engine;

/// Media type of `{}`.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// An index that stands in the engine's store while it is in use.
pub(crate) struct Probe<'a> {
    engine: &'a Engine,
    name: String,
    manifests: Vec<Digest>,
}

impl<'a> Probe<'a> {
    /// Loads an index that asks for these layers' blobs.
    pub(crate) fn new(engine: &'a Engine, layers: &[LayerBlob]) -> Result<Self, Error> {
        let mut archive = Archive::default();
        let config = archive.blob(b"{}");
        let mut manifests = Vec::with_capacity(layers.len());
        let mut entries = Vec::with_capacity(layers.len());
        for layer in layers {
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": descriptor(EMPTY, &config, 2),
                "layers": [descriptor(layer.media_type, &layer.digest, layer.size)],
            });
            let text = manifest.to_string();
            let digest = archive.blob(text.as_bytes());
            let mut entry = descriptor(MANIFEST, &digest, text.len() as u64);
            entry["platform"] = json!({"architecture": "unknown", "os": "unknown"});
            entry["annotations"] = json!({
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": layer.digest.to_string(),
            });
            manifests.push(digest);
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
            CONTAINERD_NAME: format!("docker.io/library/{name}"),
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
            manifests,
        })
    }

    /// Which of the layers' blobs are there.
    pub(crate) fn present(&self) -> Result<Vec<bool>, Error> {
        let available: BTreeSet<Digest> = self
            .engine
            .inspect(&self.name)?
            .and_then(|image| image.available)
            .unwrap_or_default();
        Ok(self
            .manifests
            .iter()
            .map(|manifest| available.contains(manifest))
            .collect())
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
        self.member(&format!("blobs/sha256/{}", digest.hex()), bytes);
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
