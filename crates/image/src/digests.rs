//! The digests of an image's layers, taken by several threads while the layers before are written.
//!
//! There are two ways. With instructions for SHA-256 a thread hashes one layer after the other, as
//! fast as it can read. Without, it hashes many at once, see [`in_lanes`].

mod in_lanes;

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use nix_compat::tree::Trees;
use oci::DigestWriter;
use sha256_lanes::Lanes;

use self::in_lanes::InLanes;
use crate::sink::{CopyError, LengthSink, Sink, WriteSink};
use crate::spool::Spools;
use crate::tar::TarRules;
use crate::{Error, Layer, LayerDigest, Promise, StoreLayer};

/// The digests, each there as soon as a thread has taken it.
pub(crate) struct Digests {
    slots: Mutex<Vec<Slot>>,
    changed: Condvar,
}

enum Slot {
    Waiting,
    Ready(LayerDigest),
    Failed(Option<Error>),
}

impl Digests {
    /// Waits for the digest of the layer with this index.
    ///
    /// # Errors
    ///
    /// The layer cannot be read.
    pub(crate) fn wait(&self, index: usize) -> Result<LayerDigest, Error> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // A later layer that failed ends the wait as well.
            if let Some(error) = slots.iter_mut().find_map(Slot::take_error) {
                return Err(error);
            }
            match slots.get(index) {
                Some(Slot::Ready(digest)) => return Ok(*digest),
                Some(Slot::Waiting) => {}
                Some(Slot::Failed(_)) | None => return Err(Error::Cancelled),
            }
            slots = self
                .changed
                .wait(slots)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, index: usize, slot: Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots[index] = slot;
        self.changed.notify_all();
    }
}

impl Slot {
    /// The error that started the end, and none of those that follow from it.
    fn take_error(&mut self) -> Option<Error> {
        match self {
            Self::Failed(error) if !matches!(error, Some(Error::Cancelled)) => error.take(),
            _ => None,
        }
    }
}

/// Takes the digests of `layers` with `jobs` threads.
///
/// # Errors
///
/// A layer cannot be read.
pub fn take_digests(
    layers: &[Layer<'_>],
    trees: &dyn Trees,
    rules: &TarRules,
    jobs: NonZeroUsize,
) -> Result<Vec<LayerDigest>, Error> {
    with_digests(layers, trees, rules, jobs, None, |digests| {
        (0..layers.len()).map(|index| digests.wait(index)).collect()
    })
}

/// Runs `body` while `jobs` threads take the digests of `layers`, lower ones first. With `spools`,
/// layers of store paths are put there meanwhile. Where trees are dear to read, a digest that is
/// remembered is taken as it is.
///
/// # Errors
///
/// A layer cannot be read, or `body` fails: the threads are stopped then.
pub(crate) fn with_digests<T>(
    layers: &[Layer<'_>],
    trees: &dyn Trees,
    rules: &TarRules,
    jobs: NonZeroUsize,
    spools: Option<&Spools>,
    body: impl FnOnce(&Digests) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut slots = Vec::with_capacity(layers.len());
    let mut unknown = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        slots.push(match (layer.known_digest()?, remembered(layer)) {
            (Some(digest), _) => Slot::Ready(digest),
            (None, Some(digest)) if !trees.rereads_cheaply() => Slot::Ready(digest),
            (None, _) => {
                unknown.push(index);
                Slot::Waiting
            }
        });
    }
    let work = Work {
        layers,
        trees,
        rules,
        spools,
        unknown,
        next: AtomicUsize::new(0),
        cancelled: AtomicBool::new(false),
        digests: Digests {
            slots: Mutex::new(slots),
            changed: Condvar::new(),
        },
    };
    work.run(jobs, Lanes::detect(), body)
}

/// Layers that are to be hashed, and what has become of them.
struct Work<'a> {
    layers: &'a [Layer<'a>],
    trees: &'a dyn Trees,
    rules: &'a TarRules,
    /// Where layers of store paths are put meanwhile.
    spools: Option<&'a Spools>,
    /// The layers without a digest, by their index.
    unknown: Vec<usize>,
    /// How many of these were begun.
    next: AtomicUsize,
    cancelled: AtomicBool,
    digests: Digests,
}

