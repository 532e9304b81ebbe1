//! The listing of a NAR that caches keep beside it as `HASH.ls`: the tree's names, kinds and sizes.
//!
//! No signature covers a listing. It tells what a NAR most likely holds; only the NAR itself is
//! proof. [`Listing::nar_size`] catches most that do not belong to their NAR.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::entry::{Entry, Node};
use super::error::Problem;
use super::length::NarLength;
use super::limits::Limits;
use super::position::Position;
use crate::shown::shown;

/// What a listing says of a tree, in pre-order, siblings by the bytes of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    entries: Vec<Listed>,
    nar_size: NarLength,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    path: Vec<u8>,
    depth: usize,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Directory,
    File { executable: bool, size: u64 },
    Symlink { target: Vec<u8> },
}

impl Kind {
    fn node(&self) -> Node<'_> {
        match self {
            Self::Directory => Node::Directory,
            &Self::File { executable, size } => Node::File { executable, size },
            Self::Symlink { target } => Node::Symlink { target },
        }
    }
}

/// Why a text is not a listing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListingError {
    /// Not JSON, of another form, or nested too deep for a listing.
    #[error("not a NAR listing")]
    Json(#[from] serde_json::Error),
    /// A version that is not known.
    #[error("a NAR listing of version {0}; only version 1 is known")]
    Version(u64),
    /// An entry of no known kind, or without what its kind has.
    #[error(
        "the NAR listing's entry `{0}` is not a directory, file with a size, or link with a target"
    )]
    Kind(String),
    /// A name or target that no NAR can have.
    #[error("the NAR listing's entry `{path}`: {problem}")]
    Entry {
        /// The directory.
        path: String,
        /// What is wrong.
        problem: Problem,
    },
}

#[derive(Deserialize)]
struct File<'a> {
    version: u64,
    #[serde(borrow)]
    root: Raw<'a>,
}

/// An entry. There may be a quarter of a million, so what is in the text is not copied.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    entries: Option<BTreeMap<Name<'a>, Raw<'a>>>,
    size: Option<u64>,
    #[serde(default)]
    executable: bool,
    #[serde(borrow)]
    target: Option<Name<'a>>,
}

/// A text of the listing; copied only where it has escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Listing {
    /// Reads the JSON text of a `.ls` file.
    ///
    /// # Errors
    ///
    /// The text is not a listing, or one that no NAR could have. A tree of more than about sixty
    /// levels is refused also: read the NAR instead.
    pub fn parse(json: &[u8]) -> Result<Self, ListingError> {
        let file: File = serde_json::from_slice(json)?;
        if file.version != 1 {
            return Err(ListingError::Version(file.version));
        }
        let mut listing = Self {
            entries: Vec::new(),
            nar_size: NarLength::default(),
        };
        listing.add(None, &file.root, &mut Position::default())?;
        Ok(listing)
    }

    /// The tree's entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|listed| Entry {
            path: &listed.path,
            depth: listed.depth,
            node: listed.kind.node(),
        })
    }

    /// Length in bytes of the NAR that holds exactly this tree.
    pub fn nar_size(&self) -> u64 {
        self.nar_size.bytes()
    }

    /// Recursion ends with that of the JSON parser.
    fn add(
        &mut self,
        name: Option<&str>,
        raw: &Raw<'_>,
        position: &mut Position,
    ) -> Result<(), ListingError> {
        let wrong_kind = || ListingError::Kind(shown(position.path()));
        let kind = match &*raw.r#type {
            "directory" if raw.entries.is_some() => Kind::Directory,
            "regular" => Kind::File {
                executable: raw.executable,
                size: raw.size.ok_or_else(wrong_kind)?,
            },
            "symlink" => {
                let target = raw.target.as_ref().ok_or_else(wrong_kind)?;
                let target = target.0.as_bytes().to_vec();
                if target.is_empty() || target.contains(&0) {
                    return Err(ListingError::Entry {
                        path: shown(position.path()),
                        problem: Problem::Target(shown(&target)),
                    });
                }
                Kind::Symlink { target }
            }
            _ => return Err(wrong_kind()),
        };
        self.nar_size.add(name.map(str::as_bytes), kind.node());
        self.entries.push(Listed {
            path: position.path().to_vec(),
            depth: position.depth(),
            kind,
        });
        if let Some(entries) = raw.entries.as_ref().filter(|_| raw.r#type == "directory") {
            position.open();
            for (Name(name), child) in entries {
                position
                    .child(name.as_bytes(), &Limits::default())
                    .map_err(|problem| ListingError::Entry {
                        path: shown(position.path()),
                        problem,
                    })?;
                self.add(Some(name), child, position)?;
            }
            position.close();
        }
        Ok(())
    }
}
