//! The bytes of a blob on their way into a request.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blob::Blob;
use crate::progress::Meter;

/// A reader of the blob, and how far it is.
pub(super) struct Source<'a> {
    blob: &'a dyn Blob,
    stop: &'a AtomicBool,
    /// None before the first byte and after the last, so that what the blob holds while it is read
    /// is free for others.
    reader: Option<BufReader<Box<dyn Read + 'a>>>,
    /// Bytes that were read.
    at: u64,
}

impl<'a> Source<'a> {
    pub(super) fn new(blob: &'a dyn Blob, stop: &'a AtomicBool) -> Self {
        Self {
            blob,
            stop,
            reader: None,
            at: 0,
        }
    }

    /// Bytes of the blob that were read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Goes to `offset`, with the reader at hand or another one, and waits until there is
    /// something to read.
    pub(super) fn go_to(&mut self, offset: u64) -> io::Result<()> {
        if self.reader.is_none() || self.at != offset {
            self.reopen()?;
            if self.skip(offset)? < offset {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it is shorter than when it was read before",
                ));
            }
        }
        if let Some(reader) = &mut self.reader {
            retry_interrupted(|| reader.fill_buf().map(<[u8]>::len))?;
        }
        Ok(())
    }

    /// Reads to the end, so that the blob becomes known.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        if self.reader.is_none() {
            self.reopen()?;
        }
        self.skip(u64::MAX)?;
        self.reader = None;
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        // The old one goes first: it may hold what the new one needs.
        self.reader = None;
        self.at = 0;
        self.reader = Some(BufReader::with_capacity(64 << 10, self.blob.open()?));
        Ok(())
    }

    /// Reads up to `bytes` bytes and forgets them.
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let mut buffer = vec![0; 64 << 10];
        let mut skipped = 0;
        while skipped < bytes {
            match self.read_some(&mut buffer, Some(bytes - skipped))? {
                0 => break,
                read => skipped += read as u64,
            }
        }
        Ok(skipped)
    }

    /// Reads some bytes, but no more than `most` of them.
    fn read_some(&mut self, buffer: &mut [u8], most: Option<u64>) -> io::Result<usize> {
        let most = most.map_or(buffer.len(), |most| {
            buffer
                .len()
                .min(usize::try_from(most).unwrap_or(usize::MAX))
        });
        let Some(reader) = self.reader.as_mut().filter(|_| most > 0) else {
            return Ok(0);
        };
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        let read = retry_interrupted(|| reader.read(&mut buffer[..most]))?;
        self.at += read as u64;
        Ok(read)
    }
}

fn retry_interrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The blob ended after this many bytes, before it should have.
#[derive(Debug, thiserror::Error)]
#[error("it ended after {0} bytes")]
pub(super) struct EndedEarly(pub(super) u64);

/// The body of a request, as the connection reads it.
pub(super) struct Body<'s, 'a> {
    pub(super) source: &'s mut Source<'a>,
    /// Bytes still to be sent, where their number is known.
    pub(super) left: Option<u64>,
    pub(super) meter: &'s mut Meter<'a>,
    /// The blob's size in bytes, where it is known.
    pub(super) size: Option<u64>,
    /// What the blob's reader said.
    pub(super) failed: Option<io::Error>,
}

impl Body<'_, '_> {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read_some(buffer, self.left)?;
        if read == 0 && !buffer.is_empty() {
            match self.left {
                None => self.source.reader = None,
                Some(0) => {}
                Some(_) => return Err(io::Error::other(EndedEarly(self.source.at))),
            }
        }
        Ok(read)
    }
}

impl Read for Body<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.next(buffer) {
            Ok(read) => {
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
