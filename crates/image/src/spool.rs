//! Layers on disk, until an archive has named them.
//!
//! An archive has a layer's digest before its bytes. Where trees are dear to read, from a network
//! say, and where a layer is compressed, it is not made twice: it is put into a file while its digest
//! is taken, and written from there. The files have no name, so that nothing is left of them whatever
//! ends the program, and all together take no more room than they are given. A layer that finds no
//! room is made once more.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use oci::Digest;

use crate::error::Error;
use crate::sink::{CopyError, Sink};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 128 << 10;

/// Room is taken in steps of so many bytes.
const STEP: u64 = 1 << 20;

/// The layers of one image that are on disk. Shared between threads.
pub struct Spool {
    directory: PathBuf,
    /// Bytes that it may have at most.
    size: u64,
    /// Whether layers stay after they were taken, for others.
    is_shared: bool,
    /// The same, or what the directory has room for.
    room: OnceLock<u64>,
    /// Bytes that are taken.
    used: Arc<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    layers: BTreeMap<usize, (Digest, Arc<Spooled>)>,
    /// Layers for which there was no room, and whether they were made again.
    left_out: BTreeMap<usize, bool>,
}

/// Where layers and saved images are put: where `TMPDIR` says; else into `/var/tmp`, which is meant
/// for large files; else where temporary files go.
pub fn directory() -> PathBuf {
    let large = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && large.is_dir() {
        large.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// How many bytes temporary files may take in a directory: nine tenths of what is free. The rest is
/// left to other programs.
///
/// # Errors
///
/// The system does not tell.
pub fn room(directory: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(directory)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize) / 10 * 9)
}

impl Spool {
    /// An empty one, for at most `size` bytes; with 0, nothing is ever put on disk.
    pub fn new(size: u64) -> Self {
        Self {
            directory: directory(),
            size,
            is_shared: false,
            room: OnceLock::new(),
            used: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// The same for several archives of the image, which are written at the same time: layers stay until
    /// this is dropped.
    #[must_use]
    pub fn shared(self) -> Self {
        Self {
            is_shared: true,
            ..self
        }
    }

    /// The number of layers that were made twice, because there was no room to keep them.
    pub fn made_twice(&self) -> usize {
        let state = self.lock();
        state.left_out.values().filter(|again| **again).count()
    }

    /// Where the layers are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether nothing is ever put on disk.
    pub(crate) fn is_off(&self) -> bool {
        self.size == 0
    }

    /// Whether a layer is there, with this digest.
    pub(crate) fn has(&self, index: usize, digest: &Digest) -> bool {
        let state = self.lock();
        state
            .layers
            .get(&index)
            .is_some_and(|(found, _)| found == digest)
    }

    /// Takes a layer out, if it is there and has this digest.
    pub(crate) fn take(&self, index: usize, digest: &Digest) -> Option<Arc<Spooled>> {
        let mut state = self.lock();
        let (found, layer) = if self.is_shared {
            state.layers.get(&index)?.clone()
        } else {
            state.layers.remove(&index)?
        };
        (found == *digest).then_some(layer)
    }

    /// Drops the layers below one, which were written or are not needed.
    pub(crate) fn drop_below(&self, index: usize) {
        if !self.is_shared {
            let mut state = self.lock();
            state.layers = state.layers.split_off(&index);
        }
    }

    pub(crate) fn put(&self, index: usize, digest: Digest, layer: Spooled) {
        self.lock().layers.insert(index, (digest, Arc::new(layer)));
    }

    /// Notes that there was no room for a layer.
    pub(crate) fn leave_out(&self, index: usize) {
        if !self.is_off() {
            self.lock().left_out.entry(index).or_default();
        }
    }

    /// Notes that a layer is made now, for the second time if there was no room for it.
    pub(crate) fn making(&self, index: usize) {
        if let Some(again) = self.lock().left_out.get_mut(&index) {
            *again = true;
        }
    }

    /// Room for `bytes`, if there is any.
    pub(crate) fn hold(&self, bytes: u64) -> Option<Held> {
        let mut held = Held {
            used: Arc::clone(&self.used),
            bytes: 0,
        };
        self.grow(&mut held, bytes).then_some(held)
    }

    /// A file for a layer, with the room that is held for it already.
    ///
    /// # Errors
    ///
    /// There can be none.
    pub(crate) fn writer(&self, held: Held) -> Result<SpoolWriter<'_>, Error> {
        let file = (!self.is_off()).then(|| tempfile::tempfile_in(&self.directory));
        let file = file.transpose().map_err(|source| self.error(source))?;
        Ok(SpoolWriter {
            spool: self,
            file: file.map(|file| BufWriter::with_capacity(BUFFER, file)),
            held,
            size: 0,
        })
    }

    /// The error of a file that cannot be written or read.
    pub(crate) fn error(&self, source: io::Error) -> Error {
        Error::Spool {
            directory: self.directory.clone(),
            source,
        }
    }

    /// Tells what is free once, before anything is written: what others write meanwhile is theirs.
    fn room(&self) -> u64 {
        *self
            .room
            .get_or_init(|| room(&self.directory).map_or(0, |room| room.min(self.size)))
    }

    fn grow(&self, held: &mut Held, bytes: u64) -> bool {
        let room = self.room();
        let grown = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|used| *used <= room)
            });
        if grown.is_ok() {
            held.bytes += bytes;
        }
        grown.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room that is taken, until this is dropped.
