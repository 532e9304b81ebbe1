//! The docker-archive: what `docker load` takes, in the form in which nixpkgs writes it.
//!
//! Base layers, store layers, the root's layer, the configuration and the manifest follow one
//! another as members of one tar. A layer's digest, which its member is named by, is taken by reading
//! the layer once before it is written; where that is dear, the layer is kept on disk meanwhile.

use std::num::NonZeroUsize;

use nix_compat::tree::Trees;

use crate::config::{config_text, manifest_text};
use crate::digests::{Digests, with_digests};
use crate::sink::{HashingSink, Sink};
use crate::spool::Spools;
use crate::tar::{BLOCK, Kind, Member, Owner, PaxRecords, end_of_archive, padding, write_header};
use crate::{Digest, Error, Image, Layer, LayerDigest, Root};

/// As many layers at least are downloaded at once, where that is what it takes to read them: each
/// waits for the network for a part of its time, and takes some 10 MiB to be decompressed.
const DOWNLOADS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// What was written.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Digest of the configuration: the image's id.
    pub image_id: Digest,
    /// The layers, bottom first.
    pub layers: Vec<LayerDigest>,
    /// Length of the archive in bytes.
    pub size: u64,
}

/// Is told how far the writing is.
pub trait Observer {
    /// A layer is about to be written.
    fn layer(&mut self, index: usize, of: usize, layer: &Layer<'_>, digest: &LayerDigest);

    /// All layers are written; configuration and manifest follow.
    fn manifests(&mut self) {}
}

/// How an archive is written.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Threads that take digests.
    pub jobs: NonZeroUsize,
    /// Whether layers are hashed once more while they are written, so that one that is not what
    /// its digest says is an error.
    pub verify: bool,
    /// As many layers, from the bottom, are named and not written: who reads the archive has them.
    pub left_out: usize,
}

/// Writes `image`.
///
/// # Errors
///
/// A store path or the base image cannot be read, has changed meanwhile, or `output` cannot be
/// written. What was written until then is no image: the manifest comes last.
pub fn write(
    image: &Image,
    trees: &dyn Trees,
    output: &mut impl Sink,
    options: Options,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let layers = image.layers();
    let is_cheap = trees.rereads_cheaply();
    let jobs = if is_cheap {
        options.jobs
    } else {
        options.jobs.max(DOWNLOADS)
    };
    let spools = (!is_cheap).then(|| Spools::new(jobs));
    let (rules, spools) = (&image.rules, spools.as_ref());
    with_digests(&layers, trees, rules, jobs, spools, |digests| {
        let archive = Archive {
            image,
            trees,
            spools,
            output,
            options,
            written: 0,
            plain: Owner::nobody_named(),
            root: Owner::root(),
        };
        archive.write(&layers, digests, observer)
    })
}

struct Archive<'a, S> {
    image: &'a Image,
    trees: &'a dyn Trees,
    /// Where the layers are whose trees are not read again.
    spools: Option<&'a Spools>,
    output: &'a mut S,
    options: Options,
    /// Bytes so far.
    written: u64,
    plain: Owner,
    root: Owner,
}

