//! Several layers hashed at once by each thread, in turn with SHA instructions or in the lanes of
//! vector registers.
//!
//! A layer's tar is pushed to a sink while its trees are walked. So a thread walks through a store path
//! of one layer, whose small files and headers it keeps and whose large files it only opens, then
//! through one of the next layer; then it reads and hashes what it has of all of them. No thread waits
//! for another, and what is read stays in its core's caches.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix_compat::StorePath;
use nix_compat::tree::Visit;
use oci::Digest;
use sha256_lanes::Lanes;

use super::ahead::{Ahead, BUFFER, Queue};
use super::hashing::Hashing;
use crate::bytes::own_layer::begin_store_layer;
use crate::bytes::tar::LayerTar;
use crate::error::Error;
use crate::layer_id::TarId;
use crate::recipe::{Layer, OwnLayer};
use crate::sink::{CopyError, RegularFile, Sink, Stop, copy_exactly};

/// Bytes that wait to be hashed, of all layers together.
const MOST_BYTES: usize = 16 << 20;

/// Files that are open until they are hashed, of all layers together: a process may have 1,024.
const MOST_FILES: usize = 256;

/// Smaller files are read when they are found.
const LARGE: u64 = 32 << 10;

/// The work of all threads that hash in lanes.
pub(super) struct InLanes<'a> {
    hashing: &'a Hashing<'a>,
    lanes: Lanes,
    /// The maximum number of layers that a thread hashes at once.
    width: usize,
    /// How many threads there are.
    threads: usize,
    /// The layers in the order in which they are begun.
    order: Vec<usize>,
    /// How many of them were begun.
    begun: AtomicUsize,
}

impl<'a> InLanes<'a> {
    /// Decides whether to hash in lanes: not where there are so few layers for each thread that most
    /// lanes would be empty.
    pub(super) fn plan(hashing: &'a Hashing<'a>, lanes: Lanes, jobs: NonZeroUsize) -> Option<Self> {
        let layers = hashing.wanted.len();
        let threads = jobs.get().min(layers).max(1);
        let width = layers.div_ceil(threads).min(lanes.width());
        lanes.pays_for(width).then(|| Self {
            hashing,
            lanes,
            width,
            threads,
            order: hashing.by_need(threads * width),
            begun: AtomicUsize::new(0),
        })
    }

    /// How many threads hash.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// The work of one thread.
    pub(super) fn run(&self) -> Result<(), Error> {
        let ahead = RefCell::new(Ahead::new(self.lanes));
        let mut walks = Vec::with_capacity(self.width);
        loop {
            while walks.len() < self.width
                && let Some(index) = self.next()?
            {
                match self.hashing.table.layer(index) {
                    Layer::Own(OwnLayer::Store(layer)) => {
                        walks.push(self.begin(index, &layer.paths, &ahead)?);
                    }
                    // No tree is walked for the root, and it is short.
                    _ => self.hashing.done(index, self.hashing.hash(index)?)?,
                }
            }
            if walks.is_empty() {
                return Ok(());
            }
            let mut at = 0;
            while let Some(walk) = walks.get_mut(at) {
                if self.is_ahead(walk, &ahead)? {
                    at += 1;
                } else {
                    self.end(walks.remove(at), &ahead)?;
                }
            }
            if walks.len() == self.width || self.is_last() {
                self.check()?;
                ahead.borrow_mut().hash();
            }
        }
    }

