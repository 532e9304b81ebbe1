//! Where bytes of layers go: into a hash, into an archive, into a blob.

use std::fs::File;
use std::io::{self, Read, Write};

use oci::Digest;
use sha256_lanes::Hasher;

/// Bytes that are read from a file, or hashed, at once. SHA-256 is as fast with 32 KiB as with any
/// more; this is a compromise with the number of system calls.
pub const BUFFER: usize = 128 * 1024;

/// Why a sink takes no more bytes.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Nobody wants them any more, mostly because another layer failed.
    #[error("stopped because another layer failed")]
    Cancelled,
    /// They cannot be written.
    #[error("cannot write")]
    Output(#[from] io::Error),
}

/// Takes the bytes of layers.
pub trait Sink {
    /// Whether bytes are of use; where only their number is, files are not opened and headers not made.
    const TAKES_CONTENTS: bool = true;

    /// Takes some bytes.
    ///
    /// # Errors
    ///
    /// See [`Stop`].
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop>;

    /// Takes `size` bytes from the start of a file. Gives the length that the file turned out to
    /// have where it is another.
    ///
    /// # Errors
    ///
    /// See [`CopyError`].
    fn copy_file(&mut self, file: &File, size: u64) -> Result<u64, CopyError> {
        self.copy_stream(&mut RegularFile::new(file, size), size)
    }

    /// Takes `size` bytes of a stream, which must end there. Gives the length that the stream
    /// turned out to have where it is another (for a longer one, one more than was asked for).
    ///
    /// # Errors
    ///
    /// See [`CopyError`].
    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError>;
}

/// Which side of a copy failed.
#[derive(Debug)]
pub enum CopyError {
    /// What is copied cannot be read.
    Read(io::Error),
    /// The sink takes no more.
    Write(Stop),
}

/// A file that is expected to have some length. A read that gives its last byte and leaves room in
/// the buffer has reached its end; for small files, to ask again would be a good part of the work.
pub(crate) struct RegularFile<'a> {
    file: &'a File,
    rest: Option<u64>,
}

impl<'a> RegularFile<'a> {
    pub(crate) fn new(file: &'a File, size: u64) -> Self {
        Self {
            file,
            rest: Some(size),
        }
    }
}

impl Read for RegularFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(rest) = self.rest else {
            return Ok(0);
        };
        let count = self.file.read(buffer)?;
        self.rest = match rest.checked_sub(count as u64) {
            Some(0) if count < buffer.len() => None,
            // A file that is longer than expected is read on, which shows it.
            rest => Some(rest.unwrap_or(u64::MAX)),
        };
        Ok(count)
    }
}

/// A sink for which lengths are enough.
pub struct LengthSink;

impl Sink for LengthSink {
    const TAKES_CONTENTS: bool = false;

    fn write(&mut self, _: &[u8]) -> Result<(), Stop> {
        Ok(())
    }

    fn copy_stream(&mut self, _: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        Ok(size)
    }
}

impl<S: Sink> Sink for &mut S {
    const TAKES_CONTENTS: bool = S::TAKES_CONTENTS;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        (**self).write(bytes)
    }

    fn copy_file(&mut self, file: &File, size: u64) -> Result<u64, CopyError> {
        (**self).copy_file(file, size)
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        (**self).copy_stream(stream, size)
    }
}

/// A sink for any writer, with a buffer for copies.
pub struct WriteSink<W> {
    writer: W,
    buffer: Box<[u8]>,
}

impl<W: Write> WriteSink<W> {
    /// Takes the writer; its writes are of at most [`BUFFER`] bytes.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            buffer: vec![0; BUFFER].into(),
        }
    }

    /// Gives the writer back.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

impl<W: Write> Sink for WriteSink<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        Ok(self.writer.write_all(bytes)?)
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        let Self { writer, buffer } = self;
        copy_exactly(stream, size, buffer, |bytes| Ok(writer.write_all(bytes)?))
    }
}

/// A sink that takes the digest of what goes through it into another. What it goes to, or comes from,
/// mostly takes one too.
pub struct HashingSink<'a, S> {
    sink: &'a mut S,
    hasher: Hasher,
    buffer: Box<[u8]>,
}

impl<'a, S: Sink> HashingSink<'a, S> {
    /// Puts itself before `sink`.
    pub fn new(sink: &'a mut S) -> Self {
        Self {
            sink,
            hasher: Hasher::default(),
            buffer: vec![0; BUFFER].into(),
        }
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        Digest::from_sha256(self.hasher.finish())
    }
}

impl<S: Sink> Sink for HashingSink<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.hasher.update(bytes);
        self.sink.write(bytes)
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        let Self {
            sink,
            hasher,
            buffer,
        } = self;
        copy_exactly(stream, size, buffer, |bytes| {
            hasher.update(bytes);
            sink.write(bytes)
        })
    }
}

/// Reads `size` bytes and one more, so that a stream of another length shows.
pub(crate) fn copy_exactly(
    stream: &mut dyn Read,
    size: u64,
    buffer: &mut [u8],
    mut write: impl FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<u64, CopyError> {
    let mut copied = 0;
    loop {
        let count = match stream.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        if count == 0 {
            return Ok(copied);
        }
        copied += count as u64;
        if copied > size {
            return Ok(copied);
        }
        write(&buffer[..count]).map_err(CopyError::Write)?;
    }
}
