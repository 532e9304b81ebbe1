//! The docker-archive: what `docker load` takes, in the form in which nixpkgs writes it.
//!
//! Base layers, store layers, the root's layer, the configuration and the manifest follow one
//! another as members of one tar. A layer's digest, which its member is named by, is taken by reading
//! the layer once before it is written; where that is dear, the layer is kept on disk meanwhile.

use std::num::NonZeroUsize;

use nix_compat::tree::Trees;
use oci::Digest;

use crate::base::{BaseImage, BaseLayer, BaseReader, DiffIdSink};
use crate::bytes::image_config::{config_text, manifest_text};
use crate::bytes::tar::{ArchiveWriter, Kind, Member, Owner, PaxRecords};
use crate::error::Error;
use crate::filling::{Filling, readers};
use crate::layer_hashing::Hashing;
use crate::layer_id::TarId;
use crate::layer_table::{Fact, LayerTable};
use crate::recipe::{Layer, OwnLayer, Root};
use crate::schedule::Schedule;
use crate::sink::{HashingSink, Sink};
use crate::spool::Spool;

/// What was written.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Digest of the configuration: the image's id.
    pub image_id: Digest,
    /// Length of the archive in bytes.
    pub size: u64,
}

/// Is told how far the writing is.
pub trait Observer {
    /// A layer is about to be written, as so many bytes.
    fn layer(&mut self, index: usize, of: usize, layer: &Layer<'_>, size: u64);
}

/// How an archive is written.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The names that the image gets, `REPOSITORY:TAG`.
    pub names: &'a [String],
    /// Threads that take digests.
    pub jobs: NonZeroUsize,
    /// Whether layers are hashed once more while they are written, so that one that is not what
    /// its digest says is an error.
    pub verify: bool,
    /// As many layers, from the bottom, are named and not written: who reads the archive has them.
    pub left_out: usize,
    /// Where layers are kept that are dear to read, from when they are hashed until they are written.
    pub spool: &'a Spool,
}

/// Writes the image of `table`, whose layers' tars are all known to the table afterwards.
///
/// # Errors
///
/// A store path or the base image cannot be read, has changed meanwhile, or `output` cannot be
/// written. What was written until then is not an image: the manifest comes last.
pub fn write(
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    output: &mut impl Sink,
    options: Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let jobs = readers(trees, options.jobs);
    let is_cheap = trees.rereads_cheaply();
    let schedule = Schedule::default();
    let spools = !is_cheap && !options.spool.is_off();
    let filling = spools.then(|| Filling::ahead(options.spool, jobs, &schedule));
    let filling = filling.as_ref();
    // What is dear to read is read ahead, by several threads, also where its digest is known.
    let is_read_ahead = |index: usize| {
        let is_of_paths = matches!(table.layer(index), Layer::Own(OwnLayer::Store(_)));
        let tar = table.tar(index).value();
        let is_there = tar.is_some_and(|tar| options.spool.has(index, &tar.digest));
        spools && is_of_paths && index >= options.left_out && !is_there
    };
    let is_hashed = |index: usize| match table.tar(index) {
        Fact::Unknown => matches!(table.layer(index), Layer::Own(_)),
        Fact::Claimed(_) | Fact::Remembered(_) => {
            options.verify || is_cheap && index >= options.left_out
        }
        Fact::Given(_) | Fact::Made(_) => false,
    };
    let wanted = (0..table.len()).filter(|&index| is_hashed(index) || is_read_ahead(index));
    let mut hashing = Hashing::new(table, trees, &schedule, wanted.collect());
    if options.verify {
        // A layer is named before it is written: what is wrong must be known by then.
        hashing = hashing.without_belief();
    }
    hashing.run(jobs, filling, |hashing| {
        let archive = Archive {
            table,
            trees,
            filling,
            tar: ArchiveWriter::new(output, table.image().rules.mtime),
            options,
        };
        archive.write(hashing, observer)
    })
}

struct Archive<'a, 't, 'o, S> {
    table: &'a LayerTable<'t>,
    trees: &'a dyn Trees,
    /// Where the layers come from whose trees are dear to read.
    filling: Option<&'a Filling<'a>>,
    tar: ArchiveWriter<'o, S>,
    options: Options<'a>,
}

