//! Loading an image into an engine: what is missing is sent, and what came of it is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use image::write::{self, OciOptions, docker_archive, write_oci_archive};
use image::{
    BlobWriters, Compression, Documents, Layer, LayerTable, Spool, hash_doubtful_layers,
    hash_unknown_layers,
};
use nix_compat::tree::Trees;
use oci::Digest;
use oci::reference::{DEFAULT_TAG, split_tag};

use crate::api::{Api, Store, check_name};
use crate::error::Error;
use crate::inspect::Inspected;
use crate::missing_layers::{WantedLayer, present, wanted_layers};
use crate::observer::Observer;
use crate::probe::Probe;
use crate::send::{Archive, send};
use crate::temporary_name::{Owner, loading_name};

/// How an image is loaded.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Threads that take digests.
    pub jobs: NonZeroUsize,
    /// Whether layers are hashed once more while they are sent.
    pub verify: bool,
    /// Where layers are kept that are dear to read, from when they are hashed until they are sent.
    pub spool: &'a Spool,
}

/// An image that an engine has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Digest of the configuration: the image's id.
    pub image_id: Digest,
    /// How many layers it has.
    pub layers: usize,
    /// Bytes of all layers.
    pub bytes: u64,
    /// How many of the layers were sent.
    pub sent: usize,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Bytes of the archives that the engine was sent: those layers, what is written around them, and
    /// what was sent in vain.
    pub archive_bytes: u64,
}

impl Loaded {
    pub(crate) fn new(image_id: Digest, layers: &[WantedLayer], left_out: &[bool]) -> Self {
        let (sent, sent_bytes) = to_send(layers, left_out);
        Self {
            image_id,
            layers: layers.len(),
            bytes: layers.iter().map(|layer| layer.size).sum(),
            sent,
            sent_bytes,
            archive_bytes: 0,
        }
    }
}

/// How many layers are sent, and their bytes.
fn to_send(layers: &[WantedLayer], left_out: &[bool]) -> (usize, u64) {
    let sent = layers.iter().zip(left_out).filter(|(_, out)| !**out);
    (
        sent.clone().count(),
        sent.map(|(layer, _)| layer.size).sum(),
    )
}

/// See [`crate::Engine::load`].
///
/// # Errors
///
/// As there.
pub(crate) fn load(
    engine: &Api,
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    options: Options<'_>,
    observer: &dyn Observer,
) -> Result<Loaded, Error> {
    correcting(table, trees, options, || {
        load_once(engine, table, trees, options, observer)
    })
}

/// Loads; and again as long as that fails because something was remembered wrongly of a layer.
pub(crate) fn correcting<T>(
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    options: Options<'_>,
    mut load: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    if options.verify {
        hash_doubtful_layers(table, trees, options.jobs, options.spool)?;
    }
    loop {
        match load() {
            // The table knows better about one more layer.
            Err(Error::Image(image::Error::Disproved { .. })) => {}
            // The engine has looked at what was sent, and may be right. What is dear to read is not
            // read to find out.
            Err(error @ (Error::Refused { .. } | Error::NotWhole { .. }))
                if trees.rereads_cheaply() =>
            {
                let before = table.disproved().len();
                hash_doubtful_layers(table, trees, options.jobs, options.spool)?;
                if table.disproved().len() == before {
                    return Err(error);
                }
            }
            result => return result,
        }
    }
}

fn load_once(
    engine: &Api,
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    options: Options<'_>,
    observer: &dyn Observer,
) -> Result<Loaded, Error> {
    let mut loading = Loading {
        engine,
        table,
        trees,
        options,
        observer,
        image_id: Digest::of(&[]),
        id: Digest::of(&[]),
        name: loading_name(),
        is_sent: false,
    };
    let loaded = loading.run();
    if loading.is_sent {
        engine.remove_name(&loading.name);
    }
    // Only now: what a killed run left may well be what this one needs.
    engine.remove_names(Owner::is_gone);
    loaded
}

