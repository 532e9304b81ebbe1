//! The order of siblings from a NAR is that of the same tree in the file system.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix_compat::nar;
use nix_compat::narinfo::Compression;
use proptest::prelude::*;
use stores::StoreFiles;

use crate::made::{Made, path};
use crate::shown::{outline, shown};

/// Directories, and files with their own names in them.
#[derive(Debug, Clone)]
enum Tree {
    Directory(BTreeMap<Vec<u8>, Tree>),
    File,
}

impl Tree {
    fn in_nar(&self, nar: &mut nar::Writer<Vec<u8>>, path: &[u8]) {
        match self {
            Self::Directory(children) => {
                nar.directory(path).unwrap();
                for (name, child) in children {
                    let path = match path {
                        b"" => name.clone(),
                        _ => [path, name].join(&b'/'),
                    };
                    child.in_nar(nar, &path);
                }
            }
            Self::File if path.len().is_multiple_of(3) => nar.symlink(path, path).unwrap(),
            Self::File => {
                let size = path.len() as u64;
                nar.file(path, false, size, &mut &*path).unwrap();
            }
        }
    }

    fn in_files(&self, root: &Path, path: &[u8]) {
        let place = match path {
            b"" => root.to_owned(),
            _ => root.join(std::ffi::OsStr::from_bytes(path)),
        };
        match self {
            Self::Directory(children) => {
                fs::create_dir(&place).unwrap();
                for (name, child) in children {
                    let path = match path {
                        b"" => name.clone(),
                        _ => [path, name].join(&b'/'),
                    };
                    child.in_files(root, &path);
                }
            }
            Self::File if path.len().is_multiple_of(3) => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(path), place).unwrap();
            }
            Self::File => fs::write(place, path).unwrap(),
        }
    }
}

fn same_order(tree: &Tree) {
    let path = path(1);
    let mut nar = nar::Writer::new(Vec::new());
    tree.in_nar(&mut nar, b"");
    let cache = Made::new();
    cache.add(
        &path,
        &nar.finish().unwrap(),
        Compression::None,
        &[],
        |_| {},
    );
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join(&path.as_str()[1..]);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    tree.in_files(&place, b"");
    let files = StoreFiles::below(root.path());
    let caches = cache.open();
    let expected = shown(&files, &path).unwrap();
    assert_eq!(shown(&caches, &path).unwrap(), expected);
    let expected = outline(&files, &path).unwrap();
    assert_eq!(outline(&caches, &path).unwrap(), expected);
    assert_eq!(outline(&caches.outlines(), &path).unwrap(), expected);
}

fn directory(names: &[&[u8]], child: &Tree) -> Tree {
    let children = names.iter().map(|name| (name.to_vec(), child.clone()));
    Tree::Directory(children.collect())
}

#[test]
fn names_that_are_no_utf8_stand_between_the_planes() {
    let names: [&[u8]; 8] = [
        b"a",
        b"z",
        b"\x80",
        "é".as_bytes(),
        b"\xc3(",
        "\u{e000}".as_bytes(),
        "𐀀".as_bytes(),
        b"\xff",
    ];
    let inner = directory(&names, &Tree::File);
    same_order(&inner);
    same_order(&directory(&names, &inner));
    same_order(&directory(&[b"a", b"b"], &directory(&names, &inner)));
    same_order(&directory(&[], &Tree::File));
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        &b"a"[..],
        b"b",
        b"\x80",
        b"\xc3",
        b"\xc3\xa9",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xf0\x90\x80\x80",
        b"\xff",
    ]);
    prop::collection::vec(part, 1..3).prop_map(|parts| parts.concat())
}

fn tree() -> impl Strategy<Value = Tree> {
    Just(Tree::File).prop_recursive(3, 30, 8, |child| {
        prop::collection::btree_map(name(), child, 0..8).prop_map(Tree::Directory)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_has_the_order_of_files(tree in tree()) {
        // A link or a file of no name is not what this is about.
        prop_assume!(matches!(tree, Tree::Directory(_)));
        same_order(&tree);
    }
}
