use std::collections::{BTreeMap, BTreeSet};

use nix_compat::tree::Visit;
use proptest::prelude::*;

use super::*;
use crate::bytes::tar::Owner;

/// A store in memory: directories, `None` for files, and links, by absolute path.
#[derive(Debug, Clone, Default)]
struct Store {
    entries: BTreeMap<String, Option<String>>,
    directories: BTreeSet<String>,
}

/// The store path of the package with this number.
fn package(index: usize) -> String {
    format!("/nix/store/{}-{index}", "0".repeat(32))
}

/// `@/1` stands for the path of package 1.
fn with_packages(text: &str) -> String {
    let mut text = text.to_owned();
    for index in 0..4 {
        text = text.replace(&format!("@/{index}"), &package(index));
    }
    text
}

fn without_packages(text: &str) -> String {
    text.replace(&format!("/nix/store/{}-", "0".repeat(32)), "@/")
}

impl Store {
    /// Packages: for each, its files (`PATH`), empty directories (`PATH/`) and links
    /// (`PATH -> TARGET`). What lies below a file or a link is skipped.
    fn new<T: AsRef<str>>(packages: &[Vec<T>]) -> Self {
        let mut store = Self::default();
        for (index, entries) in packages.iter().enumerate() {
            let root = package(index);
            store.directories.insert(root.clone());
            for entry in entries {
                let (path, target) = match entry.as_ref().split_once(" -> ") {
                    Some((path, target)) => (path, Some(with_packages(target))),
                    None => (entry.as_ref(), None),
                };
                store.add(&root, path, target);
            }
        }
        store
    }

    fn add(&mut self, root: &str, path: &str, target: Option<String>) {
        let mut at = root.to_owned();
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        for parent in parents.split('/').filter(|name| !name.is_empty()) {
            at = format!("{at}/{parent}");
            if self.entries.contains_key(&at) {
                return;
            }
            self.directories.insert(at.clone());
        }
        let path = format!("{at}/{name}");
        if !name.is_empty() && !self.directories.contains(&path) {
            self.entries.entry(path).or_insert(target);
        }
    }

    fn link(&self, packages: &[usize]) -> RootLinks {
        let store_dir = StoreDir::default();
        let packages: Vec<Package> = packages
            .iter()
            .map(|&index| Package::parse(&store_dir, &package(index)).unwrap())
            .collect();
        RootLinks::link(self, &store_dir, &packages).unwrap()
    }
}

impl Trees for Store {
    fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        let root = path.as_str();
        let is_below = |entry: &&String| {
            entry
                .strip_prefix(root)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut paths: Vec<&String> = self.directories.iter().filter(is_below).collect();
        paths.extend(self.entries.keys().filter(is_below));
        // Pre-order: a directory before what is in it, siblings by name.
        paths.sort_by_cached_key(|path| path.split('/').collect::<Vec<_>>());
        if paths.is_empty() {
            let (path, store) = (path.clone(), PathBuf::new());
            return Err(TreeError::Missing { path, store });
        }
        for path in paths {
            let bytes = path.as_bytes();
            match self.entries.get(path) {
                None => visitor.directory(bytes)?,
                Some(None) => visitor.file(bytes, true, &mut Nothing)?,
                Some(Some(target)) => visitor.symlink(bytes, target.as_bytes())?,
            }
        }
        Ok(())
    }
}

struct Nothing;

impl nix_compat::tree::Contents for Nothing {
    fn size(&self) -> u64 {
        0
    }

    fn open(&mut self) -> Result<nix_compat::tree::Opened<'_>, TreeError> {
        Ok(nix_compat::tree::Opened::Stream(Box::new(io::empty())))
    }
}

/// What is in the root: `PATH -> TARGET`, and `PATH/` for empty directories.
fn shown(root: &RootLinks) -> Vec<String> {
    fn show(entries: &Directory, at: &str, found: &mut Vec<String>) {
        for (name, node) in entries {
            let path = format!("{at}{}", String::from_utf8_lossy(name));
            match node {
                Node::Link { text, .. } => {
                    found.push(format!("{path} -> {}", String::from_utf8_lossy(text)));
                }
                Node::Directory { entries, .. } if entries.is_empty() => {
                    found.push(format!("{path}/"));
                }
                Node::Directory { entries, .. } => show(entries, &format!("{path}/"), found),
            }
        }
    }
    let mut found = Vec::new();
    show(&root.entries, "", &mut found);
    found.iter().map(|line| without_packages(line)).collect()
}

/// Links all of some packages, in their order; gives the root and the warnings.
fn linked(packages: &[&[&str]]) -> (Vec<String>, Vec<String>) {
    let packages: Vec<Vec<&str>> = packages.iter().map(|entries| entries.to_vec()).collect();
    let order: Vec<usize> = (0..packages.len()).collect();
    let root = Store::new(&packages).link(&order);
    let warnings = root
        .left_out
        .iter()
        .map(|left_out| without_packages(&left_out.to_string()));
    (shown(&root), warnings.collect())
}

