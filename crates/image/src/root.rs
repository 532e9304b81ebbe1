//! The root of an image without Nix: the trees of some store paths, linked into `/`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use nix_compat::StorePath;
use nix_compat::store_path::package_name;
use nix_compat::tree::{Contents, TreeError, Trees, Visit};

use crate::sink::Sink;
use crate::tar::{Kind, LayerTar, TarRules};

/// Directories of a package that are of use to builds alone.
const NOT_LINKED: &[u8] = b"nix-support";

/// A tree of directories, and of links to what lies in store paths.
#[derive(Debug, Default)]
pub struct RootTree {
    entries: Directory,
    conflicts: Vec<Conflict>,
    /// Names of the executable files in each path's own `bin`.
    programs: Vec<(StorePath, Vec<Vec<u8>>)>,
}

type Directory = BTreeMap<Vec<u8>, Node>;

#[derive(Debug)]
enum Node {
    /// Merged from several paths; the first of them is kept for messages.
    Directory(Directory, Vec<u8>),
    /// The absolute target.
    Link(Vec<u8>),
}

/// A name that two paths have, and that only the first of them got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What the name leads to.
    pub kept: Vec<u8>,
    /// What it does not.
    pub dropped: Vec<u8>,
}

impl RootTree {
    /// Links the trees of `paths` into one: directories are merged, everything else becomes a link
    /// into the store. Where two paths have the same name, the first keeps it, and the second is
    /// told by [`conflicts`](Self::conflicts). A path that is no directory is not linked.
    ///
    /// # Errors
    ///
    /// A tree cannot be read.
    pub fn link(trees: &dyn Trees, paths: &[StorePath]) -> Result<Self, TreeError> {
        let mut root = Self::default();
        for path in paths {
            let mut linker = Linker {
                root: &mut root,
                prefix: path.as_str().len(),
                skip: None,
                programs: Vec::new(),
            };
            trees.visit(path, &mut linker)?;
            let programs = linker.programs;
            root.programs.push((path.clone(), programs));
        }
        Ok(root)
    }

    /// Names that two paths have.
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
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

    /// Writes the tree as a layer.
    ///
    /// # Errors
    ///
    /// The sink cannot take it.
    pub fn write<S: Sink>(&self, sink: S, rules: &TarRules) -> Result<(S, u64), TreeError> {
        let mut tar = LayerTar::new(sink, rules);
        write_directory(&mut tar, &self.entries, &mut Vec::new())?;
        tar.finish()
    }

    fn insert(&mut self, inside: &[u8], target: &[u8], is_directory: bool) {
        let mut directory = &mut self.entries;
        let mut parts = inside
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty())
            .peekable();
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            let new = || {
                if is_last && !is_directory {
                    Node::Link(target.to_vec())
                } else {
                    Node::Directory(Directory::new(), target.to_vec())
                }
            };
            let node = match directory.entry(part.to_vec()) {
                Entry::Vacant(vacant) => vacant.insert(new()),
                Entry::Occupied(occupied) => {
                    let node = occupied.into_mut();
                    let kept = match node {
                        Node::Directory(_, _) if is_directory => None,
                        Node::Directory(_, first) if is_last => Some(first),
                        Node::Directory(_, _) => None,
                        // Below a link nothing can be put; the link's own conflict was told when
                        // the directory came.
                        Node::Link(kept) if is_last => Some(kept),
                        Node::Link(_) => return,
                    };
                    if let Some(kept) = kept {
                        let conflict = Conflict {
                            kept: kept.clone(),
                            dropped: target.to_vec(),
                        };
                        self.conflicts.push(conflict);
                        return;
                    }
                    node
                }
            };
            match node {
                Node::Directory(inner, _) => directory = inner,
                Node::Link(_) => return,
            }
        }
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
            Node::Directory(inner, _) => {
                tar.member(path, Kind::Directory, 0o755)?;
                write_directory(tar, inner, path)?;
            }
            Node::Link(target) => tar.member(path, Kind::Symlink(target), 0o777)?,
        }
        path.truncate(parent);
    }
    Ok(())
}

struct Linker<'a> {
    root: &'a mut RootTree,
    /// Length of the store path, which entries' paths start with.
    prefix: usize,
    /// A directory whose entries are passed over.
    skip: Option<Vec<u8>>,
    programs: Vec<Vec<u8>>,
}

impl Linker<'_> {
    fn insert(&mut self, path: &[u8], is_directory: bool) {
        let inside = path.get(self.prefix + 1..).unwrap_or_default();
        if inside == NOT_LINKED {
            self.skip = Some([path, b"/"].concat());
        }
        let skipped = inside == NOT_LINKED
            || self
                .skip
                .as_ref()
                .is_some_and(|skip| path.starts_with(skip));
        if !inside.is_empty() && !skipped {
            self.root.insert(inside, path, is_directory);
        }
    }

    fn program(&mut self, path: &[u8]) {
        let name = path
            .get(self.prefix..)
            .and_then(|inside| inside.strip_prefix(b"/bin/"));
        self.programs.extend(
            name.filter(|name| !name.contains(&b'/'))
                .map(<[u8]>::to_vec),
        );
    }
}

impl Visit for Linker<'_> {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.insert(path, true);
        Ok(())
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        _: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        self.insert(path, false);
        if executable {
            self.program(path);
        }
        Ok(())
    }

    fn symlink(&mut self, path: &[u8], _: &[u8]) -> Result<(), TreeError> {
        self.insert(path, false);
        self.program(path);
        Ok(())
    }
}
