//! Many layers hashed at once by each thread, in the lanes of vector registers.
//!
//! A layer's tar is pushed to a sink while its trees are walked, so each layer that is being hashed
//! has a thread of its own that fills buffers; mostly it waits for the hashing thread to be done
//! with one. Layers are begun in their order. When none is left to begin, a hashing thread that
//! has nothing to do is given a layer of another one's, so that the large layers, which are left
//! in the end, are spread over all threads.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, Scope};
use std::time::Duration;

use oci::Digest;
use sha256_lanes::{Lanes, Message, State, padding};

use super::hashing::Hashing;
use crate::error::Error;
use crate::layer_id::TarId;
use crate::sink::{CopyError, Sink, Stop};

/// Bytes that are handed over at once.
const BUFFER: usize = 64 * 1024;

/// Buffers of a layer: one is filled while the other is hashed.
const BUFFERS: usize = 2;

/// The maximum number of layers at once: this bounds memory (128 KiB each) with any number of threads.
const MAX_LAYERS: usize = 128;

/// For so long the others wait for the bytes of a layer. Then they go on without it, with a lane
/// that is empty: a file that is read from a disk must not hold back those in memory.
const PATIENCE: Duration = Duration::from_millis(10);

/// The work of all threads that hash in lanes.
pub(super) struct InLanes<'a> {
    hashing: &'a Hashing<'a>,
    lanes: Lanes,
    /// The maximum number of layers that a thread begins.
    width: usize,
    /// How many threads there are.
    threads: usize,
    /// How many of the layers were begun.
    begun: AtomicUsize,
    exchange: Mutex<Exchange>,
}

/// Where layers pass from one thread to another.
#[derive(Default)]
struct Exchange {
    given: Vec<Running>,
    /// Threads that have begun: the system may give fewer than were planned.
    started: usize,
    /// Threads that have nothing to do.
    waiting: usize,
}

/// A layer that is being hashed.
struct Running {
    index: usize,
    state: State,
    /// What was handed over last.
    filled: Filled,
    /// Bytes of it that were hashed.
    taken: usize,
    /// Whether the others wait for it no more.
    is_late: bool,
    /// What comes next.
    full: Receiver<Result<Filled, Error>>,
    /// Buffers go back to be filled.
    empty: Sender<Vec<u8>>,
}

/// Whole blocks of a layer's tar.
#[derive(Default)]
struct Filled {
    bytes: Vec<u8>,
    /// The length of the tar, where the blocks end with its padding.
    end: Option<u64>,
}

/// What a layer has for the thread that hashes it.
enum Next {
    /// Some blocks.
    Blocks,
    /// Nothing yet.
    Nothing,
    /// It is hashed.
    End(TarId),
}

impl<'a> InLanes<'a> {
    /// Decides whether to hash in lanes: not where there are so few layers for each thread that most
    /// lanes would be empty.
    pub(super) fn plan(hashing: &'a Hashing<'a>, lanes: Lanes, jobs: NonZeroUsize) -> Option<Self> {
        let layers = hashing.wanted.len();
        let threads = jobs.get().min(layers).max(1);
        let share = layers.min(MAX_LAYERS).div_ceil(threads);
        let width = share.min(lanes.width());
        lanes.pays_for(width).then(|| Self {
            hashing,
            lanes,
            width,
            threads,
            begun: AtomicUsize::new(0),
            exchange: Mutex::default(),
        })
    }

    /// How many threads hash.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// The work of one thread.
    pub(super) fn run(&self) -> Result<(), Error> {
        self.lock().started += 1;
        // The threads that read get a scope of their own: they mostly wait, which threads of a pool
        // must not.
        thread::scope(|scope| {
            self.run_in(scope).map_err(|error| {
                // At once: the scope waits for readers of layers that other threads hash now.
                self.hashing.schedule.fail(error);
                Error::Cancelled
            })
        })
    }

    fn run_in<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Result<(), Error> {
        let mut running = Vec::with_capacity(self.width);
        loop {
            while running.len() < self.width
                && let Some(index) = self.next()?
            {
                match self.begin(index, scope) {
                    Ok(layer) => running.push(layer),
                    // The system gives no more threads; this one is still there.
                    Err(_) => self.hashing.done(index, self.hashing.hash(index)?)?,
                }
            }
            if running.is_empty() {
                match self.take()? {
                    Some(layer) => running.push(layer),
                    None => return Ok(()),
                }
            }
            self.give(&mut running);
            self.step(&mut running)?;
        }
    }

    /// The next layer that has to be read.
    fn next(&self) -> Result<Option<usize>, Error> {
        while !self.hashing.schedule.is_stopped() {
            let place = self.begun.fetch_add(1, Ordering::Relaxed);
            let Some(&index) = self.hashing.wanted.get(place) else {
                return Ok(None);
            };
            if !self.hashing.is_as_remembered(index)? {
                return Ok(Some(index));
            }
            self.hashing.close(index);
        }
        Err(Error::Cancelled)
    }

    /// Hashes what there is of all layers; drops those that end.
    fn step(&self, running: &mut Vec<Running>) -> Result<(), Error> {
        if self.hashing.schedule.is_stopped() {
            return Err(Error::Cancelled);
        }
        let mut at = 0;
        while let Some(layer) = running.get_mut(at) {
            if let Next::End(tar) = layer.receive()? {
                self.hashing.done(layer.index, tar)?;
                running.remove(at);
            } else {
                at += 1;
            }
        }
        let ready = |layer: &&mut Running| layer.taken < layer.filled.bytes.len();
        let mut ready: Vec<_> = running.iter_mut().filter(ready).collect();
        let mut messages: Vec<_> = ready.iter_mut().map(|layer| layer.message()).collect();
        if messages.is_empty() {
            // All are late: now there is time to wait for them.
            running.iter_mut().for_each(|layer| layer.is_late = false);
            return Ok(());
        }
        let count = self.lanes.compress(&mut messages);
        for layer in ready {
            layer.taken += count * 64;
        }
        Ok(())
    }

