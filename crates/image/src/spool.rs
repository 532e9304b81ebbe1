//! Layers on disk, between the threads that read and hash them and the one that writes the archive.
//!
//! An archive has a layer's digest before its bytes. Where trees are dear to read, from a network
//! say, a layer is not read twice: it is put into a file while it is hashed, and written from there.
//! The files have no name, so that nothing is left of them whatever ends the program, and there are
//! few of them at any time: threads that are too far ahead of the writer wait.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::sink::{CopyError, HashingSink, Sink};
use crate::{Error, LayerDigest, Output};

/// No further layer is started while those that were not written yet have as many bytes.
const MOST_BYTES: u64 = 512 << 20;

/// How many layers may wait for the writer, beside those that are being read.
const MOST_WAITING: usize = 2;

/// The layers on disk of one archive.
pub(crate) struct Spools {
    directory: PathBuf,
    /// Most layers that are started and not written.
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The layer that the writer is at.
    position: usize,
    /// Layers that are being read.
    started: usize,
    /// Layers that were read, and wait for the writer.
    ready: BTreeMap<usize, Spool>,
    stopped: bool,
}

/// A layer on disk.
pub(crate) struct Spool {
    directory: PathBuf,
    file: File,
    size: u64,
}

impl Spools {
    /// Room for what `jobs` threads read. The files are put where `TMPDIR` says; else into
    /// `/var/tmp`, which is meant for large ones; else where temporary files go.
    pub(crate) fn new(jobs: NonZeroUsize) -> Self {
        let large = Path::new("/var/tmp");
        let directory = if std::env::var_os("TMPDIR").is_none() && large.is_dir() {
            large.to_owned()
        } else {
            std::env::temp_dir()
        };
        Self {
            directory,
            most: jobs.get() + MOST_WAITING,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Puts a layer on disk with `write`, as soon as it is near enough to the writer.
    ///
    /// # Errors
    ///
    /// `write` fails, there is no room, or the writer has stopped.
    pub(crate) fn fill(
        &self,
        index: usize,
        write: impl FnOnce(&mut HashingSink<'_, Output>) -> Result<u64, Error>,
    ) -> Result<LayerDigest, Error> {
        self.start(index)?;
        let filled = self.filled(write);
        let mut state = self.lock();
        state.started -= 1;
        let (digest, file) = filled?;
        // The writer may have passed it by.
        if index >= state.position {
            let spool = Spool {
                directory: self.directory.clone(),
                file,
                size: digest.size,
            };
            state.ready.insert(index, spool);
        }
        self.changed.notify_all();
        Ok(digest)
    }

    /// Waits until a layer may be started. Layers are started in their order.
    fn start(&self, index: usize) -> Result<(), Error> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Err(Error::Cancelled);
            }
            if index <= state.position || state.has_room(self.most) {
                state.started += 1;
                return Ok(());
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn filled(
        &self,
        write: impl FnOnce(&mut HashingSink<'_, Output>) -> Result<u64, Error>,
    ) -> Result<(LayerDigest, File), Error> {
        let file = tempfile::tempfile_in(&self.directory).map_err(|error| self.error(error))?;
        let mut output = Output::new(file).map_err(|error| self.error(error))?;
        let mut sink = HashingSink::new(&mut output);
        let size = write(&mut sink).map_err(|error| match error {
            Error::Output(source) => self.error(source),
            error => error,
        })?;
        let diff_id = sink.finish();
        let mut file = output.finish().map_err(|error| self.error(error))?;
        file.rewind().map_err(|error| self.error(error))?;
        Ok((LayerDigest { diff_id, size }, file))
    }

    /// Says that the writer is at this layer: those below are needed no more.
    pub(crate) fn reach(&self, index: usize) {
        let mut state = self.lock();
        state.position = index;
        state.ready = state.ready.split_off(&index);
        self.changed.notify_all();
    }

    /// Takes a layer, if it was put on disk.
    pub(crate) fn take(&self, index: usize) -> Option<Spool> {
        self.lock().ready.remove(&index)
    }

    /// Lets nobody wait any more.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Spool {
            directory: self.directory.clone(),
            source,
        }
    }
}

impl State {
    fn has_room(&self, most: usize) -> bool {
        let waiting: u64 = self.ready.values().map(|spool| spool.size).sum();
        self.started + self.ready.len() < most && waiting < MOST_BYTES
    }
}

impl Spool {
    /// Writes the layer to `sink`; gives its length in bytes.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the sink cannot take it.
    pub(crate) fn write(&self, sink: &mut impl Sink) -> Result<u64, Error> {
        sink.copy_file(&self.file, self.size)
            .map_err(|error| match error {
                CopyError::Read(source) => Error::Spool {
                    directory: self.directory.clone(),
                    source,
                },
                CopyError::Write(source) => Error::from_sink(source),
            })
    }
}
