//! Pushes one image: sends the blobs that the registry lacks, then the manifest.
//!
//! What the layers' blobs are is known from the cache, or from the image that stands under the tag,
//! whose layers say which keys they were made for ([`super::claims`]). Only layers that neither knows are
//! read, and they are compressed while they are sent. A layer without a key is read once more before that, to
//! name it by the digest of its tar: none is read more than twice.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use anyhow::{Context, Result, bail};
use image::layer_cache::LayerCache;
use image::{BlobWriters, Documents, Layer, LayerTable, OwnLayer, Root, hash_unkeyed_layers};
use nix_compat::tree::Trees;
use oci::{Digest, Platform, Reference, media_type};
use registry::{
    Access, Blob, Bytes, Client, Content, Document, Event, Observer, Push, PushOptions, Repository,
    StoredManifest,
};

use crate::args::{self, PushArgs};
use crate::jobs::{jobs, senders};
use crate::output::console::say;
use crate::output::learned;
use crate::output::push_progress::{self, PushProgress};
use crate::resolve::image::ResolvedImage;
use crate::resolve::layer_table::layer_table;
use crate::resolve::registry_client;
use crate::resolve::source::ImageSource;

/// Where an image is pushed to.
pub(super) struct Names<'a> {
    /// One or more.
    pub references: Vec<Reference>,
    /// Where images that share layers with it were pushed to before.
    pub siblings: &'a [Reference],
}

impl Names<'_> {
    pub fn first(&self) -> &Reference {
        &self.references[0]
    }
}

/// Pushes an image, and keeps in the cache what is known of its layers then.
pub(super) fn push_image(
    args: &PushArgs,
    client: &Client,
    input: &ResolvedImage,
    names: &Names<'_>,
    cache: &mut LayerCache,
) -> Result<Digest> {
    let mut annotations = input.annotations.clone();
    annotations.extend(args::annotations(&args.annotation)?);
    if !args.quiet {
        for warning in &input.warnings {
            say!("warning: {warning}");
        }
    }
    let (trees, jobs) = (input.store.trees(), jobs(args.jobs));
    let table = layer_table(input, args.compression, cache)?;
    hash_unkeyed_layers(&table, trees, jobs)?;
    table.recall(cache);
    let cache = Mutex::new(cache);
    let run = PushRun {
        args,
        names,
        client,
        table: &table,
        writers: &BlobWriters::new(&table, trees, jobs),
        cache: &cache,
        annotations: &annotations,
    };
    // Layers of the base image are taken over from where they are.
    let base = args.image.settings.from_image.as_ref();
    let digest = run.push_all(base.and_then(ImageSource::reference), trees);
    // Also where it failed: of what was remembered wrongly, the table knows better now.
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    learned::keep(&table, &mut cache, args.quiet);
    digest
}

/// Names in one repository.
pub(super) struct Target<'a> {
    references: Vec<&'a Reference>,
    repository: Repository<'a>,
    /// The images that the repository has under these names, and under those that were named for it.
    pub standing: Vec<StoredManifest>,
}

impl Target<'_> {
    pub fn first(&self) -> &Reference {
        self.references[0]
    }

    pub fn is_repository_of(&self, reference: &Reference) -> bool {
        is_same_repository(self.first(), reference)
    }
}

fn is_same_repository(one: &Reference, other: &Reference) -> bool {
    one.registry() == other.registry() && one.repository() == other.repository()
}

/// What a reference is pushed to: its tag; without one, its digest; else `latest`.
fn identifier(reference: &Reference) -> String {
    match reference.tag() {
        Some(tag) => tag.to_owned(),
        None => reference.identifier(),
    }
}

pub(super) struct PushRun<'a> {
    pub args: &'a PushArgs,
    names: &'a Names<'a>,
    pub client: &'a Client,
    pub table: &'a LayerTable<'a>,
    pub writers: &'a BlobWriters<'a>,
    cache: &'a Mutex<&'a mut LayerCache>,
    annotations: &'a BTreeMap<String, String>,
}

