//! Loading an image into an engine: what is missing is sent, and what came of it is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::num::NonZeroUsize;

use image::docker_archive;
use image::oci::{self as writer, Documents, LayerBlob, LayerBlobs};
use image::{Compression, Digest, Image, Layer, LayerDigest, Promise, take_digests};
use nix_compat::tree::Trees;
use oci::media_type;
use oci::reference::{DEFAULT_TAG, split_tag};

use crate::Error;
use crate::api::{Api, Store};
use crate::inspect::Inspected;
use crate::missing_layers::present;
use crate::probe::{self, Probe};
use crate::send::{Archive, send};
use crate::temporary_name::Owner;

/// How an image is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Threads that take digests.
    pub jobs: NonZeroUsize,
    /// Whether layers are hashed once more while they are sent.
    pub verify: bool,
}

/// Is told how far the loading is. Calls come from two threads.
pub trait Observer: Sync {
    /// It is known what is missing: so many layers of so many are sent, with this many bytes.
    fn missing(&self, layers: usize, of: usize, bytes: u64);

    /// A layer is about to be sent.
    fn layer(&self, index: usize, of: usize, layer: &Layer<'_>, digest: &LayerDigest);

    /// Some bytes were sent.
    fn bytes(&self, count: u64);

    /// Something is not as it should be, though the image will be loaded all the same.
    fn warning(&self, text: &str);

    /// The engine lacks a layer that it seemed to have: everything is sent now.
    fn again(&self);
}

/// An image that an engine has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Digest of the configuration: the image's id.
    pub image_id: Digest,
    /// The layers, bottom first.
    pub layers: Vec<LayerDigest>,
    /// How many of them were sent.
    pub sent: usize,
    /// Bytes of those layers.
    pub sent_bytes: u64,
}

impl Loaded {
    pub(crate) fn new(image_id: Digest, layers: Vec<LayerDigest>, left_out: &[bool]) -> Self {
        let (sent, sent_bytes) = to_send(&layers, left_out);
        Self {
            image_id,
            layers,
            sent,
            sent_bytes,
        }
    }
}

/// How many layers are sent, and their bytes.
fn to_send(layers: &[LayerDigest], left_out: &[bool]) -> (usize, u64) {
    let sent = layers.iter().zip(left_out).filter(|(_, out)| !**out);
    (
        sent.clone().count(),
        sent.map(|(layer, _)| layer.size).sum(),
    )
}

/// Loads `image`, and gives it its names. Layers that the engine has are neither sent nor read
/// where their digest is known.
///
/// # Errors
///
/// The image cannot be made, the engine refuses it or goes away, or does not have it whole after
/// all layers were sent. Its names then stand for what they stood for before.
pub(crate) fn load(
    engine: &Api,
    image: &mut Image,
    trees: &dyn Trees,
    options: Options,
    observer: &dyn Observer,
) -> Result<Loaded, Error> {
    let names = mem::take(&mut image.repo_tags);
    let mut loading = Loading {
        engine,
        trees,
        options,
        observer,
        promises: believe(image),
        image,
        layers: Vec::new(),
        blobs: Vec::new(),
        image_id: Digest::of(&[]),
        id: Digest::of(&[]),
    };
    probe::remove_probes(engine, Owner::is_gone);
    let loaded = loading.run(&names);
    image.repo_tags = names;
    loaded
}

struct Loading<'a> {
    engine: &'a Api,
    /// Without names.
    image: &'a mut Image,
    trees: &'a dyn Trees,
    options: Options,
    observer: &'a dyn Observer,
    /// Of the store layers, as they were before.
    promises: Vec<Option<Promise>>,
    layers: Vec<LayerDigest>,
    /// The layers as an OCI layout holds them: the same, but for a base image's compressed ones.
    blobs: Vec<LayerBlob>,
    image_id: Digest,
    /// What the engine knows the image by.
    id: Digest,
}

