//! Threads that put layers on disk, and how far they may be ahead of the one that writes the archive.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix_compat::tree::Trees;
use oci::Digest;

use crate::error::Error;
use crate::schedule::Schedule;
use crate::spool::{Spool, SpoolWriter, Spooled};

/// As many layers at least are read at once, where trees are downloaded: each waits for the network
/// for a part of its time, and takes some 10 MB to be decompressed.
const DOWNLOADS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// No further layer is started while those that were not written yet have as many bytes: that much
/// stays in the page cache.
const MOST_BYTES: u64 = 512 << 20;

/// How many layers may wait for the writer, beside those that are being read.
const MOST_WAITING: usize = 2;

/// How many layers of `trees` are read at once by a program that may use `jobs` threads.
pub(crate) fn readers(trees: &dyn Trees, jobs: NonZeroUsize) -> NonZeroUsize {
    if trees.rereads_cheaply() {
        jobs
    } else {
        jobs.max(DOWNLOADS)
    }
}

/// Layers on their way into a spool. Shared between the threads and the writer.
pub(crate) struct Filling<'a> {
    spool: &'a Spool,
    schedule: &'a Schedule,
    /// The maximum number of layers that are started and not written, and their bytes.
    most: usize,
    most_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The layer that the writer is at.
    position: usize,
    /// Layers that are being made.
    started: usize,
    /// Bytes of the layers that are made and wait for the writer.
    waiting: BTreeMap<usize, u64>,
}

impl<'a> Filling<'a> {
    /// For what `jobs` threads make, who share `schedule` with the writer and do not get far ahead of
    /// it.
    pub(crate) fn ahead(spool: &'a Spool, jobs: NonZeroUsize, schedule: &'a Schedule) -> Self {
        Self {
            spool,
            schedule,
            most: jobs.get() + MOST_WAITING,
            most_bytes: MOST_BYTES,
            state: Mutex::default(),
        }
    }

    /// For layers of which none is written before all are made.
    pub(crate) fn all(spool: &'a Spool, schedule: &'a Schedule) -> Self {
        Self {
            spool,
            schedule,
            most: usize::MAX,
            most_bytes: u64::MAX,
            state: Mutex::default(),
        }
    }

    /// Makes a layer with `write`, as soon as it is near enough to the writer, and puts it on disk
    /// where there is room. Gives what `write` gives beside the digest.
    ///
    /// A layer that is `expected`, with so many bytes, can be written without being made before.
    /// Where there is no room for it, that is left to the writer, and there is no result.
    ///
    /// # Errors
    ///
    /// `write` fails, the file cannot be written, or the work was stopped.
    pub(crate) fn fill<T>(
        &self,
        index: usize,
        expected: Option<u64>,
        write: impl FnOnce(&mut SpoolWriter<'_>) -> Result<(Digest, T), Error>,
    ) -> Result<Option<T>, Error> {
        // Layers are started in their order.
        let held = self.schedule.wait_until(|| {
            let mut state = self.lock();
            let is_next = index <= state.position;
            if !is_next && !state.has_room(self.most, self.most_bytes) {
                return None;
            }
            let held = self.spool.hold(expected.unwrap_or(0));
            if held.is_none() && !is_next {
                return None;
            }
            state.started += usize::from(held.is_some());
            Some(held)
        })?;
        let Some(held) = held else {
            return Ok(None);
        };
        self.spool.making(index);
        let filled = self.spool.writer(held).and_then(|mut writer| {
            let (digest, made) = write(&mut writer).map_err(|error| match error {
                Error::Output(source) => self.spool.error(source),
                error => error,
            })?;
            Ok((digest, made, writer.finish()?))
        });
        let mut state = self.lock();
        state.started -= 1;
        let (digest, made, layer) = filled?;
        match layer {
            // The writer may have passed it by.
            Some(_) if index < state.position => {}
            Some(layer) => {
                state.waiting.insert(index, layer.size());
                self.spool.put(index, digest, layer);
            }
            None => self.spool.leave_out(index),
        }
        drop(state);
        self.schedule.wake();
        Ok(Some(made))
    }

    /// Says that the writer is at this layer: those below are needed no more.
    pub(crate) fn advance_to(&self, index: usize) {
        let mut state = self.lock();
        state.position = index;
        state.waiting = state.waiting.split_off(&index);
        self.spool.drop_below(index);
        drop(state);
        self.schedule.wake();
    }

    /// Takes a layer of this digest, if it is on disk; else it must be made.
    pub(crate) fn take(&self, index: usize, digest: &Digest) -> Option<Arc<Spooled>> {
        self.lock().waiting.remove(&index);
        let layer = self.spool.take(index, digest);
        if layer.is_none() {
            self.spool.making(index);
        }
        layer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, most: usize, most_bytes: u64) -> bool {
        let waiting: u64 = self.waiting.values().sum();
        self.started.saturating_add(self.waiting.len()) < most && waiting < most_bytes
    }
}