impl PushRun<'_> {
    /// Pushes to all names; gives the digest of what now stands under the first.
    fn push_all(&self, base: Option<&Reference>, trees: &dyn Trees) -> Result<Digest> {
        let targets = self.targets()?;
        self.learn(&targets, trees)?;
        if !self.args.quiet {
            self.tell_claims(&targets);
        }
        let siblings = self.names.siblings.iter();
        let mut mount_from: Vec<&Reference> =
            self.args.previous_image.iter().chain(siblings).collect();
        mount_from.extend(base);
        let mut digests = Vec::new();
        for target in &targets {
            let pushed = self.push(target, &mount_from);
            digests.push(
                pushed.map_err(|error| {
                    registry_client::tried(error, "cannot push", target.first())
                })?,
            );
            mount_from.extend(&target.references);
        }
        if let [first, others @ ..] = &digests[..]
            && let Some(at) = others.iter().position(|other| other != first)
            && !self.args.index
        {
            let (old, new) = (targets[0].first(), targets[at + 1].first());
            bail!(
                "{old} has another image than {new}: annotations at both are wrong; \
                 push once more, with --no-cache"
            );
        }
        digests
            .first()
            .copied()
            .context("there is no name to push to")
    }

    /// Where to push to, by repositories, and what is there.
    fn targets(&self) -> Result<Vec<Target<'_>>> {
        let mut references: Vec<Vec<&Reference>> = Vec::new();
        for reference in &self.names.references {
            match references
                .iter_mut()
                .find(|target| is_same_repository(target[0], reference))
            {
                Some(target) => target.push(reference),
                None => references.push(vec![reference]),
            }
        }
        let mut targets = Vec::new();
        for references in references {
            let first = references[0];
            let repository = self.client.repository(first, Access::Push);
            let standing = self.standing(&repository, &references);
            targets.push(Target {
                standing: standing
                    .map_err(|error| registry_client::tried(error, "cannot push", first))?,
                references,
                repository,
            });
        }
        Ok(targets)
    }

    /// Tells which layers are taken on the word of an image alone.
    fn tell_claims(&self, targets: &[Target<'_>]) {
        let all = 0..self.table.len();
        let claimed = all.filter(|index| self.table.is_claimed(*index)).count();
        if let Some(target) = targets.first().filter(|_| claimed > 0) {
            let (registry, name) = (target.repository.registry(), target.repository.name());
            say!(
                "{claimed} of {} layers are as annotations at {registry}/{name} say, and are not read",
                self.table.len()
            );
        }
    }

    /// Pushes to one repository; `others` may have some of the blobs. Gives the digest of what now
    /// stands there.
    fn push(&self, target: &Target<'_>, others: &[&Reference]) -> Result<Digest> {
        let options = PushOptions {
            jobs: senders(
                self.args
                    .jobs
                    .map_or(PushOptions::default().jobs, usize::from),
            ),
            mount_from: sources(target.first(), others),
        };
        let progress = Watcher {
            progress: PushProgress::new(self.args.quiet, self.table.len() + 1),
            cache: self.cache,
            table: self.table,
        };
        thread::scope(|scope| {
            let layers: Vec<PushLayer<'_, '_>> = (0..self.table.len())
                .map(|index| PushLayer {
                    writers: self.writers,
                    index,
                    scope,
                })
                .collect();
            let mut push = Push::new(&target.repository, options, &progress);
            for manifest in &target.standing {
                push.assume_present(manifest);
            }
            self.make_root()?;
            let all: Vec<&dyn Blob> = layers.iter().map(|layer| layer as &dyn Blob).collect();
            push.blobs(&all)?;
            let sent = push.summary();
            let documents = Documents::new(self.table, self.annotations)?;
            self.compare(&documents)?;
            let config_blob = Bytes::new("the image's configuration", documents.config.clone());
            push.blobs(&[&config_blob])?;
            let digest = self.tag(&mut push, target, &documents)?;
            progress.progress.clear();
            if !self.args.quiet {
                push_progress::print_summary(&sent);
            }
            Ok(digest)
        })
    }

    /// Compares the image with the digests of the names that it gets.
    fn compare(&self, documents: &Documents) -> Result<()> {
        let found = documents.descriptor.digest;
        for name in &self.names.references {
            if let Some(expected) = name.digest()
                && expected != found
            {
                bail!(
                    "the image has the digest {found}, and {expected} was asked for by {name}: \
                     nothing is tagged; leave the digest out, or push the image that has it"
                );
            }
        }
        Ok(())
    }

    /// The images that the repository has under the names that are pushed to, or that were named.
    fn standing(
        &self,
        repository: &Repository<'_>,
        references: &[&Reference],
    ) -> Result<Vec<StoredManifest>> {
        let names = references.iter().map(|reference| identifier(reference));
        let previous = self.args.previous_image.iter();
        let previous = previous.filter(|previous| is_same_repository(references[0], previous));
        let mut names: Vec<String> = names.chain(previous.map(Reference::identifier)).collect();
        names.dedup();
        let mut found = Vec::new();
        for name in names {
            found.extend(self.image(repository, &name)?);
        }
        Ok(found)
    }

    /// The image under a name: of several platforms, that of ours.
    pub fn image(&self, repository: &Repository<'_>, name: &str) -> Result<Option<StoredManifest>> {
        let manifest = match repository.manifest(name) {
            // What cannot be understood is replaced.
            Err(registry::Error::Answer { .. }) => None,
            other => other?,
        };
        let Some(index) = &manifest else {
            return Ok(None);
        };
        if matches!(index.document, Document::Image { .. }) {
            return Ok(manifest);
        }
        match index.for_platform(&self.platform()) {
            Some(ours) => Ok(repository.manifest(&ours.digest.to_string())?),
            None => Ok(None),
        }
    }

    fn platform(&self) -> Platform {
        self.table.image().platform.clone()
    }

    /// Makes the layer of the root's links, where nothing is remembered of it, so that the registry
    /// can be asked for it by its digest. It is made from memory; a layer that has to be read is sent
    /// straight away.
    fn make_root(&self) -> Result<()> {
        let is_unknown_root = |index: &usize| {
            let layer = self.table.layer(*index);
            matches!(layer, Layer::Own(OwnLayer::Root(Root::Links(_))))
                && self.table.blob(*index).is_none()
        };
        let roots: Vec<usize> = (0..self.table.len()).filter(is_unknown_root).collect();
        Ok(self.writers.make(&roots)?)
    }

    /// Puts the manifest under all names.
    fn tag(
        &self,
        push: &mut Push<'_>,
        target: &Target<'_>,
        documents: &Documents,
    ) -> Result<Digest> {
        let Documents {
            manifest,
            descriptor,
            ..
        } = documents;
        if self.args.index {
            push.manifest(
                &descriptor.digest.to_string(),
                media_type::MANIFEST,
                manifest,
            )?;
        }
        let mut digest = descriptor.digest;
        for reference in &target.references {
            let identifier = identifier(reference);
            if self.args.index {
                digest = target.repository.put_in_index(&identifier, descriptor)?;
            } else {
                push.manifest(&identifier, media_type::MANIFEST, manifest)?;
            }
        }
        Ok(digest)
    }
}