impl<S: Sink> Archive<'_, S> {
    fn write(
        mut self,
        layers: &[Layer<'_>],
        digests: &Digests,
        observer: &mut dyn Observer,
    ) -> Result<Summary, Error> {
        let mut written = Vec::with_capacity(layers.len());
        let mut names = Vec::with_capacity(layers.len());
        let mut base = self
            .image
            .base
            .as_ref()
            .map(|base| base.reader())
            .transpose()?;
        for (index, layer) in layers.iter().enumerate() {
            if let Some(spools) = self.spools {
                spools.reach(index);
            }
            let digest = digests.wait(index)?;
            let left_out = index < self.options.left_out;
            if !left_out {
                observer.layer(index, layers.len(), layer, &digest);
            }
            if let Layer::Base(layer) = layer {
                names.push(layer.name.clone());
                written.push(digest);
                if left_out {
                    continue;
                }
                self.header(&layer.member())?;
                if let Some(base) = &mut base {
                    base.copy(layer, self.output)?.map_err(Error::Output)?;
                }
                self.contents_end(layer.size())?;
            } else {
                let name = format!("{}/layer.tar", digest.diff_id.hex());
                if !left_out {
                    self.layer(index, &name, layer, &digest)?;
                }
                names.push(name);
                written.push(digest);
            }
        }
        observer.manifests();
        let config = config_text(self.image, &written)?;
        let image_id = Digest::of(&config);
        self.text(&format!("{}.json", image_id.hex()), &config)?;
        self.text(
            "manifest.json",
            &manifest_text(&self.image.repo_tags, &image_id, &names)?,
        )?;
        self.zeros(end_of_archive(self.written))?;
        Ok(Summary {
            image_id,
            layers: written,
            size: self.written,
        })
    }

    fn layer(
        &mut self,
        index: usize,
        name: &str,
        layer: &Layer<'_>,
        digest: &LayerDigest,
    ) -> Result<(), Error> {
        // The root's tar is a file of the store: its header says so on every machine, where
        // nixpkgs says what the machine's file system does.
        let is_store_file = matches!(layer, Layer::Root(Root::Tar { .. }));
        let owner = if is_store_file {
            self.root.clone()
        } else {
            self.plain.clone()
        };
        self.header(&Member {
            name: name.as_bytes(),
            kind: Kind::File(digest.size),
            mode: if is_store_file { 0o444 } else { 0o644 },
            mtime: self.image.rules.mtime,
            owner: &owner,
            pax: PaxRecords::new(),
        })?;
        let spool = self.spools.and_then(|spools| spools.take(index));
        let (trees, rules) = (self.trees, &self.image.rules);
        let found = if self.options.verify {
            let mut sink = HashingSink::new(&mut *self.output);
            let length = match &spool {
                Some(spool) => spool.write(&mut sink)?,
                None => layer.write(trees, rules, &mut sink)?,
            };
            let found = sink.finish();
            if found != digest.diff_id {
                let (what, expected) = (layer.describe(), digest.diff_id);
                return Err(Error::LayerDigest {
                    index: index + 1,
                    what,
                    expected,
                    found,
                });
            }
            length
        } else {
            match &spool {
                Some(spool) => spool.write(self.output)?,
                None => layer.write(trees, rules, self.output)?,
            }
        };
        if found != digest.size {
            return Err(Error::LayerLength {
                index: index + 1,
                what: layer.describe(),
                diff_id: digest.diff_id,
                expected: digest.size,
                found,
            });
        }
        self.contents_end(found)
    }

    fn text(&mut self, name: &str, text: &[u8]) -> Result<(), Error> {
        let owner = self.plain.clone();
        self.header(&Member {
            name: name.as_bytes(),
            kind: Kind::File(text.len() as u64),
            mode: 0o644,
            mtime: self.image.rules.mtime,
            owner: &owner,
            pax: PaxRecords::new(),
        })?;
        self.output.write(text).map_err(Error::Output)?;
        self.contents_end(text.len() as u64)
    }

    fn header(&mut self, member: &Member<'_>) -> Result<(), Error> {
        let mut header = Vec::new();
        write_header(&mut header, member);
        self.written += header.len() as u64;
        self.output.write(&header).map_err(Error::Output)
    }

    /// Counts a member's contents, and pads them to whole blocks.
    fn contents_end(&mut self, length: u64) -> Result<(), Error> {
        self.written += length;
        self.zeros(padding(length, BLOCK))
    }

    fn zeros(&mut self, count: u64) -> Result<(), Error> {
        self.written += count;
        // At most the two blocks and the record that end an archive.
        self.output
            .write(&vec![0; count as usize])
            .map_err(Error::Output)
    }
}
