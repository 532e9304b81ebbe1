//! An OCI layout as one tar: what `podman load`, `skopeo … oci-archive:` and newer Docker Engines
//! take.
//!
//! Blobs come in the order of the layers, then configuration and manifest, and `index.json` last:
//! only then are all digests known. Beside it stands the `manifest.json` that older engines look
//! for, so that `docker load` of any version takes the archive.
//!
//! A tar names a member's length before its contents. A layer that is not compressed is hashed
//! ahead, as for a docker-archive, and one whose compressed digest is remembered is compressed
//! into the archive directly. Only a layer that is compressed for the first time is spooled, one
//! at a time: in memory, if it is small, else in a file without a name.

use std::collections::BTreeSet;
use std::io::{self, Seek as _, SeekFrom, Write};

use oci::layout::{INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, blob_path};
use oci::{Descriptor, Digest, Index};
use tempfile::spooled_tempfile_in;

use super::destination::{OciOptions, OciSummary};
use crate::blob_writer::BlobWriters;
use crate::bytes::compression::Compression;
use crate::bytes::image_config::manifest_text_of;
use crate::bytes::tar::ArchiveWriter;
use crate::documents::Documents;
use crate::error::Error;
use crate::layer_hashing::Hashing;
use crate::layer_id::{BlobId, TarId};
use crate::layer_table::Fact;
use crate::recipe::Layer;
use crate::sink::{CopyError, Sink, Stop};
use crate::spool;

/// Bytes of a compressed layer that are kept in memory until its digest is known.
const SPOOL: usize = 4 << 20;

/// Writes the image to `output`. Layers are hashed ahead by `jobs` threads.
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
    // What is dear to read is not read twice, but spooled.
    let may_hash_ahead =
        table.compression() == Compression::None && writers.trees().rereads_cheaply();
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
    let all = (0..table.len()).filter(|index| may_hash_ahead && is_own(index));
    let wanted = all.filter(is_doubtful).collect();
    let mut hashing = Hashing::new(table, writers.trees(), writers.schedule(), wanted);
    if options.verify {
        hashing = hashing.without_belief();
    }
    hashing.run(writers.jobs(), None, |hashing| {
        let archive = Archive {
            writers,
            options,
            tar: ArchiveWriter::new(output, table.image().rules.mtime),
            written: BTreeSet::new(),
            present: 0,
        };
        archive.write(hashing)
    })
}

struct Archive<'a, 'i, 'o, S> {
    writers: &'a BlobWriters<'i>,
    options: &'a OciOptions<'a>,
    tar: ArchiveWriter<'o, S>,
    /// Blobs that are in the archive: none is there twice.
    written: BTreeSet<Digest>,
    present: usize,
}

impl<S: Sink> Archive<'_, '_, '_, S> {
    fn write(mut self, hashing: &Hashing<'_>) -> Result<OciSummary, Error> {
        let table = self.writers.table();
        self.file(LAYOUT_FILE, LAYOUT_TEXT.as_bytes())?;
        let mut members = Vec::with_capacity(table.len());
        for index in 0..table.len() {
            hashing.wait(index)?;
            members.push(blob_path(&self.layer(index)?.digest));
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

    fn layer(&mut self, index: usize) -> Result<BlobId, Error> {
        let (table, destination) = (self.writers.table(), self.options.destination);
        let known = table.blob(index);
        if let Some(blob) = known
            && !self.is_wanted(&blob.digest)
        {
            destination.done(index, &blob, false);
            return Ok(blob);
        }
        destination.making(index, table.len(), &table.layer(index));
        // An archive names a blob before its bytes: one that is to be verified is made first.
        let believes = !self.options.verify || table.tar(index).certain().is_some();
        let blob = match known.filter(|_| believes) {
            Some(blob) => {
                self.begin(&blob)?;
                self.contents(index, blob)?;
                blob
            }
            None => {
                let spool_error = |source| Error::Spool {
                    directory: spool::directory(),
                    source,
                };
                let mut spool = spooled_tempfile_in(SPOOL, spool::directory());
                let writer = self.writers.writer(index)?;
                let blob = writer.write(&mut spool).map_err(|error| match error {
                    Error::Output(source) => spool_error(source),
                    error => error,
                })?;
                if !self.is_wanted(&blob.digest) {
                    destination.done(index, &blob, false);
                    return Ok(blob);
                }
                self.begin(&blob)?;
                spool.seek(SeekFrom::Start(0)).map_err(spool_error)?;
                match self.tar.sink().copy_stream(&mut spool, blob.size) {
                    Ok(_) => {}
                    Err(CopyError::Read(source)) => return Err(spool_error(source)),
                    Err(CopyError::Write(stop)) => return Err(stop.into()),
                }
                blob
            }
        };
        self.tar.end(blob.size)?;
        destination.done(index, &blob, true);
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

    fn begin(&mut self, blob: &BlobId) -> Result<(), Error> {
        self.written.insert(blob.digest);
        Ok(self.tar.begin(&blob_path(&blob.digest), blob.size)?)
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
