//! An archive of whole files, one member after the other.

use super::{BLOCK, Kind, Member, Owner, PaxRecords, end_of_archive, padding, write_header};
use crate::sink::{Sink, Stop};

/// Writes members to a sink; their contents are written to the sink itself, between
/// [`begin`](Self::begin) and [`end`](Self::end).
pub struct ArchiveWriter<'a, S> {
    sink: &'a mut S,
    mtime: i64,
    written: u64,
}

impl<'a, S: Sink> ArchiveWriter<'a, S> {
    /// Starts an archive, whose members belong to nobody who is named.
    pub fn new(sink: &'a mut S, mtime: i64) -> Self {
        Self {
            sink,
            mtime,
            written: 0,
        }
    }

    /// Where a member's contents are written to.
    pub fn sink(&mut self) -> &mut S {
        self.sink
    }

    /// Starts a file of `size` bytes.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn begin(&mut self, name: &str, size: u64) -> Result<(), Stop> {
        let owner = Owner::without_names();
        self.begin_member(&Member {
            name: name.as_bytes(),
            kind: Kind::File(size),
            mode: 0o644,
            mtime: self.mtime,
            owner: &owner,
            pax: PaxRecords::new(),
        })
    }

    /// Starts a member of any kind; one without contents needs no [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn begin_member(&mut self, member: &Member<'_>) -> Result<(), Stop> {
        let mut header = Vec::new();
        write_header(&mut header, member);
        self.written += header.len() as u64;
        self.sink.write(&header)
    }

    /// Ends a file whose `size` bytes are written.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn end(&mut self, size: u64) -> Result<(), Stop> {
        self.written += size;
        self.zeros(padding(size, BLOCK))
    }

    /// Writes a whole file.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn file(&mut self, name: &str, contents: &[u8]) -> Result<(), Stop> {
        let size = contents.len() as u64;
        self.begin(name, size)?;
        self.sink.write(contents)?;
        self.end(size)
    }

    /// Ends the archive; gives its length in bytes.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn finish(mut self) -> Result<u64, Stop> {
        self.zeros(end_of_archive(self.written))?;
        Ok(self.written)
    }

    fn zeros(&mut self, count: u64) -> Result<(), Stop> {
        self.written += count;
        // At most the two blocks and the record that end an archive.
        self.sink.write(&vec![0; count as usize])
    }
}