    fn begin<'s>(
        &'s self,
        layer: usize,
        paths: &'s [StorePath],
        ahead: &'s RefCell<Ahead>,
    ) -> Result<Walk<'s>, Error> {
        ahead.borrow_mut().begin(layer);
        let sink = AheadSink {
            in_lanes: self,
            layer,
            ahead,
        };
        let rules = &self.hashing.table.image().rules;
        Ok(Walk {
            layer,
            paths: paths.iter(),
            tar: Some(begin_store_layer(sink, rules)?),
            length: 0,
        })
    }

    /// Walks on until there is something to hash of a layer; tells whether there is.
    fn is_ahead(&self, walk: &mut Walk<'_>, ahead: &RefCell<Ahead>) -> Result<bool, Error> {
        let has_some = || {
            let mut ahead = ahead.borrow_mut();
            ahead.of(walk.layer).is_some_and(|queue| !queue.is_empty())
        };
        while !has_some() {
            let Some(tar) = &mut walk.tar else {
                return Ok(false);
            };
            if let Some(path) = walk.paths.next() {
                self.hashing.trees.visit(path, tar as &mut dyn Visit)?;
            } else if let Some(mut tar) = walk.tar.take() {
                let seen = tar.take_seen();
                walk.length = tar.finish()?.1;
                self.hashing.table.saw(walk.layer, seen);
                if let Some(queue) = ahead.borrow_mut().of(walk.layer) {
                    queue.end(walk.length);
                }
            }
        }
        Ok(true)
    }

    /// Takes what a layer was found to be.
    fn end(&self, walk: Walk<'_>, ahead: &RefCell<Ahead>) -> Result<(), Error> {
        let state = ahead.borrow_mut().end(walk.layer);
        let tar = match state {
            Some(state) => TarId {
                digest: Digest::from_sha256(state.digest()),
                size: walk.length,
            },
            // A file changed between its being found and read: this says which, if it still does.
            None => self.hashing.hash(walk.layer)?,
        };
        self.hashing.done(walk.layer, tar)
    }

    /// Whether there is no further layer to begin.
    fn is_last(&self) -> bool {
        self.begun.load(Ordering::Relaxed) >= self.order.len()
    }

    fn check(&self) -> Result<(), Stop> {
        if self.hashing.schedule.is_stopped() {
            Err(Stop::Cancelled)
        } else {
            Ok(())
        }
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

/// A layer whose trees are walked through, one after the other.
struct Walk<'a> {
    layer: usize,
    paths: slice::Iter<'a, StorePath>,
    /// None once all was walked through.
    tar: Option<LayerTar<'a, AheadSink<'a>>>,
    /// Of the tar, in bytes, then.
    length: u64,
}

/// A sink that puts aside what is to be hashed, up to a bound.
struct AheadSink<'a> {
    in_lanes: &'a InLanes<'a>,
    layer: usize,
    ahead: &'a RefCell<Ahead>,
}

impl AheadSink<'_> {
    /// Puts something aside. If that is too much, hashes some of it, with what there is of other layers.
    fn put<T>(&self, put: impl FnOnce(&mut Queue) -> io::Result<T>) -> Result<T, Stop> {
        let mut ahead = self.ahead.borrow_mut();
        let Some(queue) = ahead.of(self.layer) else {
            return Err(Stop::Cancelled);
        };
        let result = put(queue)?;
        let layers = self.in_lanes.threads * self.in_lanes.width;
        let (bytes, files) = (MOST_BYTES / layers, MOST_FILES / layers);
        while let Some(queue) = ahead.of(self.layer)
            && queue.exceeds(bytes, files)
        {
            self.in_lanes.check()?;
            ahead.hash();
        }
        Ok(result)
    }
}

impl Sink for AheadSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.put(|queue| {
            queue.write(bytes);
            Ok(())
        })
    }

    fn copy_file(&mut self, file: &File, size: u64) -> Result<u64, CopyError> {
        if size >= LARGE {
            // Where no more files can be open, this one is read now.
            if let Ok(length) = self.put(|queue| queue.file(file)) {
                return Ok(length);
            }
        }
        self.copy_stream(&mut RegularFile::new(file, size), size)
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        let mut buffer = vec![0; usize::try_from(size).map_or(BUFFER, |size| BUFFER.min(size + 1))];
        copy_exactly(stream, size, &mut buffer, |bytes| self.write(bytes))
    }
}