impl<S: Sink> Archive<'_, '_, '_, S> {
    fn write(
        mut self,
        hashing: &Hashing<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Summary, Error> {
        let table = self.table;
        let mut names = Vec::with_capacity(table.len());
        let base = table.image().base.as_ref();
        let mut base_reader = base.map(BaseImage::reader).transpose()?;
        for index in 0..table.len() {
            if let Some(filling) = self.filling {
                filling.advance_to(index);
            }
            hashing.wait(index)?;
            let layer = table.layer(index);
            let is_written = index >= self.options.left_out;
            match layer {
                Layer::Base(base, base_layer) => {
                    names.push(base_layer.name.clone());
                    if is_written {
                        let size = base_layer.copied_size().unwrap_or_default();
                        observer.layer(index, table.len(), &layer, size);
                        self.base_layer(base, base_layer, base_reader.as_mut())?;
                    }
                }
                Layer::Own(own) => {
                    let tar = table.tar(index).value();
                    let tar = tar.ok_or_else(|| table.not_made(index))?;
                    let name = format!("{}/layer.tar", tar.digest.hex());
                    if is_written {
                        observer.layer(index, table.len(), &layer, tar.size);
                        self.own_layer(index, &name, own, tar)?;
                    }
                    names.push(name);
                }
            }
        }
        let config = config_text(table.image(), &table.diff_ids()?)?;
        let image_id = Digest::of(&config);
        self.tar
            .file(&format!("{}.json", image_id.hex()), &config)?;
        let manifest = manifest_text(self.options.names, &image_id, &names)?;
        self.tar.file("manifest.json", &manifest)?;
        Ok(Summary {
            image_id,
            size: self.tar.finish()?,
        })
    }

    /// Copies a layer of the base image, or the link that stands for one.
    fn base_layer(
        &mut self,
        base: &BaseImage,
        layer: &BaseLayer,
        reader: Option<&mut BaseReader<'_>>,
    ) -> Result<(), Error> {
        self.tar.begin_member(&layer.member())?;
        if let (Some(size), Some(reader)) = (layer.copied_size(), reader) {
            if self.options.verify {
                let mut sink = DiffIdSink::new(self.tar.sink(), base.blob(layer))?;
                reader.copy(layer, &mut sink)?;
                sink.finish(layer)?;
            } else {
                reader.copy(layer, self.tar.sink())?;
            }
            self.tar.end(size)?;
        }
        Ok(())
    }

    fn own_layer(
        &mut self,
        index: usize,
        name: &str,
        layer: OwnLayer<'_>,
        tar: TarId,
    ) -> Result<(), Error> {
        // The root's tar is a file of the store: its header says so on every machine, where
        // nixpkgs says what the machine's file system does.
        let (owner, mode) = match layer {
            OwnLayer::Root(Root::Tar { .. }) => (Owner::root(), 0o444),
            OwnLayer::Store(_) | OwnLayer::Root(Root::Links(_)) => (Owner::without_names(), 0o644),
        };
        let rules = &self.table.image().rules;
        self.tar.begin_member(&Member {
            name: name.as_bytes(),
            kind: Kind::File(tar.size),
            mode,
            mtime: rules.mtime,
            owner: &owner,
            pax: PaxRecords::new(),
        })?;
        let filling = self.filling;
        let spooled = filling.and_then(|filling| filling.take(index, &tar.digest));
        let trees = self.trees;
        let mut seen = self.table.seen(index);
        let found = if self.options.verify {
            let mut sink = HashingSink::new(self.tar.sink());
            let size = match &spooled {
                Some(layer) => layer.write(&mut sink)?,
                None => layer.write_tar(trees, rules, &mut sink, &mut seen)?,
            };
            let digest = sink.finish();
            TarId { digest, size }
        } else {
            let size = match &spooled {
                Some(layer) => layer.write(self.tar.sink())?,
                None => layer.write_tar(trees, rules, self.tar.sink(), &mut seen)?,
            };
            TarId { size, ..tar }
        };
        if found != tar {
            return Err(self.table.not_as_expected(index, tar, found));
        }
        Ok(self.tar.end(tar.size)?)
    }
}
