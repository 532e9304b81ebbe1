//! How the trees of packages become one.

use std::collections::BTreeMap;
use std::rc::Rc;

use nix_compat::tree::{TreeError, Trees};
use nix_compat::{StoreDir, StorePath};

use super::outline::{self, Entry, Outline};
use super::package::Package;
use super::tree::{Directory, LeftOut, Node};

/// The maximum number of links that are followed to find what one of them leads to, as for the kernel.
const MAX_LINKS: usize = 40;

/// The maximum number of links to directories, one in the other, whose entries are linked. A link
/// to a directory that
/// it lies in would otherwise give entries without end, and two of them twice as many at each level.
const MAX_NESTED: usize = 8;

/// Files for builds: nothing in a container reads them, so they are not worth a warning.
const FOR_BUILDS: &[u8] = b"nix-support";

/// A path's names, from `/`.
type Names = Vec<Vec<u8>>;

pub(super) struct Linker<'a> {
    trees: &'a dyn Trees,
    store_dir: StoreDir,
    /// What was read of the store; `None` for what it does not have.
    read: BTreeMap<StorePath, Option<Entry>>,
    pub(super) root: Directory,
    pub(super) left_out: Vec<LeftOut>,
}

/// A directory in the store, or an entry of one.
#[derive(Clone)]
struct Source {
    /// As links name it.
    path: Vec<u8>,
    /// Where it lies, without links on the way.
    real: Vec<u8>,
    /// Bytes of `real` that are the path of the directory which is linked as a whole.
    whole: usize,
    /// Links to directories that were followed on the way here, one in the other.
    nested: usize,
}

/// An entry that is to be put into the root.
struct Task {
    source: Source,
    entry: Entry,
    place: Names,
}

/// What a path of the image leads to, links followed.
enum Found {
    /// A directory of the root.
    InRoot(Names),
    /// A directory of a store path, which lies there.
    InStore(Vec<u8>, Rc<Outline>),
    /// Nothing yet, but a directory could be made there.
    Vacant(Names),
    /// A file, or nothing that can be known here.
    Else,
}

/// What is at a path, links not followed.
enum At {
    Directory,
    Outline(Rc<Outline>),
    File,
    Link(Vec<u8>),
    Vacant,
    Unknown,
}

impl<'a> Linker<'a> {
    pub(super) fn new(trees: &'a dyn Trees, store_dir: StoreDir) -> Self {
        Self {
            trees,
            store_dir,
            read: BTreeMap::new(),
            root: Directory::new(),
            left_out: Vec::new(),
        }
    }

    /// Links what a package's directory holds, and gives it; `None` if it is not a directory.
    pub(super) fn package(&mut self, package: &Package) -> Result<Option<Rc<Outline>>, TreeError> {
        let entry = outline::read(self.trees, package.store_path())?;
        self.read.insert(package.store_path().clone(), entry);
        let path = package.as_str().as_bytes();
        let Found::InStore(real, outline) = self.follow(&names(path))? else {
            return Ok(None);
        };
        let source = Source {
            path: path.to_vec(),
            whole: real.len(),
            real,
            nested: 0,
        };
        let mut tasks = Vec::new();
        push_entries(&mut tasks, &source, &outline, &[]);
        // A list instead of recursion: the depth of a tree is not limited by this thread's stack.
        while let Some(task) = tasks.pop() {
            self.put(task, &mut tasks)?;
        }
        // Packages are many, and seldom lead to each other.
        self.read.remove(package.store_path());
        Ok(Some(outline))
    }

    fn put(&mut self, task: Task, tasks: &mut Vec<Task>) -> Result<(), TreeError> {
        let Task {
            source,
            entry,
            place,
        } = task;
        let Some(taken) = self.node(&place) else {
            let node = match &entry {
                Entry::Directory(_) => Node::directory(source.path.clone()),
                Entry::File { .. } => Node::to(source.path.clone()),
                Entry::Link(text) => self.copied(&source, &place, text),
            };
            self.insert(&place, node);
            if let Entry::Directory(outline) = &entry {
                push_entries(tasks, &source, outline, &place);
            }
            return Ok(());
        };
        let kept = match taken {
            Node::Directory { first, .. } => first.clone(),
            Node::Link { text, of } => {
                let is_same_text = matches!(&entry, Entry::Link(other) if other == text);
                let of = of.as_ref().unwrap_or(text);
                if is_same_text || *of == source.path {
                    return Ok(());
                }
                of.clone()
            }
        };
        let is_merged = self.merge(&source, &entry, &place, &kept, tasks)?;
        if !is_merged && place.first().is_some_and(|name| name != FOR_BUILDS) {
            self.left_out.push(LeftOut {
                path: source.path,
                kept,
            });
        }
        Ok(())
    }

