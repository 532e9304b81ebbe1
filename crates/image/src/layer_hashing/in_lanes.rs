//! Many layers hashed at once, in the lanes of vector registers or in turn with SHA instructions.
//!
//! A layer's tar is pushed to a sink while its trees are walked, so each layer that is being hashed
//! has a thread that fills buffers. There are as many of them for each processor as there are lanes;
//! a [`Meeting`] has them hashed.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci::Digest;
use sha256_lanes::{Block, Lanes, State, padding};

use super::hashing::Hashing;
use super::meeting::{Meeting, Presence};
use crate::error::Error;
use crate::layer_id::TarId;
use crate::sink::{CopyError, Sink, Stop};

/// Bytes of all buffers together, about; each thread has two. Where there are few threads, theirs are
/// larger, which saves them from waking one another.
const BUFFERS: usize = 8 << 20;

/// Smallest and largest buffer, in bytes.
const BUFFER: RangeInclusive<usize> = 64 << 10..=256 << 10;

/// Bytes that SHA-256 takes at once.
const BLOCK: usize = size_of::<Block>();

/// The maximum number of layers at once: this bounds memory (two buffers each) with any number of
/// processors.
const MAX_LAYERS: usize = 128;

/// The work of all threads that hash in lanes.
pub(super) struct InLanes<'a> {
    hashing: &'a Hashing<'a>,
    meeting: Meeting<'a>,
    /// How many threads there are.
    threads: NonZeroUsize,
    /// Bytes that are hashed at once: whole blocks.
    buffer: usize,
    /// The layers in the order in which they are begun.
    order: Vec<usize>,
    /// How many of them were begun.
    begun: AtomicUsize,
}

impl<'a> InLanes<'a> {
    /// Decides whether to hash in lanes: not where there are so few layers for each processor that
    /// most lanes would be empty.
    pub(super) fn plan(hashing: &'a Hashing<'a>, lanes: Lanes, jobs: NonZeroUsize) -> Option<Self> {
        let layers = hashing.wanted.len();
        let share = layers.min(MAX_LAYERS).div_ceil(jobs.get());
        let threads = jobs.get().saturating_mul(lanes.width());
        let threads = NonZeroUsize::new(threads.min(layers).min(MAX_LAYERS))?;
        lanes.pays_for(share).then(|| Self {
            hashing,
            meeting: Meeting::new(lanes, hashing.schedule),
            threads,
            buffer: (BUFFERS / 2 / threads).clamp(*BUFFER.start(), *BUFFER.end()) / BLOCK * BLOCK,
            order: hashing.by_need(threads.get()),
            begun: AtomicUsize::new(0),
        })
    }

    /// How many threads read, and hash.
    pub(super) fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// The work of one thread.
    pub(super) fn run(&self) -> Result<(), Error> {
        while let Some(index) = self.next()? {
            let filler = Filler::new(&self.meeting, index, self.buffer);
            let (filler, _) = self.hashing.write(index, filler)?;
            self.hashing.done(index, filler.finish()?)?;
        }
        Ok(())
    }

    /// The next layer that has to be read.
    fn next(&self) -> Result<Option<usize>, Error> {
        while !self.hashing.schedule.is_stopped() {
            let place = self.begun.fetch_add(1, Ordering::Relaxed);
            let Some(&index) = self.order.get(place) else {
                return Ok(None);
            };
            if !self.hashing.is_as_remembered(index)? {
                return Ok(Some(index));
            }
            self.hashing.close(index);
        }
        Err(Error::Cancelled)
    }
}

/// A sink that fills buffers, and has them hashed with those of other layers.
struct Filler<'a> {
    meeting: &'a Meeting<'a>,
    index: usize,
    buffer: Vec<u8>,
    filled: usize,
    /// The other buffer and the hash so far, unless they are away to be hashed.
    spare: Option<(Vec<u8>, State)>,
    length: u64,
    _presence: Presence<'a>,
}

impl<'a> Filler<'a> {
    fn new(meeting: &'a Meeting<'a>, index: usize, buffer: usize) -> Self {
        Self {
            _presence: meeting.enter(index),
            meeting,
            index,
            buffer: vec![0; buffer],
            filled: 0,
            spare: Some((vec![0; buffer], State::default())),
            length: 0,
        }
    }

    /// Room for some bytes at least.
    fn room(&mut self) -> Result<&mut [u8], Stop> {
        if self.filled == self.buffer.len() {
            let (spare, state) = self.spare()?;
            let full = std::mem::replace(&mut self.buffer, spare);
            self.filled = 0;
            self.meeting.bring(self.index, state, full);
        }
        Ok(&mut self.buffer[self.filled..])
    }

    /// The spare buffer and the hash of all that was full.
    fn spare(&mut self) -> Result<(Vec<u8>, State), Stop> {
        match self.spare.take() {
            Some(spare) => Ok(spare),
            None => {
                let hashed = self.meeting.take(self.index)?;
                Ok((hashed.bytes, hashed.state))
            }
        }
    }

    /// Pads the tar to whole blocks, and has the rest hashed.
    fn finish(mut self) -> Result<TarId, Stop> {
        let (_, state) = self.spare()?;
        self.buffer.truncate(self.filled);
        self.buffer.extend(padding(self.length));
        let rest = std::mem::take(&mut self.buffer);
        self.meeting.bring(self.index, state, rest);
        let hashed = self.meeting.take(self.index)?;
        Ok(TarId {
            digest: Digest::from_sha256(hashed.state.digest()),
            size: self.length,
        })
    }
}

impl Sink for Filler<'_> {
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
