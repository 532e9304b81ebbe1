//! The file of an archive: how it is compressed, and reading from any place of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use super::archive_source::ArchiveSource;

/// What xz may take for its dictionary, in bytes: its highest level takes 65 MiB. zstd's own limit
/// is 128 MiB, its highest level's; the others cannot ask for more than 4 MiB.
const XZ_MEMORY: u64 = 80 << 20;

/// How an archive is compressed. Wider than [`crate::Compression`]: others write these too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveCompression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

/// Why compressed bytes are none.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be decompressed: {0}")]
pub(super) struct DecompressError(io::Error);

impl ArchiveCompression {
    /// Tells it by a file's first bytes.
    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }

    /// Tells it by the file's first bytes.
    pub(super) fn of_file(source: &ArchiveSource) -> io::Result<Self> {
        let mut start = Vec::new();
        source.open()?.take(6).read_to_end(&mut start)?;
        Ok(Self::of(&start))
    }
}

/// A reader that can go to any place: by seeking in a plain file, by reading on or from the start
/// again in a compressed one.
pub(super) struct ArchiveFile {
    source: ArchiveSource,
    compression: ArchiveCompression,
    reader: PositionedReader,
    position: u64,
}

enum PositionedReader {
    Plain(File),
    Compressed(Decompressed),
}

struct Decompressed(Box<dyn Read + Send>);

impl ArchiveFile {
    /// Opens it at its start, to be read as what it was before it was compressed.
    pub(super) fn open(
        source: &ArchiveSource,
        compression: ArchiveCompression,
    ) -> io::Result<Self> {
        let file = source.open()?;
        let compressed = |reader| PositionedReader::Compressed(Decompressed(reader));
        let reader = match compression {
            ArchiveCompression::None => PositionedReader::Plain(file),
            ArchiveCompression::Gzip => {
                compressed(Box::new(flate2::read::MultiGzDecoder::new(file)))
            }
            ArchiveCompression::Zstd => compressed(Box::new(zstd::Decoder::new(file)?)),
            ArchiveCompression::Bzip2 => {
                compressed(Box::new(bzip2::read::MultiBzDecoder::new(file)))
            }
            ArchiveCompression::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                compressed(Box::new(XzDecoder::new_stream(file, stream)))
            }
        };
        Ok(Self {
            source: source.clone(),
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
            *self = Self::open(&self.source, self.compression)?;
        }
        let skip = offset - self.position;
        io::copy(&mut self.take(skip), &mut io::sink())?;
        Ok(())
    }
}

impl Read for ArchiveFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.reader {
            PositionedReader::Plain(file) => file.read(buffer)?,
            PositionedReader::Compressed(reader) => reader.read(buffer)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            io::Error::new(error.kind(), DecompressError(error))
        })
    }
}
