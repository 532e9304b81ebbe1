//! A layer's blob as a reader: a thread makes it while it is read.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use crate::blob_writer::{BlobWriter, BlobWriters};
use crate::error::Error;
use crate::layer_id::BlobId;

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
    /// The work was stopped.
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
        scope.spawn(move || make(writer, announced, sender));
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

struct PieceWriter {
    pieces: SyncSender<Piece>,
    piece: Vec<u8>,
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
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