    /// Where the root has a directory at `place`, or a link that leads to one, and `entry` is a
    /// directory or leads to one: puts the entries of the one into the other.
    fn merge(
        &mut self,
        source: &Source,
        entry: &Entry,
        place: &Names,
        kept: &[u8],
        tasks: &mut Vec<Task>,
    ) -> Result<bool, TreeError> {
        let there = match (entry, self.node(place)) {
            (Entry::File { .. }, _) => Found::Else,
            (_, Some(Node::Directory { .. })) => Found::InRoot(place.clone()),
            _ => self.follow(place)?,
        };
        if matches!(there, Found::Else) {
            return Ok(false);
        }
        let (source, outline) = match entry {
            Entry::Directory(outline) => (source.clone(), Rc::clone(outline)),
            _ if source.nested == MAX_NESTED => return Ok(false),
            _ => match self.follow(&names(&source.real))? {
                Found::InStore(real, outline) => {
                    let followed = Source {
                        path: real.clone(),
                        whole: real.len(),
                        real,
                        nested: source.nested + 1,
                    };
                    (followed, outline)
                }
                // The link leads to where it would stand.
                Found::InRoot(same) if matches!(&there, Found::InRoot(there) if *there == same) => {
                    return Ok(true);
                }
                _ => return Ok(false),
            },
        };
        match there {
            Found::InStore(real, _) if real == source.real => {}
            Found::InStore(real, opened) => {
                // The link becomes a directory with the same in it, so that more can be put there.
                self.insert(place, Node::directory(kept.to_vec()));
                let opened_source = Source {
                    path: real.clone(),
                    whole: real.len(),
                    real,
                    nested: source.nested,
                };
                // What is pushed last is put first, and so keeps its names.
                push_entries(tasks, &source, &outline, place);
                push_entries(tasks, &opened_source, &opened, place);
            }
            Found::InRoot(there) => push_entries(tasks, &source, &outline, &there),
            Found::Vacant(there) => {
                for end in 1..=there.len() {
                    if self.node(&there[..end]).is_none() {
                        self.insert(&there[..end], Node::directory(source.path.clone()));
                    }
                }
                push_entries(tasks, &source, &outline, &there);
            }
            Found::Else => {}
        }
        Ok(true)
    }

    /// The link that stands at `place` for a link of a package: the same, so that `sh -> bash` is
    /// what it was. A relative link whose text would lead elsewhere from there than it does from its
    /// package becomes a link to itself.
    fn copied(&self, source: &Source, place: &[Vec<u8>], text: &[u8]) -> Node {
        let mut at = names(&source.real);
        at.pop();
        // How far up a text may lead: to the directory that is linked as a whole, for what is there is
        // in `/` as well; elsewhere in the root, no further than the link's own directory.
        let whole = names(&source.real[..source.whole]).len();
        let is_below_root = names(&source.real[source.whole..]) == place;
        let top = if is_below_root { whole } else { at.len() };
        let mut leaves = false;
        for name in parts(text) {
            if name == b".." {
                at.pop();
            } else {
                at.push(name.to_vec());
            }
            leaves |= at.len() < top;
        }
        if leaves && !text.starts_with(b"/") && self.store_path(&at).is_some() {
            return Node::to(source.path.clone());
        }
        Node::Link {
            text: text.to_vec(),
            of: Some(source.path.clone()),
        }
    }

