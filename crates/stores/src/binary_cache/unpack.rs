//! Showing the tree of a NAR while it is read.
//!
//! A NAR has siblings in the order of their bytes, a visitor wants them in that of their characters
//! ([`sibling_order`]). The two are the same but for names that are not UTF-8, or have characters
//! from U+E000 on. From the first such name of a directory on, the directory's rest is put into a
//! temporary file, and shown from there in the right order: whatever was shown before stands before
//! all of it in both orders. Nothing else of a NAR is kept.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use nix_compat::StorePath;
use nix_compat::nar::{Limits, NarError, Node, Reader};
use nix_compat::tree::{Contents, Opened, TreeError, Visit, sibling_order};

/// Why a NAR could not be shown whole.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It could not be read.
    Nar(io::Error),
    /// The temporary file failed.
    Spool(io::Error),
    /// The visitor did not go on.
    Visitor(TreeError),
}

impl From<NarError> for Stopped {
    fn from(error: NarError) -> Self {
        Self::Nar(error.into())
    }
}

impl From<TreeError> for Stopped {
    fn from(error: TreeError) -> Self {
        Self::Visitor(error)
    }
}

/// Shows the tree of the NAR that `input` has from its start to its end.
pub(super) fn unpack(
    input: impl BufRead,
    size: u64,
    store_path: &StorePath,
    visitor: &mut dyn Visit,
) -> Result<(), Stopped> {
    let limits = Limits {
        size,
        ..Limits::default()
    };
    let mut nar = Reader::new(input, limits);
    let mut path = Vec::new();
    let mut spool: Option<Spool> = None;
    while let Some(entry) = nar.next_entry()? {
        // The directory that is being put aside has ended.
        if let Some(ended) = spool.take_if(|spool| entry.depth < spool.depth) {
            ended.show(visitor)?;
        }
        path.clear();
        path.extend_from_slice(store_path.as_str().as_bytes());
        if !entry.path.is_empty() {
            path.push(b'/');
            path.extend_from_slice(entry.path);
        }
        if spool.is_none() && orders_differ(name(entry.path)) {
            spool = Some(Spool::new(entry.depth)?);
        }
        match (entry.node, &mut spool) {
            (Node::Directory, None) => visitor.directory(&path)?,
            (Node::Directory, Some(spool)) => spool.entries.push((path.clone(), Kept::Directory)),
            (Node::Symlink { target }, None) => visitor.symlink(&path, target)?,
            (Node::Symlink { target }, Some(spool)) => {
                let target = target.to_vec();
                spool.entries.push((path.clone(), Kept::Symlink { target }));
            }
            (Node::File { executable, size }, None) => {
                let mut contents = OfNar {
                    nar: &mut nar,
                    size,
                    failed: None,
                };
                let result = visitor.file(&path, executable, &mut contents);
                // What the visitor makes of it says less than the error itself.
                if let Some(error) = contents.failed {
                    return Err(Stopped::Nar(error));
                }
                result?;
            }
            (Node::File { executable, size }, Some(spool)) => {
                spool.file(path.clone(), executable, size, &mut nar)?;
            }
        }
    }
    if let Some(ended) = spool {
        ended.show(visitor)?;
    }
    nar.finish()?;
    Ok(())
}

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// Whether a name may stand elsewhere among its siblings than its bytes say. Every name for which
/// this is not so stands before those after it in a NAR, whatever they are.
fn orders_differ(name: &[u8]) -> bool {
    match str::from_utf8(name) {
        Ok(text) => text.chars().any(|character| character >= '\u{e000}'),
        Err(_) => true,
    }
}

/// The contents of a file, straight from the NAR.
struct OfNar<'a, R> {
    nar: &'a mut Reader<R>,
    size: u64,
    /// What reading them ended with.
    failed: Option<io::Error>,
}

impl<R: BufRead> Contents for OfNar<'_, R> {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&mut self) -> Result<Opened<'_>, TreeError> {
        Ok(Opened::Stream(Box::new(Noted {
            inner: self.nar.contents(),
            failed: &mut self.failed,
        })))
    }
}

/// Keeps the error that a read ends with.
struct Noted<'a, R> {
    inner: R,
    failed: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Noted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let shown = io::Error::new(error.kind(), error.to_string());
                *self.failed = Some(error);
                Err(shown)
            }
            result => result,
        }
    }
}

/// The rest of a directory: its entries, and their contents in a file without a name, which is gone
/// with this process.
struct Spool {
    /// Of the directory's own children.
    depth: usize,
    entries: Vec<(Vec<u8>, Kept)>,
    file: File,
    length: u64,
}

enum Kept {
    Directory,
    File {
        executable: bool,
        size: u64,
        offset: u64,
    },
    Symlink {
        target: Vec<u8>,
    },
}

impl Spool {
    fn new(depth: usize) -> Result<Self, Stopped> {
        Ok(Self {
            depth,
            entries: Vec::new(),
            file: tempfile::tempfile().map_err(Stopped::Spool)?,
            length: 0,
        })
    }

    fn file(
        &mut self,
        path: Vec<u8>,
        executable: bool,
        size: u64,
        nar: &mut Reader<impl BufRead>,
    ) -> Result<(), Stopped> {
        let offset = self.length;
        let mut contents = nar.contents();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match contents.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stopped::Nar(error)),
            };
            self.file
                .write_all(&buffer[..count])
                .map_err(Stopped::Spool)?;
            self.length += count as u64;
        }
        let kept = Kept::File {
            executable,
            size,
            offset,
        };
        self.entries.push((path, kept));
        Ok(())
    }

    fn show(mut self, visitor: &mut dyn Visit) -> Result<(), Stopped> {
        self.entries.sort_by(|(a, _), (b, _)| tree_order(a, b));
        for (path, kept) in &self.entries {
            match kept {
                Kept::Directory => visitor.directory(path)?,
                Kept::Symlink { target } => visitor.symlink(path, target)?,
                &Kept::File {
                    executable,
                    size,
                    offset,
                } => {
                    let mut contents = OfSpool {
                        file: &self.file,
                        size,
                        offset,
                        failed: None,
                    };
                    let result = visitor.file(path, executable, &mut contents);
                    if let Some(error) = contents.failed {
                        return Err(Stopped::Spool(error));
                    }
                    result?;
                }
            }
        }
        Ok(())
    }
}

/// Pre-order, with siblings in the order of visitors.
fn tree_order(a: &[u8], b: &[u8]) -> Ordering {
    let mut a = a.split(|&byte| byte == b'/');
    let mut b = b.split(|&byte| byte == b'/');
    loop {
        return match (a.next(), b.next()) {
            (Some(a), Some(b)) => match sibling_order(a, b) {
                Ordering::Equal => continue,
                order => order,
            },
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
    }
}

struct OfSpool<'a> {
    file: &'a File,
    size: u64,
    offset: u64,
    failed: Option<io::Error>,
}

impl Contents for OfSpool<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&mut self) -> Result<Opened<'_>, TreeError> {
        if let Err(error) = self.file.seek(SeekFrom::Start(self.offset)) {
            let shown = io::Error::new(error.kind(), error.to_string());
            self.failed = Some(error);
            return Err(TreeError::visitor(shown));
        }
        Ok(Opened::Stream(Box::new(Noted {
            inner: BufReader::new(self.file).take(self.size),
            failed: &mut self.failed,
        })))
    }
}
