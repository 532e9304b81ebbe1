//! Trees of store paths in memory, without the contents of their files.

use std::collections::BTreeMap;
use std::rc::Rc;

use nix_compat::StorePath;
use nix_compat::tree::{Contents, TreeError, Trees, Visit};

/// What a name in a store path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Directory(Rc<Outline>),
    File { executable: bool },
    Link(Vec<u8>),
}

/// The entries of a directory, by name.
pub(super) type Outline = BTreeMap<Vec<u8>, Entry>;

/// Reads a store path.
pub(super) fn read(trees: &dyn Trees, path: &StorePath) -> Result<Option<Entry>, TreeError> {
    let mut reader = Reader::default();
    trees.visit(path, &mut reader)?;
    Ok(reader.finish())
}

/// Builds the tree from entries in pre-order.
#[derive(Default)]
struct Reader {
    /// Directories that may get more entries, each in the one before: length of its path, its own
    /// name, entries so far.
    open: Vec<(usize, Vec<u8>, Outline)>,
    whole: Option<Entry>,
}

impl Reader {
    /// Closes the directories that an entry with this path is not in.
    fn leave(&mut self, path: &[u8]) {
        let parent = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        while self
            .open
            .last()
            .is_some_and(|&(length, ..)| length > parent)
        {
            self.close();
        }
    }

    fn close(&mut self) {
        if let Some((_, name, outline)) = self.open.pop() {
            self.add(name, Entry::Directory(Rc::new(outline)));
        }
    }

    fn add(&mut self, name: Vec<u8>, entry: Entry) {
        match self.open.last_mut() {
            Some((_, _, outline)) => drop(outline.insert(name, entry)),
            None => self.whole = Some(entry),
        }
    }

    fn finish(mut self) -> Option<Entry> {
        while !self.open.is_empty() {
            self.close();
        }
        self.whole
    }
}

fn name(path: &[u8]) -> Vec<u8> {
    path.rsplit(|&byte| byte == b'/')
        .next()
        .unwrap_or_default()
        .to_vec()
}

impl Visit for Reader {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.leave(path);
        self.open.push((path.len(), name(path), Outline::new()));
        Ok(())
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        _: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        self.leave(path);
        self.add(name(path), Entry::File { executable });
        Ok(())
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        self.leave(path);
        self.add(name(path), Entry::Link(target.to_vec()));
        Ok(())
    }
}
