//! The file of a docker-archive: how it is compressed, and reading from any place of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How an archive is compressed. Wider than [`crate::Compression`]: others write these too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveCompression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl ArchiveCompression {
    /// Tells it by the file's first bytes.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut magic = Vec::new();
        File::open(path)?.take(6).read_to_end(&mut magic)?;
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            _ => Self::None,
        })
    }

    /// Opens the file, to be read as what it was before it was compressed.
    pub(super) fn open(self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(path)?;
        Ok(match self {
            Self::None => Box::new(file),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Self::Zstd => Box::new(zstd::Decoder::new(file)?),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(file)),
            Self::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)),
        })
    }
}

/// A reader that can go to any place: by seeking in a plain file, by reading on or from the start
/// again in a compressed one.
pub(super) struct ArchiveFile<'a> {
    path: &'a Path,
    compression: ArchiveCompression,
    reader: PositionedReader,
    position: u64,
}

enum PositionedReader {
    Plain(File),
    Compressed(Box<dyn Read + Send>),
}

impl<'a> ArchiveFile<'a> {
    /// Opens it at its start.
    pub(super) fn open(path: &'a Path, compression: ArchiveCompression) -> io::Result<Self> {
        let reader = match compression {
            ArchiveCompression::None => PositionedReader::Plain(File::open(path)?),
            _ => PositionedReader::Compressed(compression.open(path)?),
        };
        Ok(Self {
            path,
            compression,
            reader,
            position: 0,
        })
    }

    /// Goes to this many bytes from the start.
    pub(super) fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        if let PositionedReader::Plain(file) = &mut self.reader {
            file.seek(SeekFrom::Start(offset))?;
            self.position = offset;
            return Ok(());
        }
        if offset < self.position {
            *self = Self::open(self.path, self.compression)?;
        }
        let skip = offset - self.position;
        io::copy(&mut self.take(skip), &mut io::sink())?;
        Ok(())
    }
}

impl Read for ArchiveFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.reader {
            PositionedReader::Plain(file) => file.read(buffer)?,
            PositionedReader::Compressed(reader) => reader.read(buffer)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}