struct Loading<'a> {
    engine: &'a Api,
    table: &'a LayerTable<'a>,
    trees: &'a dyn Trees,
    options: Options<'a>,
    observer: &'a dyn Observer,
    image_id: Digest,
    /// What the engine knows the image by.
    id: Digest,
    /// The name that it is sent with. Without one, a killed run would leave an image of which nobody
    /// knows whose it is.
    name: String,
    /// Whether something was sent, so that the engine may have that name.
    is_sent: bool,
}

impl Loading<'_> {
    fn run(&mut self) -> Result<Loaded, Error> {
        let names = &self.table.image().repo_tags;
        let known = names.iter().map(|name| self.named(name));
        let known: Vec<Inspected> = known
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        learn(self.table, self.trees, self.options)?;
        let is_known = self.table.blobs().is_ok();
        if is_known {
            self.identify()?;
        }
        let mut left_out = vec![true; self.table.len()];
        if !is_known || !self.is_there(&known)? {
            left_out = self.send_missing(&known)?;
        }
        for name in names {
            self.tag(name)?;
        }
        let layers = wanted_layers(self.table)?;
        Ok(Loaded::new(self.image_id, &layers, &left_out))
    }

    /// Sends what is missing, or everything where that did not do; gives what was left out.
    fn send_missing(&mut self, known: &[Inspected]) -> Result<Vec<bool>, Error> {
        let nothing = vec![false; self.table.len()];
        let all = 0..self.table.len();
        let known_blobs: Vec<_> = all.filter_map(|index| self.table.blob(index)).collect();
        // The probe stays until the image is whole: it keeps the blobs that it found.
        let probe = match self.engine.store {
            Store::Containerd => Some(Probe::new(self.engine, &known_blobs)?),
            Store::Classic | Store::Podman => None,
        };
        let left_out = match &probe {
            Some(probe) => match probe.present()? {
                Some(present) => {
                    let there = known_blobs.iter().zip(present);
                    let there = there.filter(|(_, present)| *present);
                    left_out(self.table, &there.map(|(blob, _)| blob.digest).collect())
                }
                None => {
                    self.observer.warning(&format!(
                        "{} does not tell which layers it has; all are sent",
                        self.engine.name()
                    ));
                    nothing.clone()
                }
            },
            None => {
                let names = &self.table.image().repo_tags;
                present(self.engine, &wanted_layers(self.table)?, known, names)?
            }
        };
        if left_out.contains(&true) {
            match self.send(&left_out) {
                Ok(()) if self.is_whole()? => return Ok(left_out),
                Ok(()) | Err(Error::Refused { .. }) => self.observer.again(),
                Err(error) => return Err(error),
            }
        }
        self.send(&nothing)?;
        if self.is_whole()? {
            return Ok(nothing);
        }
        Err(Error::NotWhole {
            engine: self.engine.name().to_owned(),
            id: self.id.to_string(),
        })
    }

    /// Sends the image, under its temporary name and without some of its layers.
    fn send(&mut self, left_out: &[bool]) -> Result<(), Error> {
        self.is_sent = true;
        match self.engine.store {
            Store::Classic => self.send_docker_archive(left_out)?,
            Store::Containerd | Store::Podman => {
                let archive = OciArchive {
                    table: self.table,
                    names: std::slice::from_ref(&self.name),
                    trees: self.trees,
                    options: self.options,
                    observer: self.observer,
                };
                let blobs = left_out
                    .iter()
                    .enumerate()
                    .filter(|(_, left_out)| **left_out);
                let blobs = blobs.filter_map(|(index, _)| self.table.blob(index));
                let there = blobs.map(|blob| blob.digest).collect();
                archive.send(&there, |archive| self.engine.load(archive))?;
            }
        }
        // A layer may have turned out to be another than was remembered.
        self.identify()
    }

    fn send_docker_archive(&self, left_out: &[bool]) -> Result<(), Error> {
        announce(self.observer, self.table, left_out);
        let options = docker_archive::Options {
            names: std::slice::from_ref(&self.name),
            jobs: self.options.jobs,
            verify: self.options.verify,
            left_out: left_out.iter().take_while(|left_out| **left_out).count(),
            spool: self.options.spool,
        };
        let mut progress = Progress(self.observer);
        let upload = |archive: Archive<'_>| self.engine.load(archive);
        send(upload, self.observer, |output| {
            docker_archive::write(self.table, self.trees, output, options, &mut progress)
        })?;
        Ok(())
    }

    /// Takes what the image is called, now that all its layers are known.
    fn identify(&mut self) -> Result<(), Error> {
        let documents = Documents::new(self.table, &BTreeMap::new())?;
        self.image_id = documents.image_id;
        self.id = match self.engine.store {
            Store::Classic | Store::Podman => documents.image_id,
            Store::Containerd => documents.descriptor.digest,
        };
        Ok(())
    }

    /// What has a name now.
    fn named(&self, name: &str) -> Result<Option<Inspected>, Error> {
        check_name(name)?;
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
        let has_layers = self.table.diff_ids().is_ok_and(|ids| ids == image.diff_ids);
        let manifests = image.manifests.as_ref();
        let is_available = manifests.is_none_or(|manifests| {
            let own = manifests.get(&self.id);
            own.is_some_and(|manifest| manifest.is_available)
        });
        has_layers && is_available
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

struct Progress<'a>(&'a dyn Observer);

