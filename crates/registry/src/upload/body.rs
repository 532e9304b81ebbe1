//! The bytes of a blob on their way into a request.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::progress::Meter;

/// A reader of the blob, and how far it is.
pub(crate) struct Source<'a> {
    reader: Option<Box<dyn Read + 'a>>,
    /// Bytes that were read.
    pub(crate) at: u64,
}

impl<'a> Source<'a> {
    pub(crate) fn new() -> Self {
        Self {
            reader: None,
            at: 0,
        }
    }

    /// Goes to `offset`: with the reader at hand, or another one.
    pub(crate) fn go_to(
        &mut self,
        offset: u64,
        open: impl FnOnce() -> io::Result<Box<dyn Read + 'a>>,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let reader = match &mut self.reader {
            Some(_) if self.at == offset => return Ok(()),
            reader => {
                // The old one goes first: it may hold what the new one needs.
                *reader = None;
                reader.insert(open()?)
            }
        };
        let skipped = skip(&mut **reader, offset, stop)?;
        self.at = skipped;
        if skipped < offset {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it is shorter than when it was read before",
            ));
        }
        Ok(())
    }
}

/// Reads up to `bytes` bytes and forgets them.
pub(crate) fn skip(reader: &mut dyn Read, bytes: u64, stop: &AtomicBool) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut skipped = 0;
    while skipped < bytes {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        let most = buffer
            .len()
            .min(usize::try_from(bytes - skipped).unwrap_or(usize::MAX));
        match reader.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(read) => skipped += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(skipped)
}

/// The blob ended after so many bytes, before it should have.
#[derive(Debug, thiserror::Error)]
#[error("it ended after {0} bytes")]
pub(crate) struct EndedEarly(pub(crate) u64);

/// The body of a request, as the connection reads it.
pub(crate) struct Outgoing<'s, 'a> {
    pub(crate) source: &'s mut Source<'a>,
    /// Bytes still to be sent, where their number is known.
    pub(crate) left: Option<u64>,
    pub(crate) stop: &'s AtomicBool,
    pub(crate) meter: &'s mut Meter<'a>,
    pub(crate) size: Option<u64>,
    /// What the blob's reader said.
    pub(crate) failed: Option<io::Error>,
}

impl Outgoing<'_, '_> {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left.map_or(buffer.len(), |left| {
            buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        let Some(reader) = self.source.reader.as_mut().filter(|_| most > 0) else {
            return Ok(0);
        };
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        loop {
            match reader.read(&mut buffer[..most]) {
                Ok(0) if self.left.is_some() => {
                    return Err(io::Error::other(EndedEarly(self.source.at)));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Read for Outgoing<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.next(buffer) {
            Ok(read) => {
                self.source.at += read as u64;
                if let Some(left) = &mut self.left {
                    *left -= read as u64;
                }
                if read > 0 {
                    self.meter.sending(self.source.at, self.size);
                }
                Ok(read)
            }
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the blob could not be read"))
            }
        }
    }
}
