//! Layers whose digests are taken, and taking one after the other.

use std::sync::atomic::{AtomicBool, Ordering};

use nix_compat::tree::Trees;
use oci::DigestWriter;

use crate::error::Error;
use crate::filling::Filling;
use crate::layer_id::TarId;
use crate::layer_table::LayerTable;
use crate::recipe::{Layer, OwnLayer};
use crate::schedule::Schedule;
use crate::seen::Seen;
use crate::sink::{HashingSink, LengthSink, Sink, Stop, WriteSink};

/// Layers whose digests are taken.
pub(crate) struct Hashing<'a> {
    pub(super) table: &'a LayerTable<'a>,
    pub(super) trees: &'a dyn Trees,
    pub(super) schedule: &'a Schedule,
    /// The layers that are hashed, in order.
    pub(super) wanted: Vec<usize>,
    /// For each layer of the image, whether it is still to be hashed.
    is_open: Vec<AtomicBool>,
    /// Whether what is remembered of a layer counts as long as the length is right.
    believes: bool,
}

impl<'a> Hashing<'a> {
    /// Hashes the layers at `wanted`, in this order. Of a layer whose tar is remembered, the length
    /// is compared, which follows from names and sizes; only if it is another is the layer hashed.
    ///
    /// Layers of a base image are never hashed: their digests came with it.
    pub(crate) fn new(
        table: &'a LayerTable<'a>,
        trees: &'a dyn Trees,
        schedule: &'a Schedule,
        wanted: Vec<usize>,
    ) -> Self {
        let is_open = (0..table.len()).map(|index| AtomicBool::new(wanted.contains(&index)));
        Self {
            is_open: is_open.collect(),
            table,
            trees,
            schedule,
            wanted,
            believes: true,
        }
    }

    /// Hashes them whatever is remembered of them.
    pub(crate) fn without_belief(self) -> Self {
        Self {
            believes: false,
            ..self
        }
    }

    /// The layers that are hashed, in the order in which `streams` threads begin them.
    ///
    /// The writer needs a layer once it has written those before, about as fast as all threads
    /// together hash. A layer is begun so much earlier as it takes one thread to hash it: the first
    /// ones first, but a large one before those that are written before it. So the writer seldom waits
    /// for a layer, and no large one is left alone in the end.
    pub(super) fn by_need(&self, streams: usize) -> Vec<usize> {
        let mut before = 0;
        let needed: Vec<i128> = (0..self.table.len())
            .map(|index| {
                let size = match self.table.layer(index) {
                    Layer::Own(OwnLayer::Store(layer)) => i128::from(layer.size),
                    Layer::Own(OwnLayer::Root(_)) | Layer::Base(..) => 0,
                };
                let needed = before - size * streams as i128;
                before += size;
                needed
            })
            .collect();
        let mut order = self.wanted.clone();
        order.sort_by_key(|&index| (needed[index], index));
        order
    }

    /// Waits until the layer at `index` is hashed, if it is to be.
    ///
    /// # Errors
    ///
    /// The work was stopped.
    pub(crate) fn wait(&self, index: usize) -> Result<(), Stop> {
        let is_open = &self.is_open[index];
        self.schedule
            .wait_until(|| (!is_open.load(Ordering::Acquire)).then_some(()))
    }

    pub(super) fn settle(&self, index: usize, filling: Option<&Filling<'_>>) -> Result<(), Error> {
        if let (Some(filling), Layer::Own(OwnLayer::Store(_))) = (filling, self.table.layer(index))
        {
            let known = self.table.tar(index).value().filter(|_| self.believes);
            let made = filling.fill(index, known.map(|tar| tar.size), |out| {
                let mut sink = WriteSink::new(out);
                let mut sink = HashingSink::new(&mut sink);
                let size = self.write(index, &mut sink)?.1;
                let digest = sink.finish();
                Ok((digest, TarId { digest, size }))
            })?;
            return match made {
                Some(tar) => self.done(index, tar),
                None => {
                    self.close(index);
                    Ok(())
                }
            };
        }
        if !self.is_as_remembered(index)? {
            return self.done(index, self.hash(index)?);
        }
        self.close(index);
        Ok(())
    }

    /// Whether a layer has the length that is remembered of it.
    pub(super) fn is_as_remembered(&self, index: usize) -> Result<bool, Error> {
        let Some(tar) = self.table.tar(index).doubtful().filter(|_| self.believes) else {
            return Ok(false);
        };
        Ok(self.write(index, LengthSink)?.1 == tar.size)
    }

    /// Takes what a layer was found to be.
    pub(super) fn done(&self, index: usize, tar: TarId) -> Result<(), Error> {
        self.table.made_tar(index, tar)?;
        self.close(index);
        Ok(())
    }

    pub(super) fn close(&self, index: usize) {
        self.is_open[index].store(false, Ordering::Release);
        self.schedule.wake();
    }

    pub(super) fn hash(&self, index: usize) -> Result<TarId, Error> {
        let (sink, _) = self.write(index, WriteSink::new(DigestWriter::default()))?;
        let (digest, size) = sink.into_inner().finish();
        Ok(TarId { digest, size })
    }

    /// Writes a layer's tar to a sink; gives the sink and the length.
    pub(super) fn write<S: Sink>(&self, index: usize, sink: S) -> Result<(S, u64), Error> {
        let Layer::Own(layer) = self.table.layer(index) else {
            return Err(self.table.not_made(index));
        };
        let mut sink = self.schedule.stoppable(sink);
        let rules = &self.table.image().rules;
        let mut seen = Seen::default();
        let length = layer.write_tar(self.trees, rules, &mut sink, &mut seen)?;
        if S::TAKES_CONTENTS {
            self.table.saw(index, seen);
        }
        Ok((sink.into_inner(), length))
    }
}
