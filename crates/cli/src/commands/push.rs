//! `push`: sends the blobs that the registry lacks, then the manifest.
//!
//! What the layers' blobs are is known from the cache, or from the image that stands under the tag,
//! whose layers say which keys they were made for. Only layers that neither knows are read, and
//! they are compressed while they are sent. A layer without a key is read once more before that, to
//! name it by the digest of its tar: none is read more than twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use anyhow::{Context, Result};
use image::layer_cache::LayerCache;
use image::{BlobWriters, Documents, Layer, LayerTable, OwnLayer, Root, hash_unkeyed_layers};
use oci::{Digest, Platform, Reference, media_type};
use registry::{
    Access, Blob, Bytes, Client, Content, Document, Event, Observer, Push, PushOptions, Repository,
    StoredManifest,
};

use crate::args::{self, PushArgs};
use crate::jobs::{jobs, senders};
use crate::output::console::{self, say};
use crate::output::push_progress::{self, PushProgress};
use crate::resolve::image::ResolvedImage;
use crate::resolve::layer_table::layer_table;
use crate::resolve::registry_client;

/// Runs the command.
pub fn run(args: &PushArgs) -> Result<()> {
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(args.quiet);
    let client = registry_client::client(&settings.registry)?;
    let input = ResolvedImage::new(&settings)?;
    let mut annotations = input.annotations.clone();
    annotations.extend(args::annotations(&args.annotation)?);
    if !args.quiet {
        for warning in &input.warnings {
            say!("warning: {warning}");
        }
    }
    let (trees, jobs) = (input.store.trees(), jobs(args.jobs));
    let cache = args.cache.settings().open();
    let table = layer_table(&input, args.compression, &cache)?;
    hash_unkeyed_layers(&table, trees, jobs)?;
    table.recall(&cache);
    let run = PushRun {
        args,
        client: &client,
        table: &table,
        writers: &BlobWriters::new(&table, trees, jobs),
        cache: &Mutex::new(cache),
        annotations: &annotations,
    };
    let mut digest = None;
    let mut mount_from: Vec<Reference> = args.previous_image.clone();
    // Layers of the base image are taken over from where they are.
    let base = settings.base.as_ref();
    mount_from.extend(base.and_then(|base| base.source.reference()).cloned());
    for target in run.targets() {
        let pushed = run
            .push(&target, &mount_from)
            .map_err(|error| registry_client::tried(error, "cannot push", &target.references[0]))?;
        mount_from.extend(target.references);
        digest.get_or_insert(pushed);
    }
    let Some(digest) = digest else { return Ok(()) };
    if let Some(file) = &args.digest_file {
        fs::write(file, format!("{digest}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    console::print(format!("{}\n", args.reference.with_digest(digest)))
}

/// Names in one repository.
struct Target {
    references: Vec<Reference>,
}

struct PushRun<'a> {
    args: &'a PushArgs,
    client: &'a Client,
    table: &'a LayerTable<'a>,
    writers: &'a BlobWriters<'a>,
    cache: &'a Mutex<LayerCache>,
    annotations: &'a BTreeMap<String, String>,
}

impl PushRun<'_> {
    /// Where to push to, by repositories.
    fn targets(&self) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for reference in [&self.args.reference].into_iter().chain(&self.args.also) {
            let place =
                |other: &Reference| (other.registry().to_owned(), other.repository().to_owned());
            match targets
                .iter_mut()
                .find(|target| place(&target.references[0]) == place(reference))
            {
                Some(target) => target.references.push(reference.clone()),
                None => targets.push(Target {
                    references: vec![reference.clone()],
                }),
            }
        }
        targets
    }

    /// Pushes to one repository; `others` may have some of the blobs. Gives the digest of what now
    /// stands there.
    fn push(&self, target: &Target, others: &[Reference]) -> Result<Digest> {
        let first = &target.references[0];
        let repository = self.client.repository(first, Access::Push);
        let options = PushOptions {
            jobs: senders(
                self.args
                    .jobs
                    .map_or(PushOptions::default().jobs, usize::from),
            ),
            mount_from: self.sources(first, others),
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
            let mut push = Push::new(&repository, options, &progress);
            for manifest in self.existing(&repository, target)? {
                push.assume_present(&manifest);
                self.recall(&manifest);
            }
            self.recall_previous(target)?;
            self.make_root()?;
            let all: Vec<&dyn Blob> = layers.iter().map(|layer| layer as &dyn Blob).collect();
            let arrived = push.blobs(&all);
            // Also where it failed: of what was remembered wrongly, the table knows better now.
            self.keep();
            arrived?;
            let sent = push.summary();
            let documents = Documents::new(self.table, self.annotations)?;
            let config_blob = Bytes::new("the image's configuration", documents.config.clone());
            push.blobs(&[&config_blob])?;
            let digest = self.tag(&mut push, &repository, target, &documents)?;
            progress.progress.clear();
            if !self.args.quiet {
                push_progress::print_summary(&sent);
            }
            Ok(digest)
        })
    }

    /// Keeps what is known of layers. Without it, the next run takes longer.
    fn keep(&self) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.table.keep(&mut cache);
    }

    /// Repositories of the same registry that may have some of the blobs.
    fn sources(&self, target: &Reference, others: &[Reference]) -> Vec<String> {
        let mut sources: Vec<String> = others
            .iter()
            .filter(|other| other.registry() == target.registry())
            .map(|other| other.repository().to_owned())
            .filter(|other| other != target.repository())
            .collect();
        sources.dedup();
        sources
    }

    /// The images that the repository has under the names that are pushed to, or that were named.
    fn existing(
        &self,
        repository: &Repository<'_>,
        target: &Target,
    ) -> Result<Vec<StoredManifest>> {
        let in_repository = |other: &&Reference| {
            other.registry() == target.references[0].registry()
                && other.repository() == target.references[0].repository()
        };
        let tags = target
            .references
            .iter()
            .map(|reference| reference.tag_or_latest().to_owned());
        let previous = self.args.previous_image.iter().filter(in_repository);
        let mut names: Vec<String> = tags.chain(previous.map(Reference::identifier)).collect();
        names.dedup();
        let mut found = Vec::new();
        for name in names {
            found.extend(self.image(repository, &name)?);
        }
        Ok(found)
    }

    /// The image under a name: of several platforms, that of ours.
    fn image(&self, repository: &Repository<'_>, name: &str) -> Result<Option<StoredManifest>> {
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

    /// Learns from an image what our layers are.
    fn recall(&self, manifest: &StoredManifest) {
        if let Document::Image { layers, .. } = &manifest.document
            && !self.args.cache.no_cache
        {
            self.table.recall_from_layers(layers);
        }
    }

    /// Asks images of other repositories, where that is still of use.
    fn recall_previous(&self, target: &Target) -> Result<()> {
        for previous in &self.args.previous_image {
            let is_elsewhere = previous.registry() != target.references[0].registry()
                || previous.repository() != target.references[0].repository();
            if is_elsewhere && self.table.blobs().is_err() {
                let repository = self.client.repository(previous, Access::Pull);
                if let Some(manifest) = self.image(&repository, &previous.identifier())? {
                    self.recall(&manifest);
                }
            }
        }
        Ok(())
    }

    /// Makes the layer of the root's links, where nothing is remembered of it, so that the registry
    /// can be asked for it by its digest. It is made from memory; a layer that has to be read is sent
    /// straight away.
    fn make_root(&self) -> Result<()> {
        for index in 0..self.table.len() {
            if let Layer::Own(OwnLayer::Root(Root::Links(_))) = self.table.layer(index)
                && self.table.blob(index).is_none()
            {
                self.writers.writer(index)?.write(io::sink())?;
            }
        }
        Ok(())
    }

    /// Puts the manifest under all names.
    fn tag(
        &self,
        push: &mut Push<'_>,
        repository: &Repository<'_>,
        target: &Target,
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
            let tag = reference.tag_or_latest();
            if self.args.index {
                digest = repository.put_in_index(tag, descriptor)?;
            } else {
                push.manifest(tag, media_type::MANIFEST, manifest)?;
            }
        }
        Ok(digest)
    }
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
    cache: &'a Mutex<LayerCache>,
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