    fn begin<'scope>(
        &'scope self,
        index: usize,
        scope: &'scope Scope<'scope, '_>,
    ) -> io::Result<Running> {
        let (send_full, full) = channel();
        let (empty, receive_empty) = channel();
        for _ in 0..BUFFERS {
            // The receiver is here.
            let _ = empty.send(vec![0; BUFFER]);
        }
        Builder::new().spawn_scoped(scope, move || {
            let result = Filler::new(send_full.clone(), receive_empty)
                .map_err(Error::from)
                .and_then(|filler| self.hashing.write(index, filler))
                .and_then(|(filler, _)| Ok(filler.finish()?));
            if let Err(error) = result {
                // Nobody is there to hear it when all was cancelled.
                let _ = send_full.send(Err(error));
            }
        })?;
        Ok(Running {
            index,
            state: State::default(),
            filled: Filled::default(),
            taken: 0,
            is_late: false,
            full,
            empty,
        })
    }

    /// Gives a layer to a thread that has none.
    fn give(&self, running: &mut Vec<Running>) {
        if running.len() < 2 {
            return;
        }
        let mut exchange = self.lock();
        if exchange.waiting > exchange.given.len() {
            exchange.given.extend(running.pop());
            drop(exchange);
            self.hashing.schedule.wake();
        }
    }

    /// Waits for a layer from another thread, until all have nothing to do. Who begins later than that
    /// finds nothing to do either.
    fn take(&self) -> Result<Option<Running>, Error> {
        let mut exchange = self.lock();
        exchange.waiting += 1;
        let is_last = exchange.waiting == exchange.started;
        drop(exchange);
        if is_last {
            self.hashing.schedule.wake();
        }
        let taken = self.hashing.schedule.wait_until(|| {
            let mut exchange = self.lock();
            if let Some(layer) = exchange.given.pop() {
                exchange.waiting -= 1;
                return Some(Some(layer));
            }
            (exchange.waiting == exchange.started).then_some(None)
        });
        Ok(taken?)
    }

    fn lock(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Waits a little for more to hash, but for a layer that is late already.
    fn receive(&mut self) -> Result<Next, Error> {
        while self.taken == self.filled.bytes.len() {
            if let Some(size) = self.filled.end {
                return Ok(Next::End(TarId {
                    digest: Digest::from_sha256(self.state.digest()),
                    size,
                }));
            }
            let used = std::mem::take(&mut self.filled).bytes;
            self.taken = 0;
            if !used.is_empty() {
                // The thread that fills is gone when it has handed over its last.
                let _ = self.empty.send(used);
            }
            let next = if self.is_late {
                self.full.try_recv()
            } else {
                self.full
                    .recv_timeout(PATIENCE)
                    .map_err(|error| match error {
                        RecvTimeoutError::Timeout => TryRecvError::Empty,
                        RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
                    })
            };
            self.is_late = matches!(next, Err(TryRecvError::Empty));
            self.filled = match next {
                Ok(filled) => filled?,
                Err(TryRecvError::Empty) => return Ok(Next::Nothing),
                // It has died of a panic, which will show.
                Err(TryRecvError::Disconnected) => return Err(Error::Cancelled),
            };
        }
        Ok(Next::Blocks)
    }

    fn message(&mut self) -> Message<'_> {
        Message {
            state: &mut self.state,
            blocks: self.filled.bytes[self.taken..].as_chunks().0,
        }
    }
}

/// A sink that fills buffers for the hashing thread.
struct Filler {
    full: Sender<Result<Filled, Error>>,
    empty: Receiver<Vec<u8>>,
    buffer: Vec<u8>,
    filled: usize,
    length: u64,
}

impl Filler {
    fn new(full: Sender<Result<Filled, Error>>, empty: Receiver<Vec<u8>>) -> Result<Self, Stop> {
        let buffer = empty.recv().map_err(|_| Stop::Cancelled)?;
        Ok(Self {
            full,
            empty,
            buffer,
            filled: 0,
            length: 0,
        })
    }

    /// Room for some bytes at least.
    fn room(&mut self) -> Result<&mut [u8], Stop> {
        if self.filled == self.buffer.len() {
            let bytes = std::mem::take(&mut self.buffer);
            self.send(bytes, None)?;
            self.buffer = self.empty.recv().map_err(|_| Stop::Cancelled)?;
            self.filled = 0;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    fn send(&self, bytes: Vec<u8>, end: Option<u64>) -> Result<(), Stop> {
        self.full
            .send(Ok(Filled { bytes, end }))
            .map_err(|_| Stop::Cancelled)
    }

    /// Pads the tar to whole blocks, and hands over the rest.
    fn finish(mut self) -> Result<(), Stop> {
        self.buffer.truncate(self.filled);
        self.buffer.extend(padding(self.length));
        let bytes = std::mem::take(&mut self.buffer);
        self.send(bytes, Some(self.length))
    }
}

impl Sink for Filler {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.room()?;
            let count = rest.len().min(room.len());
            room[..count].copy_from_slice(&rest[..count]);
            self.filled += count;
            rest = &rest[count..];
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        let mut copied = 0;
        loop {
            let room = self.room().map_err(CopyError::Write)?;
            let count = match stream.read(room) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CopyError::Read(error)),
            };
            copied += count as u64;
            if count == 0 || copied > size {
                return Ok(copied);
            }
            self.filled += count;
            self.length += count as u64;
        }
    }
}
