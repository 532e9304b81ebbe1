//! Where the buffers of several layers meet, so that one thread hashes them at once.
//!
//! Each thread fills buffers with the tar of one layer. A full one is left here, and the thread fills
//! its other one meanwhile; whoever brings the last buffer of a set hashes all of it. So no thread
//! does nothing but hash, and none sleeps while there is something to do for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use sha256_lanes::{Lanes, Message, State};

use crate::schedule::Schedule;
use crate::sink::Stop;

/// For so long a thread waits for the bytes of other layers. Then it goes on without them, with lanes
/// that are empty: a file that is read from a disk must not hold back those in memory.
const PATIENCE: Duration = Duration::from_millis(10);

/// All threads that hash layers together.
pub(super) struct Meeting<'a> {
    lanes: Lanes,
    schedule: &'a Schedule,
    state: Mutex<Attendance>,
}

#[derive(Default)]
struct Attendance {
    /// Full buffers that nobody hashes yet, at most one of each layer, the oldest first.
    full: Vec<Full>,
    /// Buffers that were hashed, for those who brought them.
    hashed: Vec<Full>,
    /// Layers whose threads are about to bring a full buffer, or hash.
    busy: Vec<usize>,
}

/// Blocks of a layer's tar, and the hash of what came before them.
pub(super) struct Full {
    /// The layer.
    pub(super) index: usize,
    /// The hash of all bytes before; of these too, once they are hashed.
    pub(super) state: State,
    /// Whole blocks.
    pub(super) bytes: Vec<u8>,
    /// Bytes of them that were hashed.
    taken: usize,
    /// Who waits for it, perhaps.
    owner: Thread,
}

impl<'a> Meeting<'a> {
    pub(super) fn new(lanes: Lanes, schedule: &'a Schedule) -> Self {
        Self {
            lanes,
            schedule,
            state: Mutex::default(),
        }
    }

    /// Says that this thread reads a layer from now on, until the guard is dropped.
    pub(super) fn enter(&self, index: usize) -> Presence<'_> {
        self.lock().is_busy(index);
        Presence {
            meeting: self,
            index,
        }
    }

    /// Leaves a buffer to be hashed; hashes it and others, if they are enough.
    pub(super) fn bring(&self, index: usize, state: State, bytes: Vec<u8>) {
        let mut attendance = self.lock();
        attendance.full.push(Full {
            index,
            state,
            bytes,
            taken: 0,
            owner: thread::current(),
        });
        // Perhaps the others did not wait for it any more.
        attendance.is_busy(index);
        if attendance.full.len() >= self.lanes.width() {
            self.hash(attendance);
        }
    }

    /// Waits until the buffer of a layer is hashed, and gives it back.
    ///
    /// # Errors
    ///
    /// The work was stopped.
    pub(super) fn take(&self, index: usize) -> Result<Full, Stop> {
        let patience_ends = Instant::now() + PATIENCE;
        loop {
            if self.schedule.is_stopped() {
                return Err(Stop::Cancelled);
            }
            let mut attendance = self.lock();
            if let Some(at) = attendance.place_of_hashed(index) {
                return Ok(attendance.hashed.swap_remove(at));
            }
            attendance.is_not_busy(index);
            let left = patience_ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                attendance.busy.clear();
            }
            let is_free = attendance.full.iter().any(|full| full.index == index);
            if is_free && attendance.busy.is_empty() {
                // Nobody else brings anything.
                attendance.is_busy(index);
                self.hash(attendance);
                continue;
            }
            drop(attendance);
            thread::park_timeout(left.max(Duration::from_millis(1)));
        }
    }

    /// Hashes a set of buffers, as far as the shortest of them goes, and what is left of the others
    /// with the next ones.
    fn hash(&self, mut attendance: MutexGuard<'_, Attendance>) {
        let count = attendance.full.len().min(self.lanes.width());
        let mut set: Vec<Full> = attendance.full.drain(..count).collect();
        drop(attendance);
        let mut messages: Vec<_> = set.iter_mut().map(Full::message).collect();
        let blocks = self.lanes.compress(&mut messages);
        let owners: Vec<Thread> = set.iter().map(|full| full.owner.clone()).collect();
        let mut attendance = self.lock();
        for mut full in set {
            full.taken += blocks * 64;
            if full.taken < full.bytes.len() {
                attendance.full.insert(0, full);
            } else {
                attendance.is_busy(full.index);
                attendance.hashed.push(full);
            }
        }
        drop(attendance);
        owners.iter().for_each(Thread::unpark);
    }

    fn lock(&self) -> MutexGuard<'_, Attendance> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attendance {
    fn place_of_hashed(&self, index: usize) -> Option<usize> {
        self.hashed.iter().position(|full| full.index == index)
    }

    fn is_busy(&mut self, index: usize) {
        if !self.busy.contains(&index) {
            self.busy.push(index);
        }
    }

    fn is_not_busy(&mut self, index: usize) {
        self.busy.retain(|&other| other != index);
    }
}

impl Full {
    fn message(&mut self) -> Message<'_> {
        Message {
            state: &mut self.state,
            blocks: self.bytes[self.taken..].as_chunks().0,
        }
    }
}

/// A thread that reads a layer.
pub(super) struct Presence<'a> {
    meeting: &'a Meeting<'a>,
    index: usize,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        let mut attendance = self.meeting.lock();
        attendance.is_not_busy(self.index);
        // Of those who wait for more, the last one must go on without it.
        attendance.full.iter().for_each(|full| full.owner.unpark());
    }
}