pub(crate) struct Held {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Held {
    fn shrink_to(&mut self, bytes: u64) {
        let rest = self.bytes.saturating_sub(bytes);
        self.used.fetch_sub(rest, Ordering::Relaxed);
        self.bytes -= rest;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Puts a layer on disk. It takes all bytes, also where there is no room: nothing is kept then.
pub(crate) struct SpoolWriter<'a> {
    spool: &'a Spool,
    /// None where nothing is kept.
    file: Option<BufWriter<File>>,
    held: Held,
    size: u64,
}

impl SpoolWriter<'_> {
    /// The layer, if it was kept.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn finish(self) -> Result<Option<Spooled>, Error> {
        let Self {
            spool,
            file,
            mut held,
            size,
        } = self;
        held.shrink_to(size);
        let Some(file) = file else {
            return Ok(None);
        };
        let file = file.into_inner().map_err(|error| error.into_error());
        let mut file = file.map_err(|source| spool.error(source))?;
        file.rewind().map_err(|source| spool.error(source))?;
        Ok(Some(Spooled {
            directory: spool.directory.clone(),
            file,
            size,
            is_shared: spool.is_shared,
            _held: held,
        }))
    }
}

impl Write for SpoolWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else {
            return Ok(bytes.len());
        };
        let size = self.size + bytes.len() as u64;
        let lacking = size.saturating_sub(self.held.bytes);
        let spool = self.spool;
        if lacking > 0
            && !spool.grow(&mut self.held, lacking.max(STEP))
            && !spool.grow(&mut self.held, lacking)
        {
            // Its room is for others, at once.
            self.file = None;
            self.held.shrink_to(0);
            return Ok(bytes.len());
        }
        file.write_all(bytes)?;
        self.size = size;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A layer on disk.
pub(crate) struct Spooled {
    directory: PathBuf,
    file: File,
    size: u64,
    is_shared: bool,
    _held: Held,
}

impl Spooled {
    /// Its length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Writes the layer to `sink`; gives its length in bytes.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the sink cannot take it.
    pub(crate) fn write(&self, sink: &mut impl Sink) -> Result<u64, Error> {
        let copied = if self.is_shared {
            let mut reader = SharedReader {
                file: &self.file,
                at: 0,
            };
            sink.copy_stream(&mut reader, self.size)
        } else {
            sink.copy_file(&self.file, self.size)
        };
        copied.map_err(|error| match error {
            CopyError::Read(source) => Error::Spool {
                directory: self.directory.clone(),
                source,
            },
            CopyError::Write(stop) => stop.into(),
        })
    }
}

/// A file from its start, wherever others read it.
struct SharedReader<'a> {
    file: &'a File,
    at: u64,
}

impl Read for SharedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
