//! Parts of several layers' tars that wait to be hashed at once, by one thread.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};

use nix_compat::tree::Stamp;
use sha256_lanes::{Block, Lanes, Message, State, padding};

/// Bytes of a file that are read at once: those of all layers stay in the nearer caches.
pub(super) const BUFFER: usize = 64 << 10;

/// Bytes that SHA-256 takes at once.
const BLOCK: usize = size_of::<Block>();

/// What waits of each layer that a thread hashes.
pub(super) struct Ahead {
    lanes: Lanes,
    queues: Vec<Queue>,
}

/// What waits of one layer.
pub(super) struct Queue {
    layer: usize,
    state: State,
    /// Bytes from `taken` to `filled` are hashed next.
    buffer: Vec<u8>,
    taken: usize,
    filled: usize,
    pieces: VecDeque<Piece>,
    /// Bytes in memory that wait, and files.
    bytes: usize,
    files: usize,
    is_as_found: bool,
}

enum Piece {
    Bytes(Vec<u8>),
    File {
        file: File,
        stamp: Stamp,
        /// Bytes that were read.
        read: u64,
    },
}

impl Ahead {
    pub(super) fn new(lanes: Lanes) -> Self {
        Self {
            lanes,
            queues: Vec::new(),
        }
    }

    /// Begins with a layer.
    pub(super) fn begin(&mut self, layer: usize) {
        self.queues.push(Queue {
            layer,
            state: State::default(),
            buffer: vec![0; BUFFER],
            taken: 0,
            filled: 0,
            pieces: VecDeque::new(),
            bytes: 0,
            files: 0,
            is_as_found: true,
        });
    }

    /// Ends with a layer; gives the hash of all that was hashed of it, unless a file was not as it was
    /// when it was found.
    pub(super) fn end(&mut self, layer: usize) -> Option<State> {
        let at = self.queues.iter().position(|queue| queue.layer == layer);
        let queue = self.queues.swap_remove(at?);
        queue.is_as_found.then_some(queue.state)
    }

    /// What waits of a layer that was begun.
    pub(super) fn of(&mut self, layer: usize) -> Option<&mut Queue> {
        self.queues.iter_mut().find(|queue| queue.layer == layer)
    }

    /// Hashes something of each layer of which something waits.
    pub(super) fn hash(&mut self) {
        let mut ready: Vec<_> = self.queues.iter_mut().filter_map(Queue::fill).collect();
        let mut messages: Vec<_> = ready.iter_mut().map(|queue| queue.message()).collect();
        let blocks = self.lanes.compress(&mut messages);
        for queue in ready {
            queue.taken += blocks * BLOCK;
        }
    }
}

impl Queue {
    /// Adds bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            Some(Piece::Bytes(last)) if last.len() < BUFFER => last.extend_from_slice(bytes),
            _ => self.pieces.push_back(Piece::Bytes(bytes.to_vec())),
        }
    }

    /// Adds what ends a message of so many bytes.
    pub(super) fn end(&mut self, length: u64) {
        self.write(&padding(length).collect::<Vec<u8>>());
    }

    /// Adds a file, which is opened a second time.
    pub(super) fn file(&mut self, file: &File) -> io::Result<u64> {
        let stamp = Stamp::of(&file.metadata()?);
        let file = file.try_clone()?;
        self.files += 1;
        self.pieces.push_back(Piece::File {
            file,
            stamp,
            read: 0,
        });
        Ok(stamp.size)
    }

    /// Whether more waits than these.
    pub(super) fn exceeds(&self, bytes: usize, files: usize) -> bool {
        self.bytes > bytes || self.files > files
    }

    /// Whether nothing waits that makes a block.
    pub(super) fn is_empty(&mut self) -> bool {
        self.fill().is_none()
    }

    /// Fills the buffer, if it has no block; none if there is none.
    fn fill(&mut self) -> Option<&mut Self> {
        while self.filled - self.taken < BLOCK {
            let piece = self.pieces.front_mut()?;
            self.buffer.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
            let room = &mut self.buffer[self.filled..];
            match piece {
                Piece::Bytes(bytes) => {
                    let count = bytes.len().min(room.len());
                    room[..count].copy_from_slice(&bytes[..count]);
                    self.filled += count;
                    self.bytes -= count;
                    if count == bytes.len() {
                        self.pieces.pop_front();
                    } else {
                        bytes.drain(..count);
                    }
                }
                Piece::File { file, stamp, read } => {
                    let count = match file.read(room) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        result => result.unwrap_or(0),
                    };
                    self.filled += count;
                    *read += count as u64;
                    // A read that gives the last byte and leaves room has reached the end.
                    let is_end = count == 0 || *read == stamp.size && count < room.len();
                    if is_end || *read > stamp.size {
                        let now = file.metadata().map(|metadata| Stamp::of(&metadata));
                        self.is_as_found &= *read == stamp.size && now.ok() == Some(*stamp);
                        self.files -= 1;
                        self.pieces.pop_front();
                    }
                }
            }
        }
        Some(self)
    }

    fn message(&mut self) -> Message<'_> {
        Message {
            state: &mut self.state,
            blocks: self.buffer[self.taken..self.filled].as_chunks().0,
        }
    }
}
