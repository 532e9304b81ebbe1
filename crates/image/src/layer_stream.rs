//! A layer's blob as a reader: a thread makes it while it is read.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

use crate::blob_writer::{BlobWriter, BlobWriters};
use crate::error::Error;
use crate::layer_id::BlobId;
use crate::threads;

/// Bytes that are handed over at once.
const PIECE: usize = 128 << 10;

/// Pieces that are made ahead of the reader.
const AHEAD: usize = 4;

/// The bytes of a blob, as they are made. Where the layer cannot be read, or is not what it was
/// announced to be, the last read is an error. When it is dropped, its thread ends.
pub struct LayerStream {
    pieces: Receiver<Piece>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

enum Piece {
    Bytes(Vec<u8>),
    /// The blob is whole.
    End,
    Failed(Error),
}

impl<'i> BlobWriters<'i> {
    /// Starts to make a layer's blob, as soon as that is permitted: a request that is opened after
    /// this need not wait for its bytes. Once the blob was read to its end, the table knows it.
    ///
    /// # Errors
    ///
    /// The work was stopped, or the system gives no more threads.
    pub fn stream<'scope, 'env>(
        &'env self,
        index: usize,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Result<LayerStream, Error>
    where
        'i: 'env,
    {
        let writer = self.writer(index)?;
        let announced = self.table().blob(index);
        let (sender, pieces) = sync_channel(AHEAD);
        Builder::new()
            .spawn_scoped(scope, move || make(writer, announced, sender))
            .map_err(|_| Error::Threads(threads::none_to_start()))?;
        Ok(LayerStream {
            pieces,
            piece: Vec::new(),
            at: 0,
            ended: false,
        })
    }
}

fn make(writer: BlobWriter<'_, '_>, announced: Option<BlobId>, pieces: SyncSender<Piece>) {
    let mut out = PieceWriter {
        pieces,
        piece: Vec::with_capacity(PIECE),
        left: announced.map_or(u64::MAX, |blob| blob.size),
    };
    let result = match announced {
        Some(announced) => writer.write_announced(announced, &mut out),
        None => writer.write(&mut out).map(|_| ()),
    };
    let result = result.and_then(|()| out.send().map_err(Error::Output));
    // Nobody waits for it where the reader was dropped.
    let _ = out.pieces.send(match result {
        Ok(()) => Piece::End,
        Err(error) => Piece::Failed(error),
    });
}

impl Read for LayerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.ended && !buffer.is_empty() {
            match self.pieces.recv() {
                Ok(Piece::Bytes(piece)) => {
                    self.piece = piece;
                    self.at = 0;
                }
                Ok(Piece::End) => self.ended = true,
                Ok(Piece::Failed(error)) => return Err(io::Error::other(error)),
                Err(_) => return Err(io::Error::other("the thread that makes it has died")),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Hands a piece over only when the next one begins, or when the blob is whole and as it was
/// announced. So a reader that wants no more than the announced bytes never has them all of a wrong blob.
struct PieceWriter {
    pieces: SyncSender<Piece>,
    piece: Vec<u8>,
    /// Bytes of what was announced that are still to come.
    left: u64,
}

impl PieceWriter {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.pieces
            .send(Piece::Bytes(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            // Longer than it was announced to be. Nobody wants it, but it is still to be known.
            return Ok(bytes.len());
        }
        if self.piece.len() == PIECE {
            self.send()?;
        }
        let count = bytes.len().min(PIECE - self.piece.len());
        let count = count.min(usize::try_from(self.left).unwrap_or(count));
        self.piece.extend_from_slice(&bytes[..count]);
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use nix_compat::tree::{Contents, Opened, TreeError, Trees, Visit};
    use nix_compat::{StoreDir, StorePath};
    use oci::Digest;

    use super::*;
    use crate::bytes::compression::Compression;
    use crate::bytes::tar::{Owner, TarRules};
    use crate::layer_id::TarId;
    use crate::layer_table::{Fact, LayerTable};
    use crate::recipe::{Image, StoreLayer};

    const LAYERS: usize = 12;

    /// Bytes of each path: more than a stream makes ahead of its reader.
    const SIZE: usize = 1 << 20;

    /// Trees of one file, which count how often they are read.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    struct Zeros;

    impl Contents for Zeros {
        fn size(&self) -> u64 {
            SIZE as u64
        }

        fn open(&mut self) -> Result<Opened<'_>, TreeError> {
            Ok(Opened::Stream(Box::new(io::repeat(0).take(SIZE as u64))))
        }
    }

    impl Trees for Counted {
        fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            visitor.file(path.as_str().as_bytes(), false, &mut Zeros)
        }
    }

    fn image() -> Image {
        let layer = |number| StoreLayer {
            paths: vec![
                StoreDir::default()
                    .parse_base_name(&format!("{number:032}-path"))
                    .unwrap(),
            ],
            size: 0,
            tar: None,
        };
        let rules = TarRules {
            mtime: 1,
            owner: Owner::root(),
        };
        Image::of_layers(rules, (0..LAYERS).map(layer).collect())
    }

    /// As a push does it: more threads than permits, each of which opens a stream and reads it.
    #[test]
    fn as_many_streams_are_open_as_there_are_permits_and_each_layer_is_read_once() {
        let image = image();
        let table = LayerTable::new(&image, Compression::None).unwrap();
        let trees = Counted::default();
        let permits = 2;
        let writers = BlobWriters::new(&table, &trees, NonZeroUsize::new(permits).unwrap());
        let (next, open, most) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        thread::scope(|scope| {
            let work = || {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    if index >= LAYERS {
                        return;
                    }
                    let mut stream = writers.stream(index, scope).unwrap();
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let mut first = [0; 1];
                    stream.read_exact(&mut first).unwrap();
                    // Most of it is still to be made. When that is done, the permit goes to another.
                    open.fetch_sub(1, Ordering::SeqCst);
                    io::copy(&mut stream, &mut io::sink()).unwrap();
                }
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
        });
        assert!(most.into_inner() <= permits);
        assert_eq!(trees.0.into_inner(), LAYERS);
        assert!((0..LAYERS).all(|index| table.blob(index).is_some()));
    }

    #[test]
    fn a_stream_that_is_dropped_gives_its_permit_back() {
        let image = image();
        let table = LayerTable::new(&image, Compression::None).unwrap();
        let trees = Counted::default();
        let writers = BlobWriters::new(&table, &trees, NonZeroUsize::MIN);
        thread::scope(|scope| {
            for index in 0..LAYERS {
                let mut stream = writers.stream(index, scope).unwrap();
                stream.read_exact(&mut [0; 1]).unwrap();
            }
        });
    }

    /// A registry was asked for the blob by what was remembered of it.
    #[test]
    fn a_blob_that_is_not_what_was_announced_is_an_error_and_known_better_afterwards() {
        let image = image();
        let table = LayerTable::new(&image, Compression::None).unwrap();
        let trees = Counted::default();
        let writers = BlobWriters::new(&table, &trees, NonZeroUsize::MIN);
        let wrong = TarId {
            digest: Digest::of(&[]),
            size: 1,
        };
        table.remember_tar(0, wrong);
        thread::scope(|scope| {
            let mut stream = writers.stream(0, scope).unwrap();
            let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
            assert!(error.to_string().contains("layer cache says"), "{error}");
        });
        assert!(matches!(table.tar(0), Fact::Made(_)));
    }
}
