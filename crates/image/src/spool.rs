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

/// Where layers are put: where `TMPDIR` says; else into `/var/tmp`, which is meant for large files;
/// else where temporary files go.
pub(crate) fn directory() -> PathBuf {
    let large = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && large.is_dir() {
        large.to_owned()
    } else {
        std::env::temp_dir()
    }
}

impl Spools {
    /// Room for what `jobs` threads read.
    pub(crate) fn new(jobs: NonZeroUsize) -> Self {
        Self {
            directory: directory(),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix_compat::tree::{Contents, Opened, TreeError, Trees, Visit};
    use nix_compat::{StoreDir, StorePath};
    use serde_json::json;

    use super::*;
    use crate::docker_archive::{self, Observer, Options, Summary};
    use crate::root_links::RootLinks;
    use crate::sink::WriteSink;
    use crate::tar::{Owner, TarRules};
    use crate::time::Timestamp;
    use crate::{Digest, Image, Layer, Promise, Root, StoreLayer};
    use oci::DigestWriter;

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
        fn layer(&mut self, _: usize, _: usize, _: &Layer<'_>, _: &LayerDigest) {}
    }

    fn image(promise: impl Fn(usize) -> Option<Promise>) -> Image {
        let layer = |number| StoreLayer {
            paths: vec![path(number)],
            promise: promise(number),
        };
        Image {
            architecture: "amd64".to_owned(),
            config: json!({}),
            created: Timestamp::NIX,
            rules: TarRules {
                mtime: 1,
                owner: Owner::root(),
            },
            base: None,
            store_layers: (0..LAYERS).map(layer).collect(),
            root: Root::Links(RootLinks::default()),
            repo_tags: vec!["x:y".to_owned()],
        }
    }

    /// Writes it; gives what it has come to, the digest of all bytes, and how many trees were shown.
    fn write(
        image: &Image,
        is_cheap: bool,
        broken: Option<usize>,
        jobs: usize,
    ) -> (Result<(Summary, Digest), Error>, usize) {
        let trees = Counted {
            is_cheap,
            shown: AtomicUsize::new(0),
            broken,
        };
        let mut sink = WriteSink::new(DigestWriter::default());
        let options = Options {
            jobs: NonZeroUsize::new(jobs).unwrap(),
            verify: false,
            left_out: 0,
        };
        let written = docker_archive::write(image, &trees, &mut sink, options, &mut Silent);
        let digest = sink.into_inner().finish().0;
        let shown = trees.shown.into_inner();
        (written.map(|summary| (summary, digest)), shown)
    }

    #[test]
    fn what_is_dear_is_shown_once_and_gives_the_same_bytes() {
        let (expected, shown) = write(&image(|_| None), true, None, 3);
        let (summary, expected) = expected.unwrap();
        assert_eq!(shown, 2 * LAYERS);
        let remembered = |number: usize| Promise::Remembered(summary.layers[number]);
        for jobs in [1, 2, 7] {
            for image in [
                image(|_| None),
                image(|number| (number % 3 == 0).then(|| remembered(number))),
                image(|number| Some(remembered(number))),
            ] {
                let (written, shown) = write(&image, false, None, jobs);
                assert_eq!(written.unwrap().1, expected, "{jobs}");
                assert_eq!(shown, LAYERS, "{jobs}");
            }
        }
    }

    #[test]
    fn an_error_ends_all_that_wait() {
        for broken in [0, 7, LAYERS - 1] {
            for jobs in [1, 4] {
                let (written, _) = write(&image(|_| None), false, Some(broken), jobs);
                let error = written.unwrap_err().to_string();
                assert!(error.contains(path(broken).as_str()), "{error}");
            }
        }
    }

    #[test]
    fn few_layers_wait_at_a_time() {
        let spools = Spools::new(NonZeroUsize::MIN);
        let fill = |index| {
            spools.fill(index, |sink| {
                Sink::write(sink, b"layer").map_err(Error::Output)?;
                Ok(5)
            })
        };
        std::thread::scope(|scope| {
            let last = 3 + MOST_WAITING;
            let filler = scope.spawn(move || (0..last).map(fill).collect::<Result<Vec<_>, _>>());
            for index in 0..last {
                spools.reach(index);
                let spool = loop {
                    let state = spools.lock();
                    assert!(state.started + state.ready.len() <= 1 + MOST_WAITING);
                    if !state.ready.contains_key(&index) {
                        drop(spools.changed.wait(state).unwrap());
                        continue;
                    }
                    drop(state);
                    break spools.take(index).unwrap();
                };
                let mut sink = WriteSink::new(DigestWriter::default());
                assert_eq!(spool.write(&mut sink).unwrap(), 5);
                assert_eq!(sink.into_inner().finish().0, Digest::of(b"layer"));
            }
            assert_eq!(filler.join().unwrap().unwrap().len(), last);
        });
        spools.stop();
        let stopped = spools.fill(9 + MOST_WAITING, |_| Ok(0));
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
