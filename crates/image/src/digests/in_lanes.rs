//! Many layers hashed at once by each thread, in the lanes of vector registers.
//!
//! A layer's tar is pushed to a sink while its trees are walked, so each layer that is being hashed
//! has a thread of its own that fills buffers; mostly it waits for the hashing thread to be done
//! with one. Layers are begun in their order. When none is left to begin, a hashing thread that
//! has nothing to do is given a layer of another one's, so that the large layers, which are left
//! in the end, are spread over all threads.

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{Builder, Scope};

use sha256_lanes::{Lanes, Message, State, padding};

use super::Work;
use crate::sink::{CopyError, Sink};
use crate::{Digest, Error, LayerDigest};

/// Bytes that are handed over at once.
const BUFFER: usize = 64 * 1024;

/// Buffers of a layer: one is filled while the other is hashed.
const BUFFERS: usize = 2;

/// Most layers at once: this bounds memory (128 KiB each) with any number of threads.
const MAX_LAYERS: usize = 128;

/// The work of all threads that hash in lanes.
pub(super) struct InLanes<'a> {
    work: &'a Work<'a>,
    lanes: Lanes,
    /// Most layers that a thread begins.
    width: usize,
    /// How many threads there are.
    threads: usize,
    exchange: Mutex<Exchange>,
    changed: Condvar,
}

/// Where layers pass from one thread to another.
#[derive(Default)]
struct Exchange {
    given: Vec<Running>,
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

impl<'a> InLanes<'a> {
    /// Decides whether to hash in lanes: not where there are so few layers for each thread that most
    /// lanes would be empty.
    pub(super) fn plan(work: &'a Work<'a>, lanes: Lanes, threads: usize) -> Option<Self> {
        let share = work.unknown.len().min(MAX_LAYERS).div_ceil(threads.max(1));
        let width = share.min(lanes.width());
        lanes.pays_for(width).then(|| Self {
            work,
            lanes,
            width,
            threads,
            exchange: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// The work of one thread.
    pub(super) fn run<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let mut running = Vec::with_capacity(self.width);
        loop {
            while running.len() < self.width
                && let Some(index) = self.work.next()
            {
                match self.begin(index, scope) {
                    Ok(layer) => running.push(layer),
                    // The system gives no more threads; this one is still there.
                    Err(_) => self.work.done(index, self.work.hash(index)),
                }
            }
            if running.is_empty() {
                match self.take() {
                    Some(layer) => running.push(layer),
                    None => return,
                }
            }
            self.give(&mut running);
            self.step(&mut running);
        }
    }

    /// Hashes what there is of all layers; drops those that end.
    fn step(&self, running: &mut Vec<Running>) {
        if self.work.cancelled.load(Ordering::Relaxed) {
            return running.clear();
        }
        running.retain_mut(|layer| match layer.receive() {
            Ok(None) => true,
            Ok(Some(digest)) => {
                self.work.done(layer.index, Ok(digest));
                false
            }
            Err(error) => {
                self.work.done(layer.index, Err(error));
                false
            }
        });
        let mut messages: Vec<_> = running.iter_mut().map(Running::message).collect();
        let count = self.lanes.compress(&mut messages);
        for layer in running {
            layer.taken += count * 64;
        }
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
                .and_then(|filler| self.work.write(index, filler))
                .and_then(|(filler, _)| filler.finish());
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
            self.changed.notify_one();
        }
    }

    /// Waits for a layer from another thread, until all have nothing to do.
    fn take(&self) -> Option<Running> {
        let mut exchange = self.lock();
        exchange.waiting += 1;
        loop {
            if let Some(layer) = exchange.given.pop() {
                exchange.waiting -= 1;
                return Some(layer);
            }
            if exchange.waiting == self.threads {
                self.changed.notify_all();
                return None;
            }
            exchange = self
                .changed
                .wait(exchange)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Waits for more to hash; gives the digest if there is no more.
    fn receive(&mut self) -> Result<Option<LayerDigest>, Error> {
        while self.taken == self.filled.bytes.len() {
            if let Some(size) = self.filled.end {
                return Ok(Some(LayerDigest {
                    diff_id: Digest::from_sha256(self.state.digest()),
                    size,
                }));
            }
            let used = std::mem::take(&mut self.filled).bytes;
            self.taken = 0;
            if !used.is_empty() {
                // The thread that fills is gone when it has handed over its last.
                let _ = self.empty.send(used);
            }
            // If it is gone without an error it has died of a panic, which will show.
            self.filled = self.full.recv().map_err(|_| Error::Cancelled)??;
        }
        Ok(None)
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
    fn new(full: Sender<Result<Filled, Error>>, empty: Receiver<Vec<u8>>) -> Result<Self, Error> {
        let buffer = empty.recv().map_err(|_| Error::Cancelled)?;
        Ok(Self {
            full,
            empty,
            buffer,
            filled: 0,
            length: 0,
        })
    }

    /// Room for some bytes at least.
    fn room(&mut self) -> Result<&mut [u8], Error> {
        if self.filled == self.buffer.len() {
            let bytes = std::mem::take(&mut self.buffer);
            self.send(bytes, None)?;
            self.buffer = self.empty.recv().map_err(|_| Error::Cancelled)?;
            self.filled = 0;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    fn send(&self, bytes: Vec<u8>, end: Option<u64>) -> Result<(), Error> {
        self.full
            .send(Ok(Filled { bytes, end }))
            .map_err(|_| Error::Cancelled)
    }

    /// Pads the tar to whole blocks, and hands over the rest.
    fn finish(mut self) -> Result<(), Error> {
        self.buffer.truncate(self.filled);
        self.buffer.extend(padding(self.length));
        let bytes = std::mem::take(&mut self.buffer);
        self.send(bytes, Some(self.length))
    }
}

impl Sink for Filler {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.room().map_err(io::Error::other)?;
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
            let room = self
                .room()
                .map_err(|error| CopyError::Write(io::Error::other(error)))?;
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
