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
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::layer_id::TarId;
use crate::output::Output;
use crate::schedule::Schedule;
use crate::sink::{CopyError, HashingSink, Sink};

/// No further layer is started while those that were not written yet have as many bytes.
const MOST_BYTES: u64 = 512 << 20;

/// How many layers may wait for the writer, beside those that are being read.
const MOST_WAITING: usize = 2;

/// The layers on disk of one archive.
pub(crate) struct Spools<'a> {
    schedule: &'a Schedule,
    directory: PathBuf,
    /// The maximum number of layers that are started and not written.
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The layer that the writer is at.
    position: usize,
    /// Layers that are being read.
    started: usize,
    /// Layers that were read, and wait for the writer.
    ready: BTreeMap<usize, Spool>,
}

/// A layer on disk.
pub(crate) struct Spool {
    directory: PathBuf,
    file: File,
    size: u64,
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

impl<'a> Spools<'a> {
    /// Room for what `jobs` threads read, who share `schedule` with the writer.
    pub(crate) fn new(jobs: NonZeroUsize, schedule: &'a Schedule) -> Self {
        Self {
            schedule,
            directory: directory(),
            most: jobs.get() + MOST_WAITING,
            state: Mutex::default(),
        }
    }

    /// Puts a layer on disk with `write`, as soon as it is near enough to the writer.
    ///
    /// # Errors
    ///
    /// `write` fails, there is no room, or the work was stopped.
    pub(crate) fn fill(
        &self,
        index: usize,
        write: impl FnOnce(&mut HashingSink<'_, Output>) -> Result<u64, Error>,
    ) -> Result<TarId, Error> {
        // Layers are started in their order.
        self.schedule.wait_until(|| {
            let mut state = self.lock();
            let may_start = index <= state.position || state.has_room(self.most);
            may_start.then(|| state.started += 1)
        })?;
        let filled = self.filled(write);
        let mut state = self.lock();
        state.started -= 1;
        let (tar, file) = filled?;
        // The writer may have passed it by.
        if index >= state.position {
            let spool = Spool {
                directory: self.directory.clone(),
                file,
                size: tar.size,
            };
            state.ready.insert(index, spool);
        }
        drop(state);
        self.schedule.wake();
        Ok(tar)
    }

    fn filled(
        &self,
        write: impl FnOnce(&mut HashingSink<'_, Output>) -> Result<u64, Error>,
    ) -> Result<(TarId, File), Error> {
        let file = tempfile::tempfile_in(&self.directory).map_err(|error| self.error(error))?;
        let mut output = Output::new(file).map_err(|error| self.error(error))?;
        let mut sink = HashingSink::new(&mut output);
        let size = write(&mut sink).map_err(|error| match error {
            Error::Output(source) => self.error(source),
            error => error,
        })?;
        let digest = sink.finish();
        let mut file = output.finish().map_err(|error| self.error(error))?;
        file.rewind().map_err(|error| self.error(error))?;
        Ok((TarId { digest, size }, file))
    }

    /// Says that the writer is at this layer: those below are needed no more.
    pub(crate) fn advance_to(&self, index: usize) {
        let mut state = self.lock();
        state.position = index;
        state.ready = state.ready.split_off(&index);
        drop(state);
        self.schedule.wake();
    }

    /// Takes a layer, if it was put on disk.
    pub(crate) fn take(&self, index: usize) -> Option<Spool> {
        self.lock().ready.remove(&index)
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
                CopyError::Write(stop) => stop.into(),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix_compat::tree::{Contents, Opened, TreeError, Trees, Visit};
    use nix_compat::{StoreDir, StorePath};
    use oci::{Digest, DigestWriter};

    use super::*;
    use crate::bytes::compression::Compression;
    use crate::bytes::tar::{Owner, TarRules};
    use crate::layer_table::LayerTable;
    use crate::recipe::{Image, Layer, StoreLayer};
    use crate::sink::WriteSink;
    use crate::write::docker_archive::{self, Observer, Options};

    const LAYERS: usize = 20;

    /// Trees of one file, which count how often they are shown.
    struct Counted {
        is_cheap: bool,
        shown: AtomicUsize,
        broken: Option<usize>,
    }

    struct Bytes(Vec<u8>);

    impl Contents for Bytes {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn open(&mut self) -> Result<Opened<'_>, TreeError> {
            Ok(Opened::Stream(Box::new(self.0.as_slice())))
        }
    }

    fn path(number: usize) -> StorePath {
        let name = format!("{number:032}-path");
        StoreDir::default().parse_base_name(&name).unwrap()
    }

    impl Trees for Counted {
        fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
            self.shown.fetch_add(1, Ordering::Relaxed);
            let number: usize = path.hash().parse().unwrap();
            if self.broken == Some(number) {
                let path = path.as_str().into();
                return Err(TreeError::Kind { path });
            }
            let mut contents = Bytes(vec![number as u8; 10_000 * number]);
            visitor.file(path.as_str().as_bytes(), false, &mut contents)
        }

        fn rereads_cheaply(&self) -> bool {
            self.is_cheap
        }
    }

    struct Silent;

    impl Observer for Silent {
        fn layer(&mut self, _: usize, _: usize, _: &Layer<'_>, _: u64) {}
    }

    /// What came of writing an archive.
    struct Written {
        /// The layers' tars, or why there is no archive.
        tars: Result<Vec<TarId>, Error>,
        /// Digest of all bytes.
        digest: Digest,
        /// How many trees were shown.
        shown: usize,
    }

    /// Writes layers, some of which are remembered.
    fn write(
        remembered: impl Fn(usize) -> Option<TarId>,
        is_cheap: bool,
        broken: Option<usize>,
        jobs: usize,
    ) -> Written {
        let rules = TarRules {
            mtime: 1,
            owner: Owner::root(),
        };
        let layer = |number| StoreLayer {
            paths: vec![path(number)],
            tar: None,
        };
        let image = Image::of_layers(rules, (0..LAYERS).map(layer).collect());
        let table = LayerTable::new(&image, Compression::None).unwrap();
        for index in 0..LAYERS {
            if let Some(tar) = remembered(index) {
                table.remember_tar(index, tar);
            }
        }
        let trees = Counted {
            is_cheap,
            shown: AtomicUsize::new(0),
            broken,
        };
        let mut sink = WriteSink::new(DigestWriter::default());
        let options = Options {
            names: &["x:y".to_owned()],
            jobs: NonZeroUsize::new(jobs).unwrap(),
            verify: false,
            left_out: 0,
        };
        let written = docker_archive::write(&table, &trees, &mut sink, options, &mut Silent);
        let tars = written.map(|_| {
            let tars = (0..LAYERS).map(|index| table.tar(index).value().unwrap());
            tars.collect()
        });
        Written {
            tars,
            digest: sink.into_inner().finish().0,
            shown: trees.shown.into_inner(),
        }
    }

    #[test]
    fn what_is_dear_is_shown_once_and_gives_the_same_bytes() {
        let expected = write(|_| None, true, None, 3);
        assert_eq!(expected.shown, 2 * LAYERS);
        let tars = expected.tars.unwrap();
        let some = |number: usize| number.is_multiple_of(3).then(|| tars[number]);
        for jobs in [1, 2, 7] {
            for written in [
                write(|_| None, false, None, jobs),
                write(some, false, None, jobs),
                write(|number| Some(tars[number]), false, None, jobs),
            ] {
                written.tars.unwrap();
                assert_eq!(written.digest, expected.digest, "{jobs}");
                assert_eq!(written.shown, LAYERS, "{jobs}");
            }
        }
    }

    #[test]
    fn what_is_remembered_wrongly_is_hashed() {
        let expected = write(|_| None, true, None, 3);
        let wrong = |number: usize| TarId {
            digest: Digest::of(&[]),
            size: number as u64,
        };
        let written = write(|number| Some(wrong(number)), true, None, 3);
        assert_eq!(written.tars.unwrap(), expected.tars.unwrap());
        assert_eq!(written.digest, expected.digest);
    }

    #[test]
    fn an_error_ends_all_that_wait() {
        for broken in [0, 7, LAYERS - 1] {
            for jobs in [1, 4] {
                let written = write(|_| None, false, Some(broken), jobs);
                let error = written.tars.unwrap_err().to_string();
                assert!(error.contains(path(broken).as_str()), "{error}");
            }
        }
    }

    #[test]
    fn few_layers_wait_at_a_time() {
        let schedule = Schedule::default();
        let spools = Spools::new(NonZeroUsize::MIN, &schedule);
        let last = 3 + MOST_WAITING;
        let fill = |index| {
            let tar = spools.fill(index, |sink| {
                Sink::write(sink, b"layer")?;
                Ok(5)
            })?;
            assert_eq!(tar.digest, Digest::of(b"layer"));
            Ok(())
        };
        let indices: Vec<usize> = (0..last).collect();
        let written = schedule.run(NonZeroUsize::MIN, &indices, fill, || {
            for index in 0..last {
                spools.advance_to(index);
                let spool = schedule.wait_until(|| {
                    let state = spools.lock();
                    assert!(state.started + state.ready.len() <= 1 + MOST_WAITING);
                    drop(state);
                    spools.take(index)
                })?;
                let mut sink = WriteSink::new(DigestWriter::default());
                assert_eq!(spool.write(&mut sink)?, 5);
                assert_eq!(sink.into_inner().finish().0, Digest::of(b"layer"));
            }
            Ok(())
        });
        written.unwrap();
        schedule.stop();
        let stopped = spools.fill(9 + MOST_WAITING, |_| Ok(0));
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
