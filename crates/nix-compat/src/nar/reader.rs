//! Reading a NAR from a stream.

use std::io::{self, BufRead, Read};

use super::entry::{Entry, Node};
use super::error::{NarError, Problem};
use super::limits::Limits;
use super::position::Position;
use super::strings::{MAGIC, padding};
use crate::shown::shown;

/// Longest of the format's own words.
const LONGEST_WORD: usize = MAGIC.len();

/// Reads one NAR, entry by entry.
///
/// ```
/// use nix_compat::nar::{Limits, Node, Reader};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut nar = nix_compat::nar::Writer::new(Vec::new());
/// # nar.file(b"", false, 5, &mut &b"hello"[..])?;
/// # let bytes = nar.finish()?;
/// let mut nar = Reader::new(bytes.as_slice(), Limits::default());
/// while let Some(entry) = nar.next_entry()? {
///     println!("{}", entry.path.escape_ascii());
///     if let Node::File { .. } = entry.node {
///         std::io::copy(&mut nar.contents(), &mut std::io::sink())?;
///     }
/// }
/// nar.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    offset: u64,
    position: Position,
    state: State,
    target: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was read.
    Start,
    /// In a directory, before its first or next entry.
    Directory,
    /// In the contents of a file.
    File { left: u64, padding: usize },
    /// After a whole node, but for the `)` of the entry around it.
    Node,
    /// The root has ended.
    End,
    /// An error was given.
    Failed,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`, which stands at the start of a NAR.
    pub fn new(input: R, limits: Limits) -> Self {
        Self {
            input,
            limits,
            offset: 0,
            position: Position::default(),
            state: State::Start,
            target: Vec::new(),
        }
    }

    /// The next entry; `None` after the last. What was not taken of the last file's contents is
    /// skipped.
    ///
    /// # Errors
    ///
    /// The input cannot be read, is cut off, or breaks a rule of the format or a limit.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, NarError> {
        match self.advance() {
            Ok(None) => Ok(None),
            Ok(Some(found)) => Ok(Some(Entry {
                path: self.position.path(),
                // A directory is open already when it is shown.
                depth: self.position.depth() - usize::from(found == Found::Directory),
                node: match found {
                    Found::Directory => Node::Directory,
                    Found::File { executable, size } => Node::File { executable, size },
                    Found::Symlink => Node::Symlink {
                        target: &self.target,
                    },
                },
            })),
            Err(problem) => Err(self.fail(problem)),
        }
    }

    /// The contents of the file that [`next_entry`](Self::next_entry) gave last: what is left of
    /// them. Nothing, if it was not a file.
    pub fn contents(&mut self) -> Contents<'_, R> {
        Contents { nar: self }
    }

    /// Ends the reading, and gives the input back.
    ///
    /// # Errors
    ///
    /// There are entries left, or bytes follow the archive.
    pub fn finish(mut self) -> Result<R, NarError> {
        if self.state != State::End {
            return Err(self.fail(Problem::Unfinished));
        }
        loop {
            match self.input.fill_buf() {
                Ok([]) => return Ok(self.input),
                Ok(_) => return Err(self.fail(Problem::Trailing)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail(Problem::Io(error))),
            }
        }
    }

    fn fail(&mut self, problem: Problem) -> NarError {
        self.state = State::Failed;
        NarError {
            offset: self.offset,
            path: self.position.path().to_vec(),
            problem,
        }
    }

    fn advance(&mut self) -> Result<Option<Found>, Problem> {
        match self.state {
            State::Start => {
                self.word(MAGIC, "a NAR's start")?;
                return self.node().map(Some);
            }
            State::File { left, padding } => {
                self.skip(left)?;
                self.zeros(padding)?;
                self.word(b")", "`)`")?;
                self.state = State::Node;
            }
            State::Directory | State::Node | State::End => {}
            State::Failed => return Err(Problem::Unfinished),
        }
        loop {
            if self.state == State::Node {
                if self.position.depth() == 0 {
                    self.state = State::End;
                } else {
                    self.word(b")", "`)`")?;
                    self.state = State::Directory;
                }
            }
            if self.state == State::End {
                return Ok(None);
            }
            if self.either(b")", b"entry", "`entry` or `)`")? {
                self.position.close();
                self.state = State::Node;
                continue;
            }
            self.word(b"(", "`(`")?;
            self.word(b"name", "`name`")?;
            let mut name = std::mem::take(&mut self.target);
            self.string("name", self.limits.name, &mut name)?;
            self.position.child(&name, &self.limits)?;
            self.target = name;
            self.word(b"node", "`node`")?;
            return self.node().map(Some);
        }
    }

    /// A node up to what its entry has to say: to the end for a link.
    fn node(&mut self) -> Result<Found, Problem> {
        self.word(b"(", "`(`")?;
        self.word(b"type", "`type`")?;
        let mut buffer = [0; LONGEST_WORD];
        match self.any_word(&mut buffer, "`directory`, `regular` or `symlink`")? {
            b"directory" => {
                self.position.open();
                self.state = State::Directory;
                Ok(Found::Directory)
            }
            b"regular" => {
                let executable = self.either(b"executable", b"contents", "`contents`")?;
                if executable {
                    self.word(b"", "an empty string")?;
                    self.word(b"contents", "`contents`")?;
                }
                let size = self.number()?;
                let most = self.limits.size.saturating_sub(self.offset);
                if size > most {
                    return Err(Problem::Length {
                        what: "file",
                        length: size,
                        most,
                    });
                }
                self.state = State::File {
                    left: size,
                    padding: padding(size),
                };
                Ok(Found::File { executable, size })
            }
            b"symlink" => {
                self.word(b"target", "`target`")?;
                let mut target = std::mem::take(&mut self.target);
                self.string("link target", self.limits.target, &mut target)?;
                if target.is_empty() || target.contains(&0) {
                    return Err(Problem::Target(shown(&target)));
                }
                self.target = target;
                self.word(b")", "`)`")?;
                self.state = State::Node;
                Ok(Found::Symlink)
            }
            other => Err(Problem::Word {
                expected: "`directory`, `regular` or `symlink`",
                found: shown(other),
            }),
        }
    }

    fn word(&mut self, word: &'static [u8], expected: &'static str) -> Result<(), Problem> {
        let mut buffer = [0; LONGEST_WORD];
        let found = self.any_word(&mut buffer, expected)?;
        if found == word {
            Ok(())
        } else {
            Err(Problem::Word {
                expected,
                found: shown(found),
            })
        }
    }

    /// Whether it is the first of two words.
    fn either(
        &mut self,
        first: &'static [u8],
        second: &'static [u8],
        expected: &'static str,
    ) -> Result<bool, Problem> {
        let mut buffer = [0; LONGEST_WORD];
        let found = self.any_word(&mut buffer, expected)?;
        if found == first {
            Ok(true)
        } else if found == second {
            Ok(false)
        } else {
            Err(Problem::Word {
                expected,
                found: shown(found),
            })
        }
    }

    fn any_word<'b>(
        &mut self,
        buffer: &'b mut [u8; LONGEST_WORD],
        expected: &'static str,
    ) -> Result<&'b [u8], Problem> {
        let length = self.number()?;
        let word = usize::try_from(length)
            .ok()
            .and_then(|length| buffer.get_mut(..length))
            .ok_or_else(|| Problem::Word {
                expected,
                found: format!("a string of {length} bytes"),
            })?;
        self.fill(word)?;
        self.zeros(padding(length))?;
        Ok(word)
    }

    /// A string whose length is limited, in place of what `into` held.
    fn string(
        &mut self,
        what: &'static str,
        most: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let length = self.number()?;
        if length > most as u64 {
            let most = most as u64;
            return Err(Problem::Length { what, length, most });
        }
        into.clear();
        into.resize(length as usize, 0);
        self.fill(into)?;
        self.zeros(padding(length))
    }

    fn number(&mut self) -> Result<u64, Problem> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn zeros(&mut self, count: usize) -> Result<(), Problem> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes[..count])?;
        if bytes == [0; 8] {
            Ok(())
        } else {
            Err(Problem::Padding)
        }
    }

    fn skip(&mut self, mut left: u64) -> Result<(), Problem> {
        while left > 0 {
            let here = match self.input.fill_buf() {
                Ok(here) => (here.len() as u64).min(left),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Problem::Io(error)),
            };
            if here == 0 {
                return Err(Problem::CutOff);
            }
            self.input.consume(here as usize);
            self.offset += here;
            left -= here;
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        if bytes.len() as u64 > self.limits.size.saturating_sub(self.offset) {
            return Err(Problem::TooLong(self.limits.size));
        }
        let mut filled = 0;
        while filled < bytes.len() {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) => return Err(Problem::CutOff),
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Problem::Io(error)),
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Directory,
    File { executable: bool, size: u64 },
    Symlink,
}

/// The contents of one file in a NAR. Ends with the file; an input that ends before is an error.
#[derive(Debug)]
pub struct Contents<'a, R> {
    nar: &'a mut Reader<R>,
}

impl<R: BufRead> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let State::File { left, padding } = self.nar.state else {
            return match self.nar.state {
                State::Failed => Err(self.nar.fail(Problem::Unfinished).into()),
                _ => Ok(0),
            };
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        match self.nar.input.read(&mut buffer[..most]) {
            Ok(0) => Err(self.nar.fail(Problem::CutOff).into()),
            Ok(count) => {
                self.nar.offset += count as u64;
                self.nar.state = State::File {
                    left: left - count as u64,
                    padding,
                };
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.nar.fail(Problem::Io(error)).into()),
        }
    }
}
