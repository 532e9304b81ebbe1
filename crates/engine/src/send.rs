//! An archive on its way: one thread writes it, another hands it to the engine.

use std::io::{self, PipeReader, Read};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder};

use image::Output;

use crate::error::Error;
use crate::observer::Observer;

/// Lets `upload` send what `write` writes. Returns what `write` returns, or `None` if the engine
/// stopped reading before the end.
pub(crate) fn send<T>(
    upload: impl FnOnce(Archive<'_>) -> Result<(), Error> + Send,
    observer: &dyn Observer,
    write: impl FnOnce(&mut Output) -> Result<T, image::Error>,
) -> Result<Option<T>, Error> {
    let (reader, writer) = io::pipe().map_err(Error::Pipe)?;
    let mut output = Output::new(writer).map_err(Error::Pipe)?;
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        let archive = Archive {
            pipe: reader,
            failed: &failed,
            observer,
        };
        let upload = Builder::new()
            .spawn_scoped(scope, || upload(archive))
            .map_err(Error::Thread)?;
        let written = write(&mut output);
        // Before the pipe's end is seen: what was written until then is not to be taken for whole.
        failed.store(written.is_err(), Ordering::Release);
        let finished = output.finish();
        let written = written.and_then(|value| match finished {
            Ok(_) => Ok(value),
            Err(error) => Err(image::Error::Output(error)),
        });
        let loaded = upload.join().unwrap_or_else(|panic| resume_unwind(panic));
        match written {
            Ok(value) => loaded.map(|()| Some(value)),
            // The engine's end of the pipe was closed first: its own words say why.
            Err(image::Error::Output(_)) => loaded.map(|()| None),
            Err(error) => Err(error.into()),
        }
    })
}

/// The reading end. It fails where what was written until then is not whole.
pub(crate) struct Archive<'a> {
    pipe: PipeReader,
    failed: &'a AtomicBool,
    observer: &'a dyn Observer,
}

impl Read for Archive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.pipe.read(buffer)?;
        if count == 0 && self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("the image is not whole"));
        }
        self.observer.bytes(count as u64);
        Ok(count)
    }
}
