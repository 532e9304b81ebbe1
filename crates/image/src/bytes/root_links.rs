//! The root of an image: the trees of some packages, linked into `/` as nixpkgs' `symlinkJoin` does.
//!
//! Directories are merged, files become links into the store, and links are copied as they are: a
//! package's `bin/sh -> bash` is one in the image as well. Where two packages have the same name, the
//! first keeps it. There are two differences to `lndir`, by which `symlinkJoin` works, and both keep
//! what it loses:
//!
//! - Where one package has a directory and another a link to a directory, the entries of both are
//!   there (`lndir` drops those of the second). A link that leads to a directory of the root takes
//!   them there; one that leads into the store becomes a directory itself.
//! - A relative link that leaves its package for another one becomes a link to itself, for its text
//!   would lead nowhere from `/`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix_compat::store_path::package_name;
use nix_compat::tree::{TreeError, Trees};
use nix_compat::{StoreDir, StorePath};

use crate::bytes::tar::{Kind, LayerTar, TarRules};
use crate::sink::Sink;

use linker::Linker;
use outline::{Entry, Outline};
use tree::{Directory, Node};

mod linker;
mod outline;
mod package;
#[cfg(test)]
mod tests;
mod tree;

pub use package::Package;
pub use tree::LeftOut;

/// A tree of directories, and of links to what lies in store paths.
#[derive(Debug, Default)]
pub struct RootLinks {
    entries: Directory,
    left_out: Vec<LeftOut>,
    not_linked: Vec<Package>,
    /// Names of the programs in each package's own `bin`.
    programs: Vec<(StorePath, Vec<Vec<u8>>)>,
}

/// The root cannot be laid out in a directory.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {}", path.display())]
pub struct LayOutError {
    /// The entry.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl RootLinks {
    /// Links the trees of packages into one; see the module's text. A package that is not a directory
    /// is not linked, and told by [`not_linked`](Self::not_linked).
    ///
    /// # Errors
    ///
    /// A tree cannot be read.
    pub fn link(
        trees: &dyn Trees,
        store_dir: &StoreDir,
        packages: &[Package],
    ) -> Result<Self, TreeError> {
        let mut linker = Linker::new(trees, store_dir.clone());
        let mut not_linked = Vec::new();
        let mut programs = Vec::new();
        for package in packages {
            match linker.package(package)? {
                Some(outline) => {
                    programs.push((package.store_path().clone(), programs_of(&outline)));
                }
                None => not_linked.push(package.clone()),
            }
        }
        Ok(Self {
            entries: linker.root,
            left_out: linker.left_out,
            not_linked,
            programs,
        })
    }

    /// What other packages' names kept out, in the order of the packages.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Packages that are no directory: files, and links to none.
    pub fn not_linked(&self) -> &[Package] {
        &self.not_linked
    }

    /// The program that a container of this image most likely should run: of the first path that
    /// has programs in `bin`, the only one, or the one named as the package is.
    ///
    /// # Errors
    ///
    /// The candidates, where that does not decide.
    pub fn default_program(&self) -> Result<String, Vec<String>> {
        let Some((path, programs)) = self
            .programs
            .iter()
            .find(|(_, programs)| !programs.is_empty())
        else {
            return Err(Vec::new());
        };
        let names: Vec<String> = programs
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let package = package_name(path.name());
        match names.as_slice() {
            [only] => Ok(only.clone()),
            _ if names.iter().any(|name| name == package) => Ok(package.to_owned()),
            _ => Err(names),
        }
    }

    /// Writes the root as a layer.
    ///
    /// # Errors
    ///
    /// The sink cannot take it.
    pub fn write_layer<S: Sink>(&self, sink: S, rules: &TarRules) -> Result<(S, u64), TreeError> {
        let mut tar = LayerTar::new(sink, rules);
        write_directory(&mut tar, &self.entries, &mut Vec::new())?;
        tar.finish()
    }

    /// Makes `directory`, with the root in it.
    ///
    /// # Errors
    ///
    /// An entry cannot be made.
    pub fn lay_out(&self, directory: &Path) -> Result<(), LayOutError> {
        lay_out(&self.entries, directory)
    }
}

fn write_directory<S: Sink>(
    tar: &mut LayerTar<'_, S>,
    directory: &Directory,
    path: &mut Vec<u8>,
) -> Result<(), TreeError> {
    for (name, node) in directory {
        let parent = path.len();
        if parent > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        match node {
            Node::Directory { entries: inner, .. } => {
                tar.member(path, Kind::Directory, 0o755)?;
                write_directory(tar, inner, path)?;
            }
            Node::Link { text, .. } => tar.member(path, Kind::Symlink(text), 0o777)?,
        }
        path.truncate(parent);
    }
    Ok(())
}

fn lay_out(entries: &Directory, directory: &Path) -> Result<(), LayOutError> {
    let error = |path: &Path, source| LayOutError {
        path: path.to_owned(),
        source,
    };
    fs::create_dir(directory).map_err(|source| error(directory, source))?;
    for (name, node) in entries {
        let path = directory.join(OsStr::from_bytes(name));
        match node {
            Node::Directory { entries, .. } => lay_out(entries, &path)?,
            Node::Link { text, .. } => {
                symlink(OsStr::from_bytes(text), &path).map_err(|source| error(&path, source))?;
            }
        }
    }
    Ok(())
}

/// Executable files of a package's `bin`, and links there.
fn programs_of(outline: &Outline) -> Vec<Vec<u8>> {
    let Some(Entry::Directory(bin)) = outline.get(b"bin".as_slice()) else {
        return Vec::new();
    };
    let is_program =
        |entry: &Entry| matches!(entry, Entry::File { executable: true } | Entry::Link(_));
    bin.iter()
        .filter(|(_, entry)| is_program(entry))
        .map(|(name, _)| name.clone())
        .collect()
}
