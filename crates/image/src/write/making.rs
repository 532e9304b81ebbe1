//! Blobs that are made by several threads before the archive names them.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::blob_writer::BlobWriters;
use crate::error::Error;
use crate::filling::Filling;
use crate::sink::Stop;

/// Layers whose blobs are made.
pub(super) struct Making<'a, 'i> {
    writers: &'a BlobWriters<'i>,
    /// The layers that are made, in order.
    wanted: Vec<usize>,
    /// For each layer of the image, whether it is still to be made.
    is_open: Vec<AtomicBool>,
    /// Whether a blob that is remembered may be written without being made before.
    believes: bool,
}

impl<'a, 'i> Making<'a, 'i> {
    /// Makes the blobs of the layers at `wanted`, in this order.
    pub(super) fn new(writers: &'a BlobWriters<'i>, wanted: Vec<usize>, believes: bool) -> Self {
        let all = 0..writers.table().len();
        Self {
            is_open: all
                .map(|index| AtomicBool::new(wanted.contains(&index)))
                .collect(),
            writers,
            wanted,
            believes,
        }
    }

    /// Runs `body` while threads make blobs and put them on disk.
    ///
    /// # Errors
    ///
    /// A layer cannot be read or kept, or `body` fails: the threads are stopped then.
    pub(super) fn run<T>(
        &self,
        filling: &Filling<'_>,
        body: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let writers = self.writers;
        let work = |index| self.make(index, filling);
        writers
            .schedule()
            .run(writers.at_once(), &self.wanted, work, body)
    }

    /// Waits until the blob of the layer at `index` is made, if it is to be.
    ///
    /// # Errors
    ///
    /// The work was stopped.
    pub(super) fn wait(&self, index: usize) -> Result<(), Stop> {
        let is_open = &self.is_open[index];
        let schedule = self.writers.schedule();
        schedule.wait_until(|| (!is_open.load(Ordering::Acquire)).then_some(()))
    }

    fn make(&self, index: usize, filling: &Filling<'_>) -> Result<(), Error> {
        let known = self.writers.table().blob(index);
        let expected = known.filter(|_| self.believes).map(|blob| blob.size);
        filling.fill(index, expected, |out| {
            let blob = self.writers.writer(index)?.write(out)?;
            Ok((blob.digest, ()))
        })?;
        self.is_open[index].store(false, Ordering::Release);
        self.writers.schedule().wake();
        Ok(())
    }
}