impl Work<'_> {
    fn run<T>(
        &self,
        jobs: NonZeroUsize,
        lanes: Option<Lanes>,
        body: impl FnOnce(&Digests) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let threads = jobs.get().min(self.unknown.len());
        // A layer that is put on disk is hashed on its way.
        let lanes = lanes.filter(|_| self.spools.is_none());
        let in_lanes = lanes.and_then(|lanes| InLanes::plan(self, lanes, threads));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| match &in_lanes {
                    Some(in_lanes) => in_lanes.run(scope),
                    None => self.one_by_one(),
                });
            }
            // Also when `body` panics: the threads must not wait for it then.
            let _stop = Stop(self);
            body(&self.digests)
        })
    }

    fn one_by_one(&self) {
        while let Some(index) = self.next() {
            self.done(index, self.hash(index));
        }
    }

    /// The next layer that has to be read. A layer whose digest is remembered, and which has the
    /// length that it had, need not.
    fn next(&self) -> Option<usize> {
        while !self.cancelled.load(Ordering::Relaxed) {
            let index = *self
                .unknown
                .get(self.next.fetch_add(1, Ordering::Relaxed))?;
            match self.remembered(index).transpose() {
                None => return Some(index),
                Some(result) => self.done(index, result),
            }
        }
        None
    }

    fn done(&self, index: usize, result: Result<LayerDigest, Error>) {
        match result {
            Ok(digest) => self.digests.put(index, Slot::Ready(digest)),
            Err(error) => {
                self.digests.put(index, Slot::Failed(Some(error)));
                self.cancelled.store(true, Ordering::Relaxed);
            }
        }
    }

    fn remembered(&self, index: usize) -> Result<Option<LayerDigest>, Error> {
        let Some(digest) = remembered(&self.layers[index]) else {
            return Ok(None);
        };
        let length = self.write(index, LengthSink)?.1;
        Ok((length == digest.size).then_some(digest))
    }

    fn hash(&self, index: usize) -> Result<LayerDigest, Error> {
        let layer = &self.layers[index];
        if let (Some(spools), Layer::Store(_)) = (self.spools, layer) {
            return spools.fill(index, |sink| {
                let mut sink = Cancellable {
                    sink,
                    cancelled: &self.cancelled,
                };
                layer.write(self.trees, self.rules, &mut sink)
            });
        }
        let (sink, _) = self.write(index, WriteSink::new(DigestWriter::default()))?;
        let (diff_id, size) = sink.into_inner().finish();
        Ok(LayerDigest { diff_id, size })
    }

    /// Writes a layer to a sink; gives the sink and the length.
    fn write<S: Sink>(&self, index: usize, sink: S) -> Result<(S, u64), Error> {
        let mut sink = Cancellable {
            sink,
            cancelled: &self.cancelled,
        };
        let length = self.layers[index].write(self.trees, self.rules, &mut sink)?;
        Ok((sink.sink, length))
    }
}

fn remembered(layer: &Layer<'_>) -> Option<LayerDigest> {
    match layer {
        Layer::Store(StoreLayer {
            promise: Some(Promise::Remembered(digest)),
            ..
        }) => Some(*digest),
        _ => None,
    }
}

/// Ends what the threads do.
struct Stop<'a>(&'a Work<'a>);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
        if let Some(spools) = self.0.spools {
            spools.stop();
        }
    }
}

/// A sink that fails once it is cancelled, so that a thread in the middle of a layer stops.
struct Cancellable<'a, S> {
    sink: S,
    cancelled: &'a AtomicBool,
}

impl<S> Cancellable<'_, S> {
    fn check(&self) -> io::Result<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(io::Error::other(Error::Cancelled))
        } else {
            Ok(())
        }
    }
}

impl<S: Sink> Sink for Cancellable<'_, S> {
    const TAKES_CONTENTS: bool = S::TAKES_CONTENTS;

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.sink.write(bytes)
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        self.check().map_err(CopyError::Write)?;
        let mut stream = Checked {
            stream,
            cancelled: self.cancelled,
        };
        self.sink.copy_stream(&mut stream, size)
    }
}

struct Checked<'a> {
    stream: &'a mut dyn Read,
    cancelled: &'a AtomicBool,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other(Error::Cancelled));
        }
        self.stream.read(buffer)
    }
}

#[cfg(test)]
mod tests;