impl docker_archive::Observer for Progress<'_> {
    fn layer(&mut self, index: usize, of: usize, layer: &Layer<'_>, size: u64) {
        self.0.layer(index, of, layer, Some(size));
    }
}

/// Learns what is not known of the layers and can be before they are sent. What is remembered is believed: if it
/// is wrong, the engine has no such layer, and what is sent is compared. Blobs that are compressed are made while
/// they are sent, since to make them is dear.
pub(crate) fn learn(
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    options: Options<'_>,
) -> Result<(), Error> {
    if table.compression() == Compression::None {
        hash_unknown_layers(table, trees, options.jobs, options.spool)?;
    }
    Ok(())
}

/// Which layers' blobs are among these; one that is not known is not.
pub(crate) fn left_out(table: &LayerTable<'_>, there: &BTreeSet<Digest>) -> Vec<bool> {
    let blobs = (0..table.len()).map(|index| table.blob(index));
    let left_out = blobs.map(|blob| blob.is_some_and(|blob| there.contains(&blob.digest)));
    left_out.collect()
}

/// Tells what is missing.
fn announce(observer: &dyn Observer, table: &LayerTable<'_>, left_out: &[bool]) {
    let sent = left_out.iter().enumerate().filter(|(_, out)| !**out);
    let sizes = sent.clone().map(|(index, _)| table.blob(index));
    let sizes = sizes.map(|blob| Some(blob?.size));
    observer.missing(sent.count(), left_out.len(), sizes.sum());
}

/// An image as an OCI archive that an engine is sent.
pub(crate) struct OciArchive<'a> {
    pub(crate) table: &'a LayerTable<'a>,
    pub(crate) names: &'a [String],
    pub(crate) trees: &'a dyn Trees,
    pub(crate) options: Options<'a>,
    pub(crate) observer: &'a dyn Observer,
}

impl OciArchive<'_> {
    /// Has `upload` send it without the blobs that are there.
    pub(crate) fn send(
        &self,
        there: &BTreeSet<Digest>,
        upload: impl FnOnce(Archive<'_>) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        announce(self.observer, self.table, &left_out(self.table, there));
        let options = OciOptions {
            names: self.names,
            index: false,
            annotations: &BTreeMap::new(),
            verify: self.options.verify,
            spool: self.options.spool,
            destination: &Destination {
                there,
                table: self.table,
                observer: self.observer,
            },
        };
        send(upload, self.observer, |output| {
            let writers = BlobWriters::new(self.table, self.trees, self.options.jobs);
            write_oci_archive(&writers, output, &options)
        })?;
        Ok(())
    }
}

/// What an archive is to leave out, and who is told what it holds.
struct Destination<'a> {
    there: &'a BTreeSet<Digest>,
    table: &'a LayerTable<'a>,
    observer: &'a dyn Observer,
}

impl write::Destination for Destination<'_> {
    fn has(&self, digest: &Digest) -> bool {
        self.there.contains(digest)
    }

    fn making(&self, index: usize, of: usize, layer: &Layer<'_>) {
        let size = self.table.blob(index).map(|blob| blob.size);
        self.observer.layer(index, of, layer, size);
    }
}