impl Loading<'_> {
    fn run(&mut self, names: &[String]) -> Result<Loaded, Error> {
        let known = names.iter().map(|name| self.named(name));
        let known: Vec<Inspected> = known
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        let layers = self.image.layers();
        let layers = take_digests(&layers, self.trees, &self.image.rules, self.options.jobs)?;
        self.identify(layers)?;
        let mut left_out = vec![true; self.layers.len()];
        if !self.is_there(&known)? {
            left_out = self.send_missing(&known, names)?;
        }
        for name in names {
            self.tag(name)?;
        }
        let layers = mem::take(&mut self.layers);
        Ok(Loaded::new(self.image_id, layers, &left_out))
    }

    /// Sends what is missing, or everything where that did not do; gives what was left out.
    fn send_missing(&mut self, known: &[Inspected], names: &[String]) -> Result<Vec<bool>, Error> {
        // The probe stays until the image is whole: it keeps the blobs that it found.
        let probe = match self.engine.store {
            Store::Containerd => Some(Probe::new(self.engine, &self.blobs)?),
            Store::Classic | Store::Podman => None,
        };
        let left_out = match &probe {
            Some(probe) => probe.present()?.unwrap_or_else(|| {
                self.observer.warning(&format!(
                    "{} does not tell which layers it has; all are sent",
                    self.engine.name()
                ));
                vec![false; self.layers.len()]
            }),
            None => present(self.engine, &self.layers, known, names)?,
        };
        if left_out.contains(&true) {
            match self.send(&left_out) {
                Ok(()) if self.is_whole()? => return Ok(left_out),
                Ok(()) | Err(Error::Refused { .. }) => self.observer.again(),
                Err(error) => return Err(error),
            }
        }
        let nothing = vec![false; self.layers.len()];
        self.send(&nothing)?;
        if self.is_whole()? {
            return Ok(nothing);
        }
        Err(Error::NotWhole {
            engine: self.engine.name().to_owned(),
            id: self.id.to_string(),
        })
    }

    /// Sends the image without some of its layers.
    fn send(&mut self, left_out: &[bool]) -> Result<(), Error> {
        promise(self.image, &self.promises, &self.layers, left_out);
        announce(self.observer, &self.layers, left_out);
        let written = match self.engine.store {
            Store::Classic => self.send_docker_archive(left_out)?,
            Store::Containerd | Store::Podman => self.send_oci_archive(left_out)?,
        };
        match written {
            Some(layers) => self.identify(layers),
            None => Ok(()),
        }
    }

    fn send_docker_archive(&self, left_out: &[bool]) -> Result<Option<Vec<LayerDigest>>, Error> {
        let options = docker_archive::Options {
            jobs: self.options.jobs,
            verify: self.options.verify,
            left_out: left_out.iter().take_while(|left_out| **left_out).count(),
        };
        let mut progress = Progress(self.observer);
        let upload = |archive: Archive<'_>| self.engine.load(archive);
        let written = send(upload, self.observer, |output| {
            docker_archive::write(self.image, self.trees, output, options, &mut progress)
        })?;
        Ok(written.map(|summary| summary.layers))
    }

    fn send_oci_archive(&self, left_out: &[bool]) -> Result<Option<Vec<LayerDigest>>, Error> {
        let archive = OciArchive {
            image: self.image,
            trees: self.trees,
            options: self.options,
            observer: self.observer,
            layers: &self.layers,
            blobs: &self.blobs,
        };
        archive.send(left_out, |archive| self.engine.load(archive))
    }

    /// Takes the layers' digests, and what follows from them.
    fn identify(&mut self, layers: Vec<LayerDigest>) -> Result<(), Error> {
        self.layers = layers;
        let blobs = plain_blobs(self.image, self.trees, self.options.jobs, &self.layers)?;
        let documents = Documents::new(&blobs, &BTreeMap::new())?;
        let known = (0..blobs.len()).filter_map(|index| blobs.get(index));
        let known = known.collect();
        self.image_id = documents.image_id;
        self.id = match self.engine.store {
            Store::Classic | Store::Podman => documents.image_id,
            Store::Containerd => documents.descriptor.digest,
        };
        self.blobs = known;
        Ok(())
    }

    /// What has a name now.
    fn named(&self, name: &str) -> Result<Option<Inspected>, Error> {
        let is_plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
        // Tags have capital letters too; the engine says what else it does not like.
        if !name.chars().all(|c| is_plain(c.to_ascii_lowercase())) || name.starts_with('/') {
            return Err(Error::Name {
                name: name.to_owned(),
            });
        }
        self.engine.inspect(name)
    }

    fn is_there(&self, known: &[Inspected]) -> Result<bool, Error> {
        let id = self.id.to_string();
        if known
            .iter()
            .any(|image| image.has_id(&id) && self.has_all(image))
        {
            return Ok(true);
        }
        self.is_whole()
    }

    /// Whether the engine has the image with all its layers.
    fn is_whole(&self) -> Result<bool, Error> {
        let image = self.engine.inspect(&self.id.to_string())?;
        Ok(image.is_some_and(|image| self.has_all(&image)))
    }

    fn has_all(&self, image: &Inspected) -> bool {
        let diff_ids = self.layers.iter().map(|layer| &layer.diff_id);
        let manifests = image.manifests.as_ref();
        let is_available = manifests.is_none_or(|manifests| {
            let own = manifests.get(&self.id);
            own.is_some_and(|manifest| manifest.is_available)
        });
        diff_ids.eq(&image.diff_ids) && is_available
    }

    fn tag(&self, name: &str) -> Result<(), Error> {
        let (repository, tag) = split_tag(name);
        let tag = tag.unwrap_or(DEFAULT_TAG);
        let path = format!("{}/{}/tag", self.engine.images(), self.id);
        let what = format!("cannot name the image {name}");
        self.engine
            .client
            .post(&what, &path, &[("repo", repository), ("tag", tag)])
    }
}

