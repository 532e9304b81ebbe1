//! The digests of an image's layers, taken by several threads while the layers before are written.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use nix_compat::tree::Trees;

use crate::digest::DigestWriter;
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
    let digests = Digests {
        slots: Mutex::new(slots),
        changed: Condvar::new(),
    };
    let cancelled = AtomicBool::new(false);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(unknown.len()) {
            scope.spawn(|| {
                while let Some(&index) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let layer = &layers[index];
                    let taken = match (spools, layer) {
                        (Some(spools), Layer::Store(_)) => spools.fill(index, |sink| {
                            let mut sink = Cancellable {
                                sink,
                                cancelled: &cancelled,
                            };
                            layer.write(trees, rules, &mut sink)
                        }),
                        _ => digest(layer, trees, rules, &cancelled),
                    };
                    let slot = match taken {
                        Ok(digest) => Slot::Ready(digest),
                        Err(error) => Slot::Failed(Some(error)),
                    };
                    let failed = matches!(slot, Slot::Failed(_));
                    digests.put(index, slot);
                    if failed {
                        cancelled.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        // Also when `body` panics: the threads must not wait for it then.
        let _stop = Stop {
            cancelled: &cancelled,
            spools,
        };
        body(&digests)
    })
}

/// Ends what the threads do.
struct Stop<'a> {
    cancelled: &'a AtomicBool,
    spools: Option<&'a Spools>,
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some(spools) = self.spools {
            spools.stop();
        }
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

fn digest(
    layer: &Layer<'_>,
    trees: &dyn Trees,
    rules: &TarRules,
    cancelled: &AtomicBool,
) -> Result<LayerDigest, Error> {
    if let Some(digest) = remembered(layer) {
        let mut length = Cancellable {
            sink: LengthSink,
            cancelled,
        };
        if layer.write(trees, rules, &mut length)? == digest.size {
            return Ok(digest);
        }
    }
    let mut sink = Cancellable {
        sink: WriteSink::new(DigestWriter::default()),
        cancelled,
    };
    layer.write(trees, rules, &mut sink)?;
    let (diff_id, size) = sink.sink.into_inner().finish();
    Ok(LayerDigest { diff_id, size })
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
