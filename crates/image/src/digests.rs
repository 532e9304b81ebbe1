//! The digests of an image's layers, taken by several threads while the layers before are written.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use nix_compat::tree::Trees;

use crate::digest::DigestWriter;
use crate::sink::{CopyError, Sink, WriteSink};
use crate::tar::TarRules;
use crate::{Error, Layer, LayerDigest};

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
    fn take_error(&mut self) -> Option<Error> {
        match self {
            Self::Failed(error) => error.take(),
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
    with_digests(layers, trees, rules, jobs, |digests| {
        (0..layers.len()).map(|index| digests.wait(index)).collect()
    })
}

/// Runs `body` while `jobs` threads take the digests of `layers`, lower ones first.
///
/// # Errors
///
/// A layer cannot be read, or `body` fails: the threads are stopped then.
pub(crate) fn with_digests<T>(
    layers: &[Layer<'_>],
    trees: &dyn Trees,
    rules: &TarRules,
    jobs: NonZeroUsize,
    body: impl FnOnce(&Digests) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut slots = Vec::with_capacity(layers.len());
    let mut unknown = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        slots.push(match layer.known_digest()? {
            Some(digest) => Slot::Ready(digest),
            None => {
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
                    let slot = match digest(&layers[index], trees, rules, &cancelled) {
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
        let result = body(&digests);
        cancelled.store(true, Ordering::Relaxed);
        result
    })
}

fn digest(
    layer: &Layer<'_>,
    trees: &dyn Trees,
    rules: &TarRules,
    cancelled: &AtomicBool,
) -> Result<LayerDigest, Error> {
    let mut sink = Cancellable {
        sink: WriteSink::new(DigestWriter::default()),
        cancelled,
    };
    let written = layer.write(trees, rules, &mut sink);
    if cancelled.load(Ordering::Relaxed) {
        return Err(Error::Cancelled);
    }
    written?;
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
            Err(io::ErrorKind::Other.into())
        } else {
            Ok(())
        }
    }
}

impl<S: Sink> Sink for Cancellable<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.sink.write(bytes)
    }

    fn copy_stream(&mut self, stream: &mut dyn io::Read, size: u64) -> Result<u64, CopyError> {
        let mut stream = Checked {
            stream,
            sink_cancelled: self.cancelled,
        };
        self.sink.copy_stream(&mut stream, size)
    }
}

struct Checked<'a> {
    stream: &'a mut dyn io::Read,
    sink_cancelled: &'a AtomicBool,
}

impl io::Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.sink_cancelled.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Other.into());
        }
        self.stream.read(buffer)
    }
}
