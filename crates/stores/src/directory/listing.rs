//! What was found in the tree of a store path, for the next time that it is shown.
//!
//! Most trees are shown twice: to hash a layer, or to know its length, and to write it. To read all
//! directories again would be a good part of the work where the layers' digests are known. Only the contents
//! of files are read again; who reads them compares each file with what was found of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix_compat::StorePath;
use nix_compat::tree::{Contents, Stamp, TreeError, Visit};

/// Memory that listings may take at once, in bytes: some 100,000 files. A tree for which there is no room is
/// walked again.
const MAX_KEPT: usize = 8 << 20;

/// The entries of a tree, in the order in which they are shown.
#[derive(Debug, Default)]
pub(super) struct Listing {
    entries: Vec<Entry>,
    /// The names of all entries, in the same order; that of a link is followed by what it leads to.
    text: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    /// Length of what it has in common with the path before it: the path of its directory.
    parent: u32,
    /// Length of what follows: a slash and its name; for the tree's root the whole path.
    name: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory,
    File {
        executable: bool,
        stamp: Stamp,
    },
    Symlink {
        /// Length of what it leads to.
        target: u32,
    },
}

impl Listing {
    /// Shows the tree. A file is shown by `file`, which gets the path, the executable bit and the stamp.
    pub(super) fn show<'v>(
        &self,
        visitor: &mut (dyn Visit + 'v),
        file: impl Fn(&mut (dyn Visit + 'v), &[u8], bool, Stamp) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let mut path = Vec::new();
        let mut text = self.text.as_slice();
        for entry in &self.entries {
            let (name, rest) = text.split_at(entry.name as usize);
            text = rest;
            path.truncate(entry.parent as usize);
            path.extend_from_slice(name);
            match entry.kind {
                Kind::Directory => visitor.directory(&path)?,
                Kind::File { executable, stamp } => file(visitor, &path, executable, stamp)?,
                Kind::Symlink { target } => {
                    let (target, rest) = text.split_at(target as usize);
                    text = rest;
                    visitor.symlink(&path, target)?;
                }
            }
        }
        Ok(())
    }

    /// Memory that it takes, in bytes.
    fn size(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.text.capacity()
    }
}

/// Shows a tree to a visitor, and lists it meanwhile.
pub(super) struct Lister<'a> {
    visitor: &'a mut dyn Visit,
    listing: Listing,
    /// Length of the longest path.
    longest: usize,
}

impl<'a> Lister<'a> {
    pub(super) fn new(visitor: &'a mut dyn Visit) -> Self {
        Self {
            visitor,
            listing: Listing::default(),
            longest: 0,
        }
    }

    /// What was listed, unless a path in it has more than so many bytes.
    pub(super) fn finish(self, max_path: usize) -> Option<Listing> {
        (self.longest <= max_path).then_some(self.listing)
    }

    fn add(&mut self, path: &[u8], kind: Kind) {
        self.longest = self.longest.max(path.len());
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let parent = match self.listing.entries.is_empty() {
            true => 0,
            false => slash.unwrap_or(0),
        };
        let name = &path[parent..];
        self.listing.text.extend_from_slice(name);
        self.listing.entries.push(Entry {
            parent: length(parent),
            name: length(name.len()),
            kind,
        });
    }
}

/// A length in a path. Longer ones than 4 GB are in trees that are not kept.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Visit for Lister<'_> {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.add(path, Kind::Directory);
        self.visitor.directory(path)
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        contents: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        if let Some(stamp) = contents.stamp() {
            self.add(path, Kind::File { executable, stamp });
        }
        self.visitor.file(path, executable, contents)
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        let length = length(target.len());
        self.add(path, Kind::Symlink { target: length });
        self.listing.text.extend_from_slice(target);
        self.visitor.symlink(path, target)
    }
}

/// Listings of trees that were shown once.
#[derive(Debug, Default)]
pub(super) struct Listings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Each with how many times it is still to be shown.
    listings: HashMap<StorePath, (Arc<Listing>, u8)>,
    /// Memory that they take, in bytes.
    size: usize,
}

impl Listings {
    /// Keeps the listing of a tree, to be shown so many times, if there is room.
    pub(super) fn keep(&self, path: &StorePath, listing: Listing, times: u8) {
        let size = listing.size();
        let mut kept = self.kept();
        if kept.size + size > MAX_KEPT || kept.listings.contains_key(path) {
            return;
        }
        kept.size += size;
        kept.listings
            .insert(path.clone(), (Arc::new(listing), times));
    }

    /// The listing of a tree that was found before.
    pub(super) fn take(&self, path: &StorePath) -> Option<Arc<Listing>> {
        let mut kept = self.kept();
        let (listing, times) = kept.listings.get_mut(path)?;
        *times -= 1;
        if *times > 0 {
            return Some(listing.clone());
        }
        let (listing, _) = kept.listings.remove(path)?;
        kept.size -= listing.size();
        Some(listing)
    }

