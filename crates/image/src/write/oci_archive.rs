//! An OCI layout as one tar: what `podman load`, `skopeo … oci-archive:` and newer Docker Engines
//! take.
//!
//! Blobs come in the order of the layers, then configuration and manifest, and `index.json` last:
//! only then are all digests known. Beside it stands the `manifest.json` that older engines look
//! for, so that `docker load` of any version takes the archive.
//!
//! A tar names a member's length before its contents. A layer that is not compressed is hashed
//! ahead, as for a docker-archive, and one whose compressed digest is remembered is compressed
//! into the archive directly. A layer that is compressed for the first time, or dear to read, is
//! [made ahead](Making) and kept on disk.

use std::collections::BTreeSet;
use std::io::{self, Write};

use oci::layout::{INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, blob_path};
use oci::{Descriptor, Digest, Index};

use super::destination::{OciOptions, OciSummary};
use super::making::Making;
use crate::blob_writer::BlobWriters;
use crate::bytes::compression::Compression;
use crate::bytes::image_config::manifest_text_of;
use crate::bytes::tar::ArchiveWriter;
use crate::documents::Documents;
use crate::error::Error;
use crate::filling::Filling;
use crate::layer_hashing::Hashing;
use crate::layer_id::{BlobId, TarId};
use crate::layer_table::Fact;
use crate::recipe::{Layer, OwnLayer};
use crate::sink::{Sink, Stop};

/// Writes the image to `output`. Layers are hashed or made ahead by several threads.
///
/// # Errors
///
/// A layer cannot be read, has changed meanwhile, or `output` cannot be written. What was written
/// until then is not an image: `index.json` comes last.
pub fn write_oci_archive(
    writers: &BlobWriters<'_>,
    output: &mut impl Sink,
    options: &OciOptions<'_>,
) -> Result<OciSummary, Error> {
    let table = writers.table();
    let filling = Filling::ahead(options.spool, writers.at_once(), writers.schedule());
    let archive = Archive {
        writers,
        options,
        filling: &filling,
        tar: ArchiveWriter::new(output, table.image().rules.mtime),
        written: BTreeSet::new(),
        present: 0,
    };
    if table.compression() == Compression::None && writers.trees().rereads_cheaply() {
        hash_ahead(archive)
    } else {
        make_ahead(archive)
    }
}

/// Writes an archive whose layers are hashed before they are written.
fn hash_ahead(archive: Archive<'_, '_, '_, impl Sink>) -> Result<OciSummary, Error> {
    let (writers, options) = (archive.writers, archive.options);
    let table = writers.table();
    let is_there = |index| {
        let blob = table.blob(index);
        blob.is_some_and(|blob| options.destination.has(&blob.digest))
    };
    let is_doubtful = |index: &usize| match table.tar(*index) {
        Fact::Unknown => true,
        Fact::Claimed(_) | Fact::Remembered(_) => !is_there(*index),
        Fact::Given(_) | Fact::Made(_) => false,
    };
    let is_own = |index: &usize| matches!(table.layer(*index), Layer::Own(_));
    let wanted = (0..table.len()).filter(is_own).filter(is_doubtful);
    let schedule = writers.schedule();
    let mut hashing = Hashing::new(table, writers.trees(), schedule, wanted.collect());
    if options.verify {
        hashing = hashing.without_belief();
    }
    hashing.run(writers.jobs(), None, |hashing| {
        archive.write(|index| hashing.wait(index))
    })
}

/// Writes an archive whose layers are kept on disk before they are written.
fn make_ahead(archive: Archive<'_, '_, '_, impl Sink>) -> Result<OciSummary, Error> {
    let (writers, options, spool) = (archive.writers, archive.options, archive.options.spool);
    let table = writers.table();
    let is_cheap = writers.trees().rereads_cheaply();
    let is_made = |index: &usize| {
        let Some(blob) = table.blob(*index) else {
            return true;
        };
        // An archive names a blob before its bytes: one that is to be verified is made first.
        let is_doubted = options.verify && table.tar(*index).certain().is_none();
        let is_of_paths = matches!(table.layer(*index), Layer::Own(OwnLayer::Store(_)));
        let is_dear = is_of_paths && !is_cheap && !spool.is_off();
        (is_doubted || is_dear)
            && !options.destination.has(&blob.digest)
            && !spool.has(*index, &blob.digest)
    };
    let wanted = (0..table.len()).filter(is_made).collect();
    let making = Making::new(writers, wanted, !options.verify);
    making.run(archive.filling, || {
        archive.write(|index| making.wait(index))
    })
}

