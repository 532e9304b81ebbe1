//! Makes the blobs of an image's layers.
//!
//! A blob is written by a [`BlobWriter`], and that is given out with a permit only, so that no more
//! layers are compressed at once than memory allows. Whoever opens something that does not bear to
//! wait, such as a request, takes the writer first.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use nix_compat::tree::Trees;
use oci::Digest;
use sha256_lanes::Hasher;

use crate::base::{BaseContent, BaseImage, BaseLayer, BaseReader, DiffIdSink};
use crate::bytes::compression::Compression;
use crate::error::Error;
use crate::filling::readers;
use crate::layer_id::{BlobId, TarId};
use crate::layer_table::LayerTable;
use crate::recipe::Layer;
use crate::schedule::{Permit, Permits, Schedule};
use crate::sink::{HashingSink, Sink, WriteSink};

/// The maximum number of layers that are compressed at once, and of threads for each: 25 MB a
/// thread for zstd, so
/// that all together stay below 128 MB with any number of processors.
const MOST_COMPRESSED: usize = 2;
const THREADS_EACH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// The maximum number of layers that are only copied at once.
const MOST_COPIED: usize = 8;

/// Gives out writers of the blobs of an image's layers. Shared between threads.
pub struct BlobWriters<'a> {
    table: &'a LayerTable<'a>,
    trees: &'a dyn Trees,
    jobs: NonZeroUsize,
    at_once: usize,
    permits: Permits,
    schedule: Schedule,
    /// A reader of the base image that is not in use: reading on is cheaper than anew.
    base: Mutex<Option<BaseReader<'a>>>,
}

/// May write one layer's blob.
pub struct BlobWriter<'w, 'a> {
    writers: &'w BlobWriters<'a>,
    index: usize,
    _permit: Permit<'w>,
}

impl<'a> BlobWriters<'a> {
    /// Writers for the layers of `table`, which use at most `jobs` threads.
    pub fn new(table: &'a LayerTable<'a>, trees: &'a dyn Trees, jobs: NonZeroUsize) -> Self {
        let at_once = match table.compression() {
            Compression::None => readers(trees, jobs).get().min(MOST_COPIED),
            Compression::Gzip(_) | Compression::Zstd(_) => jobs.get().min(MOST_COMPRESSED),
        };
        Self {
            table,
            trees,
            jobs,
            at_once,
            permits: Permits::new(at_once),
            schedule: Schedule::default(),
            base: Mutex::new(None),
        }
    }

    /// The layers.
    pub fn table(&self) -> &'a LayerTable<'a> {
        self.table
    }

    /// Where store paths are read.
    pub(crate) fn trees(&self) -> &'a dyn Trees {
        self.trees
    }

    /// What those share who make layers.
    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Threads that hash ahead, where that is of use.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        self.jobs
    }

    /// How many writers there are at once.
    pub(crate) fn at_once(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.at_once).unwrap_or(NonZeroUsize::MIN)
    }

    /// Waits until this layer's blob may be written.
    ///
    /// # Errors
    ///
    /// The work was stopped.
    pub fn writer(&self, index: usize) -> Result<BlobWriter<'_, 'a>, Error> {
        Ok(BlobWriter {
            _permit: self.permits.take(&self.schedule)?,
            writers: self,
            index,
        })
    }

    /// Makes these layers' blobs for nobody, several at once: the table knows them then.
    ///
    /// # Errors
    ///
    /// A layer cannot be read, or is not what was given.
    pub fn make(&self, layers: &[usize]) -> Result<(), Error> {
        let work = |index| {
            self.writer(index)?.write(io::sink())?;
            Ok(())
        };
        self.schedule.run(self.at_once(), layers, work, || Ok(()))
    }

    /// Copies a layer of the base image; gives its length in bytes.
    fn copy_base(
        &self,
        base: &'a BaseImage,
        layer: &'a BaseLayer,
        sink: &mut impl Sink,
    ) -> Result<u64, Error> {
        let contents = base.contents_of(layer);
        let idle = self
            .base
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut reader = match idle {
            Some(reader) => reader,
            None => base.reader()?,
        };
        reader.copy(contents, sink)?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        Ok(contents.copied_size().unwrap_or_default())
    }
}