#[test]
fn directories_are_merged_and_files_become_links() {
    let (found, left_out) = linked(&[&["bin/a", "etc/x"], &["bin/b", "lib/c.so", "var/empty/"]]);
    let expected = [
        "bin/a -> @/0/bin/a",
        "bin/b -> @/1/bin/b",
        "etc/x -> @/0/etc/x",
        "lib/c.so -> @/1/lib/c.so",
        "var/empty/",
    ];
    assert_eq!(found, expected);
    assert!(left_out.is_empty());
}

#[test]
fn links_are_kept_as_they_are() {
    let (found, _) = linked(&[&[
        "bin/bash",
        "bin/sh -> bash",
        "etc/away -> /nowhere",
        "lib/x -> ../etc/away",
    ]]);
    let expected = [
        "bin/bash -> @/0/bin/bash",
        "bin/sh -> bash",
        "etc/away -> /nowhere",
        "lib/x -> ../etc/away",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_relative_link_that_would_lead_elsewhere_is_a_link_to_itself() {
    let other = package(1).replace("/nix/store/", "");
    // Out of its package, into another.
    let out = format!("share/doc -> ../../{other}/doc");
    let (found, _) = linked(&[&[&out], &["doc/x"]]);
    assert_eq!(found, ["doc/x -> @/1/doc/x", "share/doc -> @/0/share/doc"]);
    // Out of a directory that lies elsewhere in the root.
    let (found, _) = linked(&[
        &["s -> usr/bin", "usr/bin/a"],
        &["f", "s/l -> ../f", "s/m -> l"],
    ]);
    assert_eq!(
        found,
        [
            "f -> @/1/f",
            "s -> usr/bin",
            "usr/bin/a -> @/0/usr/bin/a",
            "usr/bin/l -> @/1/s/l",
            "usr/bin/m -> l"
        ]
    );
}

#[test]
fn the_first_of_two_equal_names_wins_and_the_warning_names_both() {
    let (found, left_out) = linked(&[
        &["bin/a", "bin/sh -> a"],
        &["bin/a", "bin/sh -> b"],
        &["bin/a/b"],
        &["bin"],
    ]);
    assert_eq!(found, ["bin/a -> @/0/bin/a", "bin/sh -> a"]);
    let warnings = [
        "@/1/bin/a is left out of the image's root: @/0/bin/a has the same name",
        "@/1/bin/sh is left out of the image's root: @/0/bin/sh has the same name",
        "@/2/bin/a is left out of the image's root: @/0/bin/a has the same name",
        "@/3/bin is left out of the image's root: @/0/bin has the same name",
    ];
    assert_eq!(left_out, warnings);
}

#[test]
fn files_for_builds_are_linked_without_a_warning() {
    let (found, left_out) = linked(&[&["nix-support/setup"], &["nix-support/setup"]]);
    assert_eq!(found, ["nix-support/setup -> @/0/nix-support/setup"]);
    assert!(left_out.is_empty());
}

#[test]
fn links_to_the_same_place_are_one() {
    let (found, left_out) = linked(&[&["bin/sh -> /x"], &["bin/sh -> /x"]]);
    assert_eq!(found, ["bin/sh -> /x"]);
    assert!(left_out.is_empty());
}

#[test]
fn nothing_is_lost_where_a_directory_meets_a_link_to_one() {
    // The link's own directory takes what the other package has.
    let (found, left_out) = linked(&[&["bin/a", "sbin -> bin"], &["sbin/b"]]);
    assert_eq!(
        found,
        ["bin/a -> @/0/bin/a", "bin/b -> @/1/sbin/b", "sbin -> bin"]
    );
    assert!(left_out.is_empty());
    // It is made where it is not there yet.
    let (found, left_out) = linked(&[&["sbin -> bin"], &["sbin/b"], &["bin/a"]]);
    assert_eq!(
        found,
        ["bin/a -> @/2/bin/a", "bin/b -> @/1/sbin/b", "sbin -> bin"]
    );
    assert!(left_out.is_empty());
    // The other way about, what the link leads to is put into the directory.
    let (found, left_out) = linked(&[&["sbin/b"], &["bin/a", "sbin -> bin"]]);
    assert_eq!(
        found,
        [
            "bin/a -> @/1/bin/a",
            "sbin/a -> @/1/bin/a",
            "sbin/b -> @/0/sbin/b"
        ]
    );
    assert!(left_out.is_empty());
    // A link to a directory in the store is opened up.
    let (found, left_out) = linked(&[&["lib -> @/1/lib"], &["lib/c"], &["lib/d"]]);
    assert_eq!(found, ["lib/c -> @/1/lib/c", "lib/d -> @/2/lib/d"]);
    assert!(left_out.is_empty());
    // Both are links.
    let (found, left_out) = linked(&[&["lib -> @/2/x"], &["lib -> y", "y/d"], &["x/c"]]);
    let expected = [
        "lib/c -> @/2/x/c",
        "lib/d -> @/1/y/d",
        "x/c -> @/2/x/c",
        "y/d -> @/1/y/d",
    ];
    assert_eq!(found, expected);
    assert!(left_out.is_empty());
    // A file has room for none.
    let (found, left_out) = linked(&[&["a -> b", "b"], &["a/x"]]);
    assert_eq!((found.len(), left_out.len()), (2, 1));
}

#[test]
fn links_that_loop_come_to_an_end() {
    let packages: [&[&[&str]]; 5] = [
        &[&["a -> a"], &["a/x"]],
        &[&["a -> b", "b -> a"], &["a/x"], &["b -> ."]],
        &[&["a/a/a/x"], &["a -> .", "y"]],
        &[&["a -> @/0", "b -> @/0", "x"], &["a -> .", "b -> .", "y"]],
        &[&["a -> @/0", "x"], &["a -> @/1", "y"], &["a -> .", "z"]],
    ];
    for packages in packages {
        let (found, _) = linked(packages);
        assert!(
            !found.is_empty() && found.len() < 100_000,
            "{}",
            found.len()
        );
    }
}

#[test]
fn a_package_is_a_directory_or_a_link_to_one() {
    let store = Store::new(&[vec!["file", "dir/x", "link -> dir", "away -> /nowhere"]]);
    let store_dir = StoreDir::default();
    let packages = ["/dir", "/link", "/file", "/away"]
        .map(|inside| Package::parse(&store_dir, &(package(0) + inside)).unwrap());
    let root = RootLinks::link(&store, &store_dir, &packages[1..]).unwrap();
    // The link is a reference of the image, as the package is that was asked for.
    assert_eq!(shown(&root), ["x -> @/0/link/x"]);
    assert_eq!(root.not_linked(), &packages[2..]);
    let missing = Package::parse(&store_dir, &package(1)).unwrap();
    let error = RootLinks::link(&store, &store_dir, &[missing]).unwrap_err();
    assert!(matches!(error, TreeError::Missing { .. }), "{error}");
}

#[test]
fn trees_may_be_as_deep_as_nix_allows() {
    let deep = "d/".repeat(2047) + "file";
    let store = Store::new(&[vec![deep.clone()], vec![deep + "2"]]);
    let root = store.link(&[0, 1]);
    assert_eq!(shown(&root).len(), 2);
    let rules = TarRules {
        mtime: 1,
        owner: Owner::root(),
    };
    root.write_layer(crate::sink::LengthSink, &rules).unwrap();
}

#[test]
fn a_directory_and_a_layer_hold_the_same() {
    let store = Store::new(&[vec!["bin/a", "sbin -> bin", "var/empty/"]]);
    let root = store.link(&[0]);
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("root");
    root.lay_out(&directory).unwrap();
    assert!(directory.join("var/empty").is_dir());
    assert_eq!(
        fs::read_link(directory.join("sbin")).unwrap(),
        Path::new("bin")
    );
    assert_eq!(
        fs::read_link(directory.join("bin/a")).unwrap(),
        Path::new(&(package(0) + "/bin/a"))
    );
    let error = root.lay_out(&directory).unwrap_err();
    assert!(error.to_string().contains("cannot make"), "{error}");
}

/// The image as its kernel sees it: the root, and the store below it.
struct Machine<'a> {
    root: &'a RootLinks,
    store: &'a Store,
}

impl Machine<'_> {
    /// The file or directory that a path leads to; `None` if it leads nowhere.
    fn real(&self, path: &str) -> Option<String> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => {}
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => match self.at(&format!("{at}/{name}"))? {
                    Some(text) => {
                        links += 1;
                        if links > 40 {
                            return None;
                        }
                        if text.starts_with('/') {
                            at.clear();
                        }
                        rest.extend(text.split('/').rev().map(str::to_owned));
                    }
                    None => at = format!("{at}/{name}"),
                },
            }
        }
        Some(at)
    }

    /// What is there: a link's text, or `None` for anything else.
    fn at(&self, path: &str) -> Option<Option<String>> {
        if self.store.directories.contains(path) || "/nix/store".starts_with(path) {
            return Some(None);
        }
        if let Some(entry) = self.store.entries.get(path) {
            return Some(entry.clone());
        }
        let mut entries = &self.root.entries;
        let mut names = path[1..].split('/').peekable();
        loop {
            match (entries.get(names.next()?.as_bytes())?, names.peek()) {
                (Node::Directory { .. }, None) => return Some(None),
                (Node::Directory { entries: inner, .. }, Some(_)) => entries = inner,
                (Node::Link { text, .. }, None) => {
                    return Some(Some(String::from_utf8(text.clone()).unwrap()));
                }
                (Node::Link { .. }, Some(_)) => return None,
            }
        }
    }
}