struct Archive<'a, 'i, 'o, S> {
    writers: &'a BlobWriters<'i>,
    options: &'a OciOptions<'a>,
    /// Where layers come from that were made ahead.
    filling: &'a Filling<'a>,
    tar: ArchiveWriter<'o, S>,
    /// Blobs that are in the archive: none is there twice.
    written: BTreeSet<Digest>,
    present: usize,
}

impl<S: Sink> Archive<'_, '_, '_, S> {
    /// Writes all of it. `wait` waits until a layer is known that becomes so meanwhile.
    fn write(mut self, wait: impl Fn(usize) -> Result<(), Stop>) -> Result<OciSummary, Error> {
        let table = self.writers.table();
        self.file(LAYOUT_FILE, LAYOUT_TEXT.as_bytes())?;
        let mut members = Vec::with_capacity(table.len());
        for index in 0..table.len() {
            self.filling.advance_to(index);
            members.push(blob_path(&self.layer(index, &wait)?.digest));
        }
        let documents = Documents::new(table, self.options.annotations)?;
        self.blob(&documents.image_id, &documents.config)?;
        self.blob(&documents.descriptor.digest, &documents.manifest)?;
        let names = self.options.names;
        let mut manifests: Vec<Descriptor> =
            names.iter().map(|name| documents.named(name)).collect();
        if manifests.is_empty() {
            manifests.push(documents.descriptor.clone());
        }
        let config = blob_path(&documents.image_id);
        let docker = manifest_text_of(names, &config, &members)?;
        self.file("manifest.json", &docker)?;
        self.file(INDEX_FILE, &Index::new(manifests).to_json()?)?;
        Ok(OciSummary {
            documents,
            present: self.present,
            written: self.tar.finish()?,
        })
    }

    fn layer(
        &mut self,
        index: usize,
        wait: impl Fn(usize) -> Result<(), Stop>,
    ) -> Result<BlobId, Error> {
        let (table, destination) = (self.writers.table(), self.options.destination);
        let is_there =
            |blob: BlobId| self.written.contains(&blob.digest) || destination.has(&blob.digest);
        if !table.blob(index).is_some_and(is_there) {
            destination.making(index, table.len(), &table.layer(index));
        }
        wait(index)?;
        let blob = table.blob(index).ok_or_else(|| table.not_made(index))?;
        let is_written = self.is_wanted(&blob.digest);
        if is_written {
            self.written.insert(blob.digest);
            self.tar.begin(&blob_path(&blob.digest), blob.size)?;
            match self.filling.take(index, &blob.digest) {
                Some(layer) => {
                    layer.write(self.tar.sink())?;
                }
                None => self.contents(index, blob)?,
            }
            self.tar.end(blob.size)?;
        }
        destination.done(index, &blob, is_written);
        Ok(blob)
    }

    /// Writes a blob that is known.
    fn contents(&mut self, index: usize, blob: BlobId) -> Result<(), Error> {
        let table = self.writers.table();
        // What was hashed ahead need not be hashed again, and is sent without being copied.
        let tar = table.tar(index).value().filter(|tar| {
            table.compression() == Compression::None
                && !self.options.verify
                && tar.digest == blob.digest
        });
        if let Some(expected) = tar
            && let Layer::Own(layer) = table.layer(index)
        {
            let rules = &table.image().rules;
            let mut seen = table.seen(index);
            let trees = self.writers.trees();
            let size = layer.write_tar(trees, rules, self.tar.sink(), &mut seen)?;
            let found = TarId { size, ..expected };
            if found != expected {
                return Err(table.not_as_expected(index, expected, found));
            }
            return Ok(());
        }
        let writer = self.writers.writer(index)?;
        writer.write_announced(blob, SinkWriter(self.tar.sink()))
    }

    /// Whether a blob is neither in the archive nor at its destination.
    fn is_wanted(&mut self, digest: &Digest) -> bool {
        if self.written.contains(digest) {
            return false;
        }
        let has = self.options.destination.has(digest);
        self.present += usize::from(has);
        !has
    }

    fn blob(&mut self, digest: &Digest, contents: &[u8]) -> Result<(), Error> {
        self.file(&blob_path(digest), contents)
    }

    fn file(&mut self, name: &str, contents: &[u8]) -> Result<(), Error> {
        Ok(self.tar.file(name, contents)?)
    }
}

/// A sink as a writer.
struct SinkWriter<'a, S>(&'a mut S);

impl<S: Sink> Write for SinkWriter<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(Stop::Output(error)) => Err(error),
            // An archive itself is never cancelled, only what goes into it.
            Err(Stop::Cancelled) => Err(io::Error::other("stopped")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