    /// Whether there is a listing of a tree.
    pub(super) fn has(&self, path: &StorePath) -> bool {
        self.kept().listings.contains_key(path)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use nix_compat::StoreDir;
    use nix_compat::tree::{Opened, Trees as _};
    use tempfile::TempDir;

    use super::*;
    use crate::StoreFiles;

    /// What a visitor is shown, a line for each entry.
    #[derive(Default)]
    struct Shown(Vec<String>);

    impl Visit for Shown {
        fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
            self.0.push(format!("{}/", String::from_utf8_lossy(path)));
            Ok(())
        }

        fn file(
            &mut self,
            path: &[u8],
            executable: bool,
            contents: &mut dyn Contents,
        ) -> Result<(), TreeError> {
            let stamp = contents.stamp();
            let Opened::File(file) = contents.open()? else {
                panic!("a file of the file system was expected");
            };
            let text = std::io::read_to_string(file).unwrap();
            let path = String::from_utf8_lossy(path);
            self.0.push(format!("{path} {executable} {stamp:?} {text}"));
            Ok(())
        }

        fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
            let [path, target] = [path, target].map(String::from_utf8_lossy);
            self.0.push(format!("{path} -> {target}"));
            Ok(())
        }
    }

    struct Store {
        root: TempDir,
        path: StorePath,
        files: StoreFiles,
    }

    impl Store {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let base_name = format!("{}-x", "0".repeat(32));
            let path = StoreDir::default().parse_base_name(&base_name).unwrap();
            fs::create_dir_all(root.path().join("nix/store")).unwrap();
            let files = StoreFiles::below(root.path());
            Self { root, path, files }
        }

        /// Where an entry of the store path lies.
        fn place(&self, inside: &str) -> PathBuf {
            let place = format!("{}{}/{inside}", self.root.path().display(), self.path);
            place.trim_end_matches('/').into()
        }

        fn tree(&self) {
            fs::create_dir_all(self.place("a/b/c")).unwrap();
            fs::create_dir_all(self.place("a-empty")).unwrap();
            fs::write(self.place("a/b/c/deep"), "deep").unwrap();
            fs::write(self.place("a/file"), "").unwrap();
            fs::write(self.place("program"), "program").unwrap();
            let executable = fs::Permissions::from_mode(0o555);
            fs::set_permissions(self.place("program"), executable).unwrap();
            symlink("a/file", self.place("link")).unwrap();
            symlink("/nowhere", self.place("a/b/link")).unwrap();
        }

        fn show(&self) -> Result<Vec<String>, TreeError> {
            let mut shown = Shown::default();
            self.files.visit(&self.path, &mut shown)?;
            Ok(shown.0)
        }
    }

    #[test]
    fn a_tree_is_shown_again_as_it_was_found_and_then_read_anew() {
        let store = Store::new();
        store.tree();
        let first = store.show().unwrap();
        assert_eq!(first.len(), 10, "{first:?}");
        fs::write(store.place("new"), "new").unwrap();
        assert_eq!(store.show().unwrap(), first);
        assert_eq!(store.show().unwrap().len(), first.len() + 1);
    }

    #[test]
    fn a_tree_that_was_prepared_is_shown_twice_as_it_was_found() {
        let store = Store::new();
        store.tree();
        store.files.prepare(&store.path);
        fs::write(store.place("new"), "new").unwrap();
        let shown = [store.show().unwrap(), store.show().unwrap()];
        assert_eq!((shown[0].len(), &shown[0]), (10, &shown[1]));
        assert_eq!(store.show().unwrap().len(), 11);
        // What cannot be listed is no failure yet.
        let empty = Store::new();
        empty.files.prepare(&empty.path);
        assert!(matches!(empty.show(), Err(TreeError::Missing { .. })));
    }

    #[test]
    fn a_file_or_a_link_may_be_the_whole_tree() {
        let store = Store::new();
        fs::write(store.place(""), "text").unwrap();
        assert_eq!(store.show().unwrap(), store.show().unwrap());
        let store = Store::new();
        symlink("elsewhere", store.place("")).unwrap();
        let shown = [store.show().unwrap(), store.show().unwrap()];
        assert_eq!(shown[0], [format!("{} -> elsewhere", store.path)]);
        assert_eq!(shown[0], shown[1]);
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let store = Store::new();
        store.tree();
        store.show().unwrap();
        fs::remove_file(store.place("a/b/c/deep")).unwrap();
        let error = store.show().unwrap_err().to_string();
        assert!(error.contains("a/b/c/deep"), "{error}");
    }

    #[test]
    fn what_is_not_shown_to_its_end_is_not_kept() {
        let store = Store::new();
        store.tree();
        fs::remove_file(store.place("program")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(store.place("program"));
        socket.unwrap();
        for _ in 0..2 {
            let error = store.show().unwrap_err().to_string();
            assert!(error.contains("program"), "{error}");
        }
    }

    #[test]
    fn a_tree_whose_paths_are_too_long_for_one_call_is_walked_again() {
        let store = Store::new();
        let name = "d".repeat(200);
        let mut directory = store.place("");
        for _ in 0..4 {
            directory.push(&name);
        }
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(&name), "deep").unwrap();
        let first = store.show().unwrap();
        fs::write(store.place("new"), "new").unwrap();
        assert_eq!(store.show().unwrap().len(), first.len() + 1);
    }

    #[test]
    fn the_memory_of_all_listings_is_bounded() {
        let listings = Listings::default();
        let path = |number: usize| {
            let base_name = format!("{number:032}-x");
            StoreDir::default().parse_base_name(&base_name).unwrap()
        };
        let listing = || Listing {
            entries: Vec::new(),
            text: vec![0; MAX_KEPT / 4],
        };
        for number in (0..10).chain(0..10) {
            listings.keep(&path(number), listing(), 1);
        }
        let kept: Vec<usize> = (0..10)
            .filter(|&number| listings.take(&path(number)).is_some())
            .collect();
        assert_eq!(kept, [0, 1, 2, 3]);
        listings.keep(&path(9), listing(), 1);
        assert!(listings.take(&path(9)).is_some());
    }
}
