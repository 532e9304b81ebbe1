//! The file that an archive is written to: a pipe, a regular file, a device.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::kernel_copy::KernelCopy;
use crate::sink::{CopyError, RegularFile, Sink, Stop};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 128 * 1024;

/// Files from this size on are sent by the kernel alone; below it, a read into the buffer costs
/// less than the calls.
const ZERO_COPY: u64 = 32 * 1024;

/// The maximum number of bytes asked of one call.
const CHUNK: usize = 1 << 30;

/// Writes bytes to a file descriptor; the data of large files goes there without passing through
/// this process, where the system can do that.
pub struct Output {
    file: File,
    /// How the kernel copies there; none where it cannot.
    kernel: Option<KernelCopy>,
    buffer: Box<[u8]>,
    filled: usize,
}

impl Output {
    /// Takes a file that is open for writing.
    ///
    /// # Errors
    ///
    /// The file's kind cannot be told.
    pub fn new(file: impl Into<OwnedFd>) -> io::Result<Self> {
        let file = File::from(file.into());
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        let kernel = KernelCopy::to(&file, kind);
        Ok(Self {
            file,
            kernel,
            buffer: vec![0; BUFFER].into(),
            filled: 0,
        })
    }

    /// Writes what is still gathered; gives the file.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<File> {
        self.flush()?;
        Ok(self.file)
    }

    fn flush(&mut self) -> io::Result<()> {
        use io::Write as _;
        self.file.write_all(&self.buffer[..self.filled])?;
        self.filled = 0;
        Ok(())
    }

    /// Sends `size` bytes of `file` by the kernel; gives how many it has sent when the file ends
    /// before, or `None`, with nothing sent, where the system cannot do it.
    fn send(&mut self, file: &File, size: u64) -> Result<Option<u64>, CopyError> {
        let Some(kernel) = self.kernel else {
            return Ok(None);
        };
        self.flush()
            .map_err(|error| CopyError::Write(error.into()))?;
        let mut sent = 0;
        while sent < size {
            let wanted = usize::try_from(size - sent).unwrap_or(CHUNK).min(CHUNK);
            match kernel.copy(file, &self.file, wanted) {
                Ok(0) => break,
                Ok(count) => sent += count as u64,
                Err(Errno::INTR) => {}
                Err(Errno::INVAL | Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::BADF)
                    if sent == 0 =>
                {
                    self.kernel = None;
                    return Ok(None);
                }
                // Reads of store files that fail are rare beside a reader that went away.
                Err(Errno::IO) => return Err(CopyError::Read(Errno::IO.into())),
                Err(error) => return Err(CopyError::Write(io::Error::from(error).into())),
            }
        }
        Ok(Some(sent))
    }
}

impl Sink for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            let count = rest.len().min(self.buffer.len() - self.filled);
            self.buffer[self.filled..self.filled + count].copy_from_slice(&rest[..count]);
            self.filled += count;
            rest = &rest[count..];
        }
        Ok(())
    }

    fn copy_file(&mut self, file: &File, size: u64) -> Result<u64, CopyError> {
        if size >= ZERO_COPY
            && let Some(sent) = self.send(file, size)?
        {
            if sent < size {
                return Ok(sent);
            }
            return file
                .metadata()
                .map(|metadata| metadata.len())
                .map_err(CopyError::Read);
        }
        self.copy_stream(&mut RegularFile::new(file, size), size)
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        let mut copied = 0;
        loop {
            if self.filled == self.buffer.len() {
                self.flush()
                    .map_err(|error| CopyError::Write(error.into()))?;
            }
            match stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    copied += count as u64;
                    if copied > size {
                        return Ok(copied);
                    }
                    self.filled += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CopyError::Read(error)),
            }
        }
        Ok(copied)
    }
}
