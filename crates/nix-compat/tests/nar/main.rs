//! NARs: what the writer writes the reader reads, and what Nix refuses is refused.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use nix_compat::nar::{Limits, NarError, Node, Problem, Reader, Writer};

mod listing;
mod refusals;
mod round_trip;

/// A tree in memory, names in the order of NARs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tree {
    Directory(BTreeMap<Vec<u8>, Tree>),
    File(bool, Vec<u8>),
    Symlink(Vec<u8>),
}

/// An entry with its contents.
type Shown = (String, String);

fn write(tree: &Tree) -> Result<Vec<u8>, NarError> {
    fn add(nar: &mut Writer<Vec<u8>>, path: &[u8], tree: &Tree) -> Result<(), NarError> {
        match tree {
            Tree::Directory(children) => {
                nar.directory(path)?;
                for (name, child) in children {
                    let path = match path {
                        b"" => name.clone(),
                        _ => [path, name].join(&b'/'),
                    };
                    add(nar, &path, child)?;
                }
                Ok(())
            }
            Tree::File(executable, data) => {
                nar.file(path, *executable, data.len() as u64, &mut data.as_slice())
            }
            Tree::Symlink(target) => nar.symlink(path, target),
        }
    }
    let mut nar = Writer::new(Vec::new());
    add(&mut nar, b"", tree)?;
    nar.finish()
}

/// Reads a NAR whole, and writes what was read again.
fn read(input: impl BufRead, limits: Limits) -> Result<(Vec<Shown>, Vec<u8>), NarError> {
    let mut nar = Reader::new(input, limits);
    let mut again = Writer::new(Vec::new());
    let mut shown = Vec::new();
    while let Some(entry) = nar.next_entry()? {
        let path = entry.path.to_vec();
        let name = path.escape_ascii().to_string();
        match entry.node {
            Node::Directory => {
                shown.push((name, "directory".to_owned()));
                again.directory(&path)?;
            }
            Node::Symlink { target } => {
                shown.push((name, format!("-> {}", target.escape_ascii())));
                again.symlink(&path, target)?;
            }
            Node::File { executable, size } => {
                let mut data = Vec::new();
                nar.contents()
                    .read_to_end(&mut data)
                    .map_err(|source| NarError {
                        offset: 0,
                        path: path.clone(),
                        problem: Problem::Io(source),
                    })?;
                assert_eq!(data.len() as u64, size);
                shown.push((name, format!("{executable} {}", data.escape_ascii())));
                again.file(&path, executable, size, &mut data.as_slice())?;
            }
        }
    }
    nar.finish()?;
    Ok((shown, again.finish()?))
}

/// The strings of a NAR, for making wrong ones.
fn strings(strings: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend((string.len() as u64).to_le_bytes());
        bytes.extend(*string);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}