/// The layers as an OCI layout holds them, not compressed, with the digests that they have.
pub(crate) fn plain_blobs<'a>(
    image: &'a Image,
    trees: &'a dyn Trees,
    jobs: NonZeroUsize,
    layers: &[LayerDigest],
) -> Result<LayerBlobs<'a>, image::Error> {
    let blobs = LayerBlobs::new(image, trees, Compression::None, jobs)?;
    for (index, &LayerDigest { diff_id, size }) in layers.iter().enumerate() {
        let plain = LayerBlob {
            diff_id,
            digest: diff_id,
            size,
            media_type: media_type::LAYER,
        };
        // What a base image says of its blobs stays.
        blobs.know(index, plain);
    }
    Ok(blobs)
}

struct Progress<'a>(&'a dyn Observer);

impl docker_archive::Observer for Progress<'_> {
    fn layer(&mut self, index: usize, of: usize, layer: &Layer<'_>, digest: &LayerDigest) {
        self.0.layer(index, of, layer, digest);
    }
}

/// Believes what is remembered of the store layers: if it is wrong, an engine has no such layer.
/// Gives what was promised before.
pub(crate) fn believe(image: &mut Image) -> Vec<Option<Promise>> {
    let layers = image.store_layers.iter_mut();
    layers
        .map(|layer| {
            let before = layer.promise;
            layer.promise = before.map(Promise::given);
            before
        })
        .collect()
}

/// Promises the digests that were taken just now, so that none is taken twice. Of a layer that is
/// to be sent and was remembered, the length is still to be compared.
pub(crate) fn promise(
    image: &mut Image,
    before: &[Option<Promise>],
    layers: &[LayerDigest],
    left_out: &[bool],
) {
    let above_base = image.base.as_ref().map_or(0, |base| base.layers.len());
    for (index, layer) in image.store_layers.iter_mut().enumerate() {
        let at = above_base + index;
        layer.promise = match before[index] {
            Some(Promise::Remembered(digest)) if !left_out[at] => Some(Promise::Remembered(digest)),
            _ => Some(Promise::Given(layers[at])),
        };
    }
}

/// Tells what is missing.
pub(crate) fn announce(observer: &dyn Observer, layers: &[LayerDigest], left_out: &[bool]) {
    let (count, bytes) = to_send(layers, left_out);
    observer.missing(count, left_out.len(), bytes);
}

/// An image as an OCI archive that an engine is sent.
pub(crate) struct OciArchive<'a> {
    pub(crate) image: &'a Image,
    pub(crate) trees: &'a dyn Trees,
    pub(crate) options: Options,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) layers: &'a [LayerDigest],
    /// The same as they are in the archive.
    pub(crate) blobs: &'a [LayerBlob],
}

impl OciArchive<'_> {
    /// Has `upload` send it without some of its layers. Gives the layers' digests, or nothing where
    /// the engine had enough before the end.
    pub(crate) fn send(
        &self,
        left_out: &[bool],
        upload: impl FnOnce(Archive<'_>) -> Result<(), Error> + Send,
    ) -> Result<Option<Vec<LayerDigest>>, Error> {
        let there = self.blobs.iter().zip(left_out);
        let there = there.filter(|(_, left_out)| **left_out);
        let destination = Destination {
            there: there.map(|(blob, _)| blob.digest).collect(),
            layers: self.layers,
            observer: self.observer,
        };
        let options = writer::Options {
            index: false,
            annotations: &BTreeMap::new(),
            verify: self.options.verify,
            destination: &destination,
        };
        let written = send(upload, self.observer, |output| {
            let jobs = self.options.jobs;
            let blobs = LayerBlobs::new(self.image, self.trees, Compression::None, jobs)?;
            writer::write_archive(&blobs, output, &options)
        })?;
        let of_tar = |(blob, layer): (&LayerBlob, &LayerDigest)| LayerDigest {
            diff_id: blob.diff_id,
            // Of a base image's compressed layer, the blob's length is another one.
            size: if blob.digest == blob.diff_id {
                blob.size
            } else {
                layer.size
            },
        };
        Ok(written.map(|summary| summary.layers.iter().zip(self.layers).map(of_tar).collect()))
    }
}

/// What an archive is to leave out, and who is told what it holds.
struct Destination<'a> {
    there: BTreeSet<Digest>,
    layers: &'a [LayerDigest],
    observer: &'a dyn Observer,
}

impl writer::Destination for Destination<'_> {
    fn has(&self, digest: &Digest) -> bool {
        self.there.contains(digest)
    }

    fn making(&self, index: usize, of: usize, layer: &Layer<'_>) {
        self.observer.layer(index, of, layer, &self.layers[index]);
    }
}
