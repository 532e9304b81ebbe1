//! OCI images: layers, configuration and manifest as blobs that are named by their digests, in a
//! layout directory, in an archive of one, or, by the same blobs, in a registry or an engine.
//!
//! Blobs that the destination has are named in the manifest, and neither read nor written: see
//! [`LayerBlobs::know`] and [`Destination`].

mod archive;
mod layer_blobs;
mod layout;
mod layout_image;
mod memory;
mod permits;
mod reader;

use std::collections::BTreeMap;

pub use archive::write_archive;
pub use layer_blobs::LayerBlobs;
pub use layout::write_layout;
pub use layout_image::open_layout;
pub use memory::{DIFF_ID, LAYER_KEY, TAR_SIZE};
pub use reader::LayerReader;

use oci::annotation::{CONTAINERD_NAME, REF_NAME};
use oci::reference::{DEFAULT_TAG, full_name, split_tag};
use oci::{Descriptor, Manifest, Platform, media_type};

use crate::config::config_text;
pub use crate::layer_blob::LayerBlob;
use crate::{Digest, Error, Layer, LayerDigest};

/// An image whose layers' digests are all known: what stands above its layers.
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
    /// A layer is not known, or the documents cannot be serialised.
    pub fn new(
        blobs: &LayerBlobs<'_>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let image = blobs.image();
        let layers = blobs.all().ok_or(Error::Cancelled)?;
        let digests: Vec<LayerDigest> = layers
            .iter()
            .map(|blob| LayerDigest {
                diff_id: blob.diff_id,
                size: blob.size,
            })
            .collect();
        let config = config_text(image, &digests)?;
        let describe = |(index, blob): (usize, &LayerBlob)| Descriptor {
            annotations: blobs.annotations(index),
            ..Descriptor::new(blob.media_type, blob.digest, blob.size)
        };
        let manifest = Manifest::new(
            Descriptor::of(media_type::CONFIG, &config),
            layers.iter().enumerate().map(describe).collect(),
            annotations.clone(),
        )
        .to_json()?;
        Ok(Self {
            image_id: Digest::of(&config),
            descriptor: Descriptor {
                platform: Some(Platform::linux(&image.architecture)),
                ..Descriptor::of(media_type::MANIFEST, &manifest)
            },
            config,
            manifest,
        })
    }
}

/// How a layout or an archive is written.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The manifest's annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether layers are hashed once more while they are written, so that one that is not what
    /// its digest says is an error.
    pub verify: bool,
    /// Whether the image is added to the index under its tag, as the one for its platform. Only
    /// for layouts in directories.
    pub index: bool,
    /// What is there already, and who is told what comes.
    pub destination: &'a dyn Destination,
}

/// What is told of an image, and who is asked, while it is written.
pub trait Destination: Sync {
    /// Whether the blob of this digest is there already: it is left out then.
    fn has(&self, _digest: &Digest) -> bool {
        false
    }

    /// A layer is about to be made. Called from several threads.
    fn making(&self, _index: usize, _of: usize, _layer: &Layer<'_>) {}

    /// A layer is done; `made` unless it was there. Called from several threads.
    fn done(&self, _index: usize, _blob: &LayerBlob, _made: bool) {}
}

/// A destination that has nothing.
impl Destination for () {}

/// What was written.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The layers, bottom first.
    pub layers: Vec<LayerBlob>,
    /// Configuration and manifest.
    pub documents: Documents,
    /// Layers that were there already.
    pub present: usize,
    /// Bytes that were written: of the archive, or of the layout's new blobs.
    pub written: u64,
}

/// The names by which a layout lists an image: its tag, and its full name as containerd has it.
fn names(repo_tag: &str) -> BTreeMap<String, String> {
    let (_, tag) = split_tag(repo_tag);
    BTreeMap::from([
        (REF_NAME.to_owned(), tag.unwrap_or(DEFAULT_TAG).to_owned()),
        (CONTAINERD_NAME.to_owned(), full_name(repo_tag)),
    ])
}
