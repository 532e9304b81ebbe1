//! gzip: independent members of 1 MiB each, which threads compress at the same time and which are
//! written in order. Any reader of gzip takes several members for one text.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, sync_channel};

use libdeflater::{CompressionLvl, Compressor};
use rayon::ThreadPool;

use crate::threads;

/// Bytes of a member before compression. It reaches the bytes.
const MEMBER: usize = 1 << 20;

/// Compresses what is written.
pub struct Encoder<W> {
    writer: W,
    level: CompressionLvl,
    member: Vec<u8>,
    is_empty: bool,
    /// Not the process's own pool: who writes may be one of its threads, and waits for these.
    pool: ThreadPool,
    /// Results in the order in which they are to be written.
    results: VecDeque<Receiver<io::Result<Vec<u8>>>>,
}

impl<W: Write> Encoder<W> {
    /// Starts the threads.
    pub fn new(writer: W, level: i32, threads: NonZeroUsize) -> io::Result<Self> {
        let level = CompressionLvl::new(level)
            .map_err(|_| io::Error::other("libdeflate has no such level"))?;
        Ok(Self {
            writer,
            level,
            member: Vec::with_capacity(MEMBER),
            is_empty: true,
            pool: threads::pool(threads, "gzip")?,
            results: VecDeque::new(),
        })
    }

    /// Compresses the rest, and writes everything that is not yet written.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.member.is_empty() || self.is_empty {
            self.send()?;
        }
        while !self.results.is_empty() {
            self.receive()?;
        }
        Ok(self.writer)
    }

    fn send(&mut self) -> io::Result<()> {
        // As much is under way as keeps the threads busy, and no more.
        while self.results.len() >= 2 * self.pool.current_num_threads() {
            self.receive()?;
        }
        let member = std::mem::replace(&mut self.member, Vec::with_capacity(MEMBER));
        let (result, receiver) = sync_channel(1);
        let level = self.level;
        self.pool.spawn_fifo(move || {
            // Nobody waits for it once the writer has failed.
            let _ = result.send(compress(level, &member));
        });
        self.results.push_back(receiver);
        self.is_empty = false;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let Some(result) = self.results.pop_front() else {
            return Ok(());
        };
        let compressed = result
            .recv()
            .map_err(|_| io::Error::other("a thread that compresses has died"))??;
        self.writer.write_all(&compressed)
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(MEMBER - self.member.len());
        self.member.extend_from_slice(&bytes[..count]);
        if self.member.len() == MEMBER {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One member: libdeflate writes its header without name and time.
fn compress(level: CompressionLvl, member: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(level);
    let mut compressed = vec![0; compressor.gzip_compress_bound(member.len())];
    let length = compressor
        .gzip_compress(member, &mut compressed)
        .map_err(io::Error::other)?;
    compressed.truncate(length);
    compressed.shrink_to_fit();
    Ok(compressed)
}
