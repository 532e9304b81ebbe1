//! Any tree of files and links, streamed, and read back by independent readers.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use crate::support::program::{stream_layered, succeed};
use crate::support::store_tree::StoreRoot;

/// An entry as it is laid out, and as it must come back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory(BTreeMap<Vec<u8>, Entry>),
    File { bytes: Vec<u8>, executable: bool },
    Link(Vec<u8>),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("names have neither", |byte| !matches!(byte, 0 | b'/'));
    let bytes = prop::collection::vec(byte, 1..12);
    let text = "[a-zé日🦀 .\\-]{1,8}".prop_map(String::into_bytes);
    let long = (90usize..=255).prop_map(|length| vec![b'n'; length]);
    prop_oneof![4 => text, 2 => bytes, 1 => long]
        .prop_filter("not the directory itself", |name| {
            !matches!(name.as_slice(), b"." | b"..")
        })
        .prop_filter("as long as a name may be", |name| name.len() <= 255)
}

fn leaf() -> impl Strategy<Value = Entry> {
    let size = prop_oneof![
        Just(0usize),
        1usize..100,
        510usize..515,
        1023usize..1026,
        32_760usize..32_780,
        Just(70_000)
    ];
    let file =
        (size, any::<u8>(), any::<bool>()).prop_map(|(size, byte, executable)| Entry::File {
            bytes: vec![byte; size],
            executable,
        });
    let target = prop_oneof![name(), (95usize..130).prop_map(|length| vec![b't'; length])];
    prop_oneof![3 => file, 1 => target.prop_map(Entry::Link)]
}

fn tree() -> impl Strategy<Value = Entry> {
    leaf().prop_recursive(4, 24, 6, |inner| {
        prop::collection::btree_map(name(), inner, 0..6).prop_map(Entry::Directory)
    })
}

fn lay_out(at: &Path, entry: &Entry) {
    match entry {
        Entry::Directory(entries) => {
            fs::create_dir(at).unwrap();
            for (name, entry) in entries {
                lay_out(&at.join(OsStr::from_bytes(name)), entry);
            }
        }
        Entry::File { bytes, executable } => {
            fs::write(at, bytes).unwrap();
            fs::set_permissions(
                at,
                fs::Permissions::from_mode(if *executable { 0o555 } else { 0o444 }),
            )
            .unwrap();
        }
        Entry::Link(target) => std::os::unix::fs::symlink(OsStr::from_bytes(target), at).unwrap(),
    }
}

fn read_back(at: &Path) -> Entry {
    let metadata = fs::symlink_metadata(at).unwrap();
    if metadata.is_symlink() {
        return Entry::Link(fs::read_link(at).unwrap().as_os_str().as_bytes().to_vec());
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() {
        assert!(matches!(mode, 0o444 | 0o555), "{}: {mode:o}", at.display());
        return Entry::File {
            bytes: fs::read(at).unwrap(),
            executable: mode == 0o555,
        };
    }
    assert_eq!(mode, 0o555, "{}", at.display());
    let entry = |entry: fs::DirEntry| {
        (
            entry.file_name().as_bytes().to_vec(),
            read_back(&entry.path()),
        )
    };
    Entry::Directory(
        fs::read_dir(at)
            .unwrap()
            .map(|found| entry(found.unwrap()))
            .collect(),
    )
}

/// A store of these trees, each using the one before, and its graph.
fn store(trees: &[Entry]) -> (StoreRoot, Vec<String>) {
    let root = StoreRoot::new();
    let base_name = |at: usize| {
        format!(
            "{}-tree{at}",
            "0123456789abcdfghijklmnpqrsvwxyz"
                .chars()
                .cycle()
                .skip(at)
                .take(32)
                .collect::<String>()
        )
    };
    let mut graph = Vec::new();
    for (at, tree) in trees.iter().enumerate() {
        lay_out(&root.store().join(base_name(at)), tree);
        let used: Vec<String> = at
            .checked_sub(1)
            .map(|below| format!("/nix/store/{}", base_name(below)))
            .into_iter()
            .collect();
        graph.push(json!({"path": format!("/nix/store/{}", base_name(at)), "narSize": 100 * at, "references": used}));
    }
    fs::write(root.path().join("graph.json"), json!(graph).to_string()).unwrap();
    (root, (0..trees.len()).map(base_name).collect())
}

fn stream(root: &StoreRoot, options: &[&str]) -> Vec<u8> {
    let mut command = stream_layered();
    command
        .arg("--store")
        .arg(root.path())
        .arg("--closure")
        .arg(root.path().join("graph.json"));
    succeed(
        command
            .args(["-q", "--no-cache", "--cmd", "x"])
            .args(options),
    )
}

/// The tars of the image's layers.
fn layers(archive: &[u8], into: &Path) -> Vec<PathBuf> {
    let mut layers = Vec::new();
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path_bytes().ends_with(b"/layer.tar") {
            let file = into.join(format!("layer{}.tar", layers.len()));
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            fs::write(&file, bytes).unwrap();
            layers.push(file);
        }
    }
    layers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn trees_come_back_as_they_were(trees in prop::collection::vec(tree(), 1..5), most in 2..7usize) {
        let (root, names) = store(&trees);
        let most = most.to_string();
        let archive = stream(&root, &["--max-layers", &most]);
        prop_assert!(stream(&root, &["--max-layers", &most, "--jobs", "5"]) == archive);

        let out = TempDir::new().unwrap();
        let mut seen = BTreeSet::new();
        let all = layers(&archive, out.path());
        for layer in &all[..all.len() - 1] {
            // Permissions as they are in the archive, whoever runs the test.
            let list = Command::new("tar").arg("--warning=no-unknown-keyword").arg("-tf").arg(layer).arg("--quoting-style=literal").output().unwrap();
            for name in &names {
                let start = format!("/nix/store/{name}");
                let holds = list.stdout.split(|&byte| byte == b'\n').any(|line| line == start.as_bytes() || line.starts_with(format!("{start}/").as_bytes()));
                prop_assert!(!holds || seen.insert(name.clone()), "{} is in two layers", name);
            }
            let status = Command::new("tar").args(["--warning=no-unknown-keyword", "--no-same-owner", "-P", "--transform=s,^/,,", "--no-overwrite-dir", "-xpf"]).arg(layer).current_dir(out.path()).status().unwrap();
            prop_assert!(status.success());
        }
        prop_assert_eq!(seen.len(), names.len());
        for (name, tree) in names.iter().zip(&trees) {
            prop_assert_eq!(&read_back(&out.path().join("nix/store").join(name)), tree);
        }
        // Directories that nobody may write could not be deleted by anybody but root.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(out.path()).status();
    }
}