/// Entries of a package: short names, so that they meet, and links of all kinds.
fn entries() -> impl Strategy<Value = Vec<String>> {
    let path = "[ab](/[abc]){0,3}";
    let out = format!("../../{}/b", package(1).replace("/nix/store/", ""));
    let targets = [
        ".",
        "..",
        "a",
        "b",
        "c",
        "a/b",
        "../a",
        "../../b",
        "../../../c",
        "/a",
        "/b/c",
        "/nowhere",
        "@/0",
        "@/0/a",
        "@/1/b",
        "@/2/a/b",
        "@/3",
        &out,
    ]
    .map(str::to_owned);
    let target = proptest::sample::select(targets.to_vec());
    let entry = prop_oneof![
        3 => path.prop_map(|path| path),
        1 => path.prop_map(|path| path + "/"),
        2 => (path, target).prop_map(|(path, target)| format!("{path} -> {target}")),
    ];
    proptest::collection::vec(entry, 0..8)
}

fn every_entry(root: &RootLinks) -> Vec<(Vec<u8>, &Node)> {
    let mut found = Vec::new();
    let mut todo = vec![&root.entries];
    while let Some(entries) = todo.pop() {
        for (name, node) in entries {
            found.push((name.clone(), node));
            if let Node::Directory { entries, .. } = node {
                todo.push(entries);
            }
        }
    }
    found
}