impl<'a> BlobWriter<'_, 'a> {
    /// Writes the blob; gives what it is, which the table knows from then on.
    ///
    /// # Errors
    ///
    /// The layer cannot be read, `out` cannot be written, or the blob is not the one that was
    /// given: what was written is of no use then.
    pub fn write(self, out: impl Write) -> Result<BlobId, Error> {
        let Self { writers, index, .. } = self;
        let table = writers.table;
        let mut out = Hashed::new(out);
        let layer = table.layer(index);
        if let Layer::Base(base, of_base) = layer
            && let Some(blob) = base.blob(of_base)
        {
            let sink = WriteSink::new(&mut out);
            let mut sink = writers.schedule.stoppable(sink);
            let contents = base.contents_of(of_base);
            if !matches!(contents.content, BaseContent::Member { .. }) {
                // Its reader compares it with its digest, which the base's manifest names.
                writers.copy_base(base, of_base, &mut sink)?;
                return Ok(blob);
            }
            // An archive says nothing but the diff ID.
            let mut checked = DiffIdSink::new(&mut sink, Some(blob))?;
            writers.copy_base(base, of_base, &mut checked)?;
            checked.finish(of_base)?;
            let (found, _) = out.finish();
            return if found == blob.digest {
                Ok(blob)
            } else {
                Err(table.wrong_digest(index, blob.digest, found))
            };
        }
        let compression = table.compression();
        let (tar, blob) = if compression == Compression::None {
            self.write_tar(layer, WriteSink::new(&mut out))?;
            let (digest, size) = out.finish();
            let tar = TarId { digest, size };
            (tar, BlobId::plain(tar))
        } else {
            let encoder = compression
                .encoder(&mut out, writers.jobs.min(THREADS_EACH))
                .map_err(Error::Output)?;
            let mut sink = WriteSink::new(encoder);
            let mut hashing = HashingSink::new(&mut sink);
            let size = self.write_tar(layer, &mut hashing)?;
            let digest = hashing.finish();
            sink.into_inner().finish().map_err(Error::Output)?;
            let tar = TarId { digest, size };
            let (digest, size) = out.finish();
            let media_type = compression.media_type();
            (
                tar,
                BlobId {
                    digest,
                    size,
                    media_type,
                },
            )
        };
        table.made_blob(index, tar, blob)?;
        Ok(blob)
    }

    /// Writes a blob that was announced to be `announced`: an archive names it before its bytes, a
    /// registry is asked for it.
    ///
    /// # Errors
    ///
    /// As with [`write`](Self::write); or it is another, because what was remembered of it is wrong.
    /// The table knows better then.
    pub fn write_announced(self, announced: BlobId, out: impl Write) -> Result<(), Error> {
        let (table, index) = (self.writers.table, self.index);
        let found = self.write(out)?;
        if found.digest == announced.digest {
            return Ok(());
        }
        let mut disproved = table.disproved().into_iter();
        let witness = disproved.find(|(layer, _)| *layer == index);
        Err(match witness {
            Some((_, witness)) => table.said_wrongly(index, witness, announced.digest),
            None => table.wrong_digest(index, announced.digest, found.digest),
        })
    }

    fn write_tar(&self, layer: Layer<'a>, sink: impl Sink) -> Result<u64, Error> {
        let writers = self.writers;
        let mut sink = writers.schedule.stoppable(sink);
        match layer {
            Layer::Base(base, layer) => writers.copy_base(base, layer, &mut sink),
            Layer::Own(own) => {
                let rules = &writers.table.image().rules;
                let mut seen = writers.table.seen(self.index);
                own.write_tar(writers.trees, rules, &mut sink, &mut seen)
            }
        }
    }
}

/// A writer that takes the digest and the length of what goes through it. Mostly that is a tar, of
/// which a digest is taken at the same time.
struct Hashed<W> {
    out: W,
    hasher: Hasher,
    length: u64,
}

impl<W> Hashed<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            hasher: Hasher::default(),
            length: 0,
        }
    }

    fn finish(self) -> (Digest, u64) {
        (Digest::from_sha256(self.hasher.finish()), self.length)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