    /// What a path leads to, from `/`.
    fn follow(&mut self, path: &[Vec<u8>]) -> Result<Found, TreeError> {
        let mut todo: Names = path.iter().rev().cloned().collect();
        let mut here = Names::new();
        let mut outline = None;
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                here.pop();
                outline = None;
                continue;
            }
            here.push(name);
            match self.at(&here)? {
                At::Directory => outline = None,
                At::Outline(found) => outline = Some(found),
                At::Link(text) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(Found::Else);
                    }
                    here.pop();
                    outline = None;
                    if text.starts_with(b"/") {
                        here.clear();
                    }
                    todo.extend(parts(&text).map(<[u8]>::to_vec).rev());
                }
                At::Vacant if todo.iter().all(|name| name != b"..") => {
                    here.extend(todo.into_iter().rev());
                    return Ok(Found::Vacant(here));
                }
                At::File | At::Vacant | At::Unknown => return Ok(Found::Else),
            }
        }
        // A `..` may end in the store, whose entry has to be looked up again.
        if outline.is_none()
            && let At::Outline(found) = self.at(&here)?
        {
            outline = Some(found);
        }
        Ok(match outline {
            Some(outline) => Found::InStore(path_of(&here), outline),
            None if self.is_store_dir(&here) => Found::Else,
            None => Found::InRoot(here),
        })
    }

    fn at(&mut self, path: &[Vec<u8>]) -> Result<At, TreeError> {
        if let Some(store_path) = self.store_path(path) {
            let above = names(store_path.as_str().as_bytes()).len();
            let mut entry = self.store_entry(&store_path)?;
            for name in &path[above..] {
                entry = match entry {
                    Some(Entry::Directory(outline)) => outline.get(name).cloned(),
                    _ => None,
                };
            }
            return Ok(match entry {
                Some(Entry::Directory(outline)) => At::Outline(outline),
                Some(Entry::File { .. }) => At::File,
                Some(Entry::Link(text)) => At::Link(text),
                None => At::Unknown,
            });
        }
        if path.is_empty() {
            return Ok(At::Directory);
        }
        let store_dir = names(self.store_dir.as_str().as_bytes());
        Ok(match self.node(path) {
            Some(Node::Directory { .. }) => At::Directory,
            Some(Node::Link { text, .. }) => At::Link(text.clone()),
            None if store_dir.starts_with(path) => At::Directory,
            None if path.starts_with(&store_dir) => At::Unknown,
            None => At::Vacant,
        })
    }

    fn store_entry(&mut self, path: &StorePath) -> Result<Option<Entry>, TreeError> {
        if let Some(entry) = self.read.get(path) {
            return Ok(entry.clone());
        }
        let entry = match outline::read(self.trees, path) {
            Err(TreeError::Missing { .. }) => None,
            read => read?,
        };
        self.read.insert(path.clone(), entry.clone());
        Ok(entry)
    }

    /// The store path that a path lies in, or is.
    fn store_path(&self, path: &[Vec<u8>]) -> Option<StorePath> {
        let text = path_of(path);
        self.store_dir
            .parse_inside(std::str::from_utf8(&text).ok()?)
            .ok()
    }

    /// Whether a path is the store's own directory, or above it.
    fn is_store_dir(&self, path: &[Vec<u8>]) -> bool {
        !path.is_empty()
            && names(self.store_dir.as_str().as_bytes()).starts_with(path)
            && self.node(path).is_none()
    }

    fn node(&self, place: &[Vec<u8>]) -> Option<&Node> {
        let (last, parents) = place.split_last()?;
        let mut directory = &self.root;
        for name in parents {
            match directory.get(name)? {
                Node::Directory { entries, .. } => directory = entries,
                Node::Link { .. } => return None,
            }
        }
        directory.get(last)
    }

    /// Puts a node at a place whose parent is a directory.
    fn insert(&mut self, place: &[Vec<u8>], node: Node) {
        let Some((last, parents)) = place.split_last() else {
            return;
        };
        let mut directory = &mut self.root;
        for name in parents {
            match directory.get_mut(name) {
                Some(Node::Directory { entries, .. }) => directory = entries,
                _ => return,
            }
        }
        directory.insert(last.clone(), node);
    }
}

fn push_entries(tasks: &mut Vec<Task>, source: &Source, outline: &Outline, place: &[Vec<u8>]) {
    tasks.extend(outline.iter().rev().map(|(name, entry)| Task {
        source: Source {
            path: [&source.path, name.as_slice()].join(&b'/'),
            real: [&source.real, name.as_slice()].join(&b'/'),
            ..*source
        },
        entry: entry.clone(),
        place: [place, std::slice::from_ref(name)].concat(),
    }));
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
}

fn names(path: &[u8]) -> Names {
    parts(path).map(<[u8]>::to_vec).collect()
}

fn path_of(names: &[Vec<u8>]) -> Vec<u8> {
    names
        .iter()
        .flat_map(|name| [b"/", name.as_slice()].concat())
        .collect()
}
