//! Writing a NAR to a stream.

use std::io::{self, Read, Write};

use super::error::{NarError, Problem};
use super::limits::Limits;
use super::position::Position;
use super::strings::{MAGIC, padding};
use crate::shown::shown;

/// Writes one NAR, entry by entry, in the order in which [`Reader`](super::Reader) gives them:
/// pre-order, siblings by the bytes of their names, paths below the root, which is empty itself.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    offset: u64,
    position: Position,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Open,
    Failed,
}

impl<W: Write> Writer<W> {
    /// Writes to `output`; many small writes are made, so it had better be buffered.
    pub fn new(output: W) -> Self {
        Self {
            output,
            offset: 0,
            position: Position::default(),
            state: State::Start,
        }
    }

    /// A directory: what follows may be in it.
    ///
    /// # Errors
    ///
    /// The entry is out of place or has a name that none can have, or the output failed; the same
    /// for the other methods.
    pub fn directory(&mut self, path: &[u8]) -> Result<(), NarError> {
        self.guarded(path, |nar| {
            nar.begin(path)?;
            nar.strings(&[b"(", b"type", b"directory"])?;
            nar.position.open();
            Ok(())
        })
    }

    /// A regular file with exactly `size` bytes of `contents`.
    ///
    /// # Errors
    ///
    /// As for [`directory`](Self::directory), and if the contents end before, or cannot be read.
    pub fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        size: u64,
        contents: &mut dyn Read,
    ) -> Result<(), NarError> {
        self.guarded(path, |nar| {
            nar.begin(path)?;
            nar.strings(&[b"(", b"type", b"regular"])?;
            if executable {
                nar.strings(&[b"executable", b""])?;
            }
            nar.string(b"contents")?;
            nar.bytes(&size.to_le_bytes())?;
            let copied =
                io::copy(&mut contents.take(size), &mut nar.output).map_err(Problem::Io)?;
            nar.offset += copied;
            if copied < size {
                return Err(Problem::CutOff);
            }
            nar.bytes(&[0; 8][..padding(size)])?;
            nar.string(b")")?;
            nar.end_entry()
        })
    }

    /// A symbolic link.
    ///
    /// # Errors
    ///
    /// As for [`directory`](Self::directory), and for a target that is empty or holds a NUL.
    pub fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), NarError> {
        self.guarded(path, |nar| {
            if target.is_empty() || target.contains(&0) {
                return Err(Problem::Target(shown(target)));
            }
            nar.begin(path)?;
            nar.strings(&[b"(", b"type", b"symlink", b"target", target, b")"])?;
            nar.end_entry()
        })
    }

    /// Ends the archive, and gives the output back, flushed.
    ///
    /// # Errors
    ///
    /// Nothing was written, or the output failed.
    pub fn finish(mut self) -> Result<W, NarError> {
        self.guarded(b"", |nar| {
            if nar.state == State::Start {
                return Err(Problem::Unfinished);
            }
            while nar.position.depth() > 0 {
                nar.end_directory()?;
            }
            nar.output.flush().map_err(Problem::Io)
        })?;
        Ok(self.output)
    }

    fn guarded(
        &mut self,
        path: &[u8],
        write: impl FnOnce(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), NarError> {
        let result = match self.state {
            State::Failed => Err(Problem::Unfinished),
            _ => write(self),
        };
        result.map_err(|problem| {
            self.state = State::Failed;
            NarError {
                offset: self.offset,
                path: path.to_vec(),
                problem,
            }
        })
    }

    /// Ends the directories that `path` is not in, and starts its entry.
    fn begin(&mut self, path: &[u8]) -> Result<(), Problem> {
        if self.state == State::Start {
            if !path.is_empty() {
                return Err(Problem::Misplaced);
            }
            self.state = State::Open;
            return self.string(MAGIC);
        }
        let name = loop {
            let directory = self.position.directory().ok_or(Problem::Misplaced)?;
            if directory.is_empty() {
                break path;
            }
            let inside = path
                .strip_prefix(directory)
                .and_then(|rest| rest.strip_prefix(b"/"));
            match inside {
                Some(name) => break name,
                None => self.end_directory()?,
            }
        };
        self.position.child(name, &Limits::default())?;
        self.strings(&[b"entry", b"(", b"name", name, b"node"])
    }

    fn end_directory(&mut self) -> Result<(), Problem> {
        self.position.close();
        self.string(b")")?;
        self.end_entry()
    }

    /// The root is in no entry.
    fn end_entry(&mut self) -> Result<(), Problem> {
        if self.position.depth() > 0 {
            self.string(b")")?;
        }
        Ok(())
    }

    fn strings(&mut self, strings: &[&[u8]]) -> Result<(), Problem> {
        strings.iter().try_for_each(|string| self.string(string))
    }

    fn string(&mut self, string: &[u8]) -> Result<(), Problem> {
        let length = string.len() as u64;
        self.bytes(&length.to_le_bytes())?;
        self.bytes(string)?;
        self.bytes(&[0; 8][..padding(length)])
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.output.write_all(bytes).map_err(Problem::Io)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