/// Repositories of the target's registry that may have some of the blobs.
fn sources(target: &Reference, others: &[&Reference]) -> Vec<String> {
    let mut sources: Vec<String> = others
        .iter()
        .filter(|other| other.registry() == target.registry())
        .map(|other| other.repository().to_owned())
        .filter(|other| other != target.repository())
        .collect();
    sources.dedup();
    sources
}

/// A layer, on its way.
struct PushLayer<'scope, 'env> {
    writers: &'env BlobWriters<'env>,
    index: usize,
    scope: &'scope Scope<'scope, 'env>,
}

impl Blob for PushLayer<'_, '_> {
    fn name(&self) -> String {
        let table = self.writers.table();
        let (number, of) = (self.index + 1, table.len());
        let layer = table.layer(self.index).describe();
        format!("layer {number} of {of}: {layer}")
    }

    fn content(&self) -> Content {
        match self.writers.table().blob(self.index) {
            Some(blob) => Content::Known {
                digest: blob.digest,
                size: blob.size,
            },
            None => Content::Unknown,
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let stream = self.writers.stream(self.index, self.scope);
        Ok(Box::new(stream.map_err(io::Error::other)?))
    }
}

/// Remembers each layer as soon as it has arrived, so that a run that is killed has not been in
/// vain.
struct Watcher<'a> {
    progress: PushProgress,
    cache: &'a Mutex<&'a mut LayerCache>,
    table: &'a LayerTable<'a>,
}

impl Observer for Watcher<'_> {
    fn event(&self, name: &str, event: &Event<'_>) {
        // What is told to have arrived is remembered, whatever happens next.
        if let Event::Arrived(_) = event {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            // Without it, the next run takes longer.
            let _ = self.table.keep(&mut cache);
        }
        self.progress.event(name, event);
    }
}
