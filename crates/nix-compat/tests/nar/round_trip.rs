//! For any tree, and for any bytes.

use std::io;

use nix_compat::nar::{Limits, Listing, Reader};
use proptest::prelude::*;

use super::{Shown, Tree, read, strings, write};

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z.é_-]{1,12}".prop_map(String::into_bytes),
        prop::collection::vec(1..=255_u8, 1..12),
    ]
    .prop_filter("a name", |name| {
        !name.contains(&b'/') && !matches!(name.as_slice(), b"." | b"..")
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (any::<bool>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(executable, data)| Tree::File(executable, data)),
        prop::collection::vec(1..=255_u8, 1..20).prop_map(Tree::Symlink),
    ];
    leaf.prop_recursive(4, 40, 6, |child| {
        prop::collection::btree_map(name(), child, 0..6).prop_map(Tree::Directory)
    })
}

fn entries(path: &str, tree: &Tree, into: &mut Vec<Shown>) {
    let shown = match tree {
        Tree::Directory(_) => "directory".to_owned(),
        Tree::File(executable, data) => format!("{executable} {}", data.escape_ascii()),
        Tree::Symlink(target) => format!("-> {}", target.escape_ascii()),
    };
    into.push((path.to_owned(), shown));
    if let Tree::Directory(children) = tree {
        for (name, child) in children {
            let slash = if path.is_empty() { "" } else { "/" };
            entries(
                &format!("{path}{slash}{}", name.escape_ascii()),
                child,
                into,
            );
        }
    }
}

fn json(tree: &Tree) -> Option<serde_json::Value> {
    Some(match tree {
        Tree::Directory(children) => {
            let children = children
                .iter()
                .map(|(name, child)| Some((String::from_utf8(name.clone()).ok()?, json(child)?)))
                .collect::<Option<serde_json::Map<_, _>>>()?;
            serde_json::json!({"type": "directory", "entries": children})
        }
        Tree::File(false, data) => serde_json::json!({"type": "regular", "size": data.len()}),
        Tree::File(true, data) => {
            serde_json::json!({"type": "regular", "size": data.len(), "executable": true})
        }
        Tree::Symlink(target) => {
            serde_json::json!({"type": "symlink", "target": String::from_utf8(target.clone()).ok()?})
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(tree in tree(), capacity in 1..40_usize) {
        let nar = write(&tree).unwrap();
        // Small buffers, so that strings and contents lie across their borders.
        let input = io::BufReader::with_capacity(capacity, nar.as_slice());
        let size = nar.len() as u64;
        let (shown, again) = read(input, Limits { size, ..Limits::default() }).unwrap();
        let mut expected = Vec::new();
        entries("", &tree, &mut expected);
        prop_assert_eq!(&shown, &expected);
        prop_assert_eq!(&again, &nar);
        if let Some(root) = json(&tree) {
            let text = serde_json::json!({"version": 1, "root": root}).to_string();
            prop_assert_eq!(Listing::parse(text.as_bytes()).unwrap().nar_size(), size);
        }
        // Contents that are not taken are skipped.
        let mut names = Reader::new(nar.as_slice(), Limits::default());
        let mut count = 0;
        while names.next_entry().unwrap().is_some() {
            count += 1;
        }
        prop_assert_eq!(count, expected.len());
        names.finish().unwrap();
    }

    #[test]
    fn a_changed_byte_is_another_tree_or_an_error(tree in tree(), at in any::<prop::sample::Index>(), with in 1..=255_u8) {
        let mut nar = write(&tree).unwrap();
        let at = at.index(nar.len());
        nar[at] ^= with;
        if let Ok((_, again)) = read(nar.as_slice(), Limits::default()) {
            prop_assert_eq!(again, nar);
        }
    }

    #[test]
    fn any_bytes_give_a_tree_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let with_start = [strings(&[b"nix-archive-1", b"(", b"type"]), bytes.clone()].concat();
        for bytes in [bytes, with_start] {
            if let Ok((_, again)) = read(bytes.as_slice(), Limits::default()) {
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