proptest! {
    #[test]
    fn nothing_is_lost_or_invented(packages in proptest::collection::vec(entries(), 1..4)) {
        let store = Store::new(&packages);
        let order: Vec<usize> = (0..packages.len()).collect();
        let root = store.link(&order);
        let image = Machine { root: &root, store: &store };
        let is_left_out = |path: &str| root.left_out.iter().any(|left_out| {
            let left_out = String::from_utf8_lossy(&left_out.path);
            path.strip_prefix(&*left_out).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        for (path, target) in &store.entries {
            let index: usize = path[44..45].parse().unwrap();
            let inside = &path[45..];
            let found = image.real(inside);
            if is_left_out(path) && index > 0 {
                continue;
            }
            if target.is_none() {
                prop_assert_eq!(found.as_deref(), Some(path.as_str()), "{:?}", shown(&root));
            } else {
                let (parent, name) = inside.rsplit_once('/').unwrap();
                let place = image.real(parent).map(|parent| format!("{parent}/{name}"));
                prop_assert!(place.is_some_and(|place| image.at(&place).is_some()), "{} in {:?}", path, shown(&root));
            }
        }
        for (name, node) in every_entry(&root) {
            let of = match node {
                Node::Directory { first, .. } => first,
                Node::Link { text, of } => of.as_ref().unwrap_or(text),
            };
            let of = String::from_utf8_lossy(of);
            let entry = store.entries.get(&*of);
            match node {
                Node::Link { text, of: Some(_) } => {
                    let target = entry.and_then(Option::as_ref);
                    prop_assert_eq!(target.map(String::as_bytes), Some(text.as_slice()));
                }
                Node::Link { .. } => prop_assert!(entry.is_some(), "{}", of),
                Node::Directory { .. } => continue,
            }
            prop_assert!(of.as_bytes().ends_with(&name), "{} {:?}", of, name);
        }
        // And the same again.
        prop_assert_eq!(&store.link(&order).entries, &root.entries);
    }

    #[test]
    fn a_package_alone_is_in_the_root_as_it_is(entries in entries()) {
        let store = Store::new(&[entries]);
        let root = store.link(&[0]);
        prop_assert!(root.left_out.is_empty());
        let image = Machine { root: &root, store: &store };
        for path in store.entries.keys() {
            let real = image.real(path);
            if real.as_ref().is_some_and(|real| store.entries.contains_key(real)) {
                prop_assert_eq!(real, image.real(&path[45..]), "{}: {:?}", path, shown(&root));
            }
        }
    }

    #[test]
    fn of_equal_names_the_first_is_kept(entries in proptest::collection::vec(entries(), 2..4)) {
        let store = Store::new(&entries);
        let order: Vec<usize> = (0..entries.len()).rev().collect();
        let root = store.link(&order);
        let image = Machine { root: &root, store: &store };
        let first = package(order[0]);
        for (path, _) in store.entries.iter().filter(|(_, target)| target.is_none()) {
            if let Some(inside) = path.strip_prefix(&first) {
                let found = image.real(inside);
                prop_assert_eq!(found.as_deref(), Some(path.as_str()));
            }
        }
    }
}
