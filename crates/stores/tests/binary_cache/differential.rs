//! What Nix copies from a cache is taken here, and nothing else, but for the rules that
//! `docs/binary-caches.md` names. Hundreds of paths of one cache are spoilt in one way each, and both are
//! asked for all of them.

mod addressed;
mod narinfos;
mod nars;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use nix_compat::narinfo::Compression;
use nix_compat::{ContentAddress, StoreDir, StorePath};
use stores::LocalStore;
use test_peers::needs;

use crate::made::{Made, path, some_nar};
use crate::shown::{chain, shown};

/// A cache with paths, each spoilt in its own way.
struct Spoilt {
    made: Made,
    /// What was done to each.
    paths: BTreeMap<StorePath, String>,
}

const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Xz,
    Compression::Zstd,
    Compression::Gzip,
    Compression::Bzip2,
];

impl Spoilt {
    fn new() -> Self {
        let made = Made::new();
        made.add(&path(0), &some_nar(40), Compression::None, &[], |_| {});
        Self {
            made,
            paths: BTreeMap::new(),
        }
    }

    /// A path that refers to itself and another, with this NAR; its narinfo's text is edited.
    fn add(
        &mut self,
        what: &str,
        nar: &[u8],
        compression: Compression,
        edit: impl FnOnce(&str) -> Vec<u8>,
    ) {
        let path = path(self.paths.len() + 1);
        let references = [self::path(0), path.clone()];
        self.made.add(&path, nar, compression, &references, |info| {
            info.deriver = StoreDir::default()
                .parse_base_name("11111111111111111111111111111111-d.drv")
                .ok();
        });
        self.note(what, path, edit);
    }

    /// A path that nobody signed.
    fn add_addressed(
        &mut self,
        what: &str,
        address: &str,
        nar: &[u8],
        references: &[StorePath],
        edit: impl FnOnce(&str) -> Vec<u8>,
    ) {
        let name = format!("addressed-{}", self.paths.len());
        let any = StoreDir::default()
            .parse_base_name(&format!("{:032}-{name}", 900_000 + self.paths.len()))
            .unwrap();
        let path = ContentAddress::parse(address)
            .and_then(|address| address.store_path(&StoreDir::default(), &any, references))
            .unwrap_or(any);
        self.made
            .add(&path, nar, Compression::None, references, |info| {
                info.signatures.clear();
                info.ca = Some(address.to_owned());
            });
        self.note(what, path, edit);
    }

    fn note(&mut self, what: &str, path: StorePath, edit: impl FnOnce(&str) -> Vec<u8>) {
        let name = self.made.path().join(format!("{}.narinfo", path.hash()));
        let text = fs::read_to_string(&name).unwrap();
        fs::write(name, edit(&text)).unwrap();
        self.paths.insert(path, what.to_owned());
    }

    /// The usual path, with an edited narinfo.
    fn text(&mut self, what: &str, edit: impl FnOnce(&str) -> Vec<u8>) {
        self.add(what, &some_nar(40), Compression::Zstd, edit);
    }

    /// The usual path, whose narinfo has another line in the place of a field's.
    fn line(&mut self, what: &str, field: &str, other: impl FnOnce(&str) -> String) {
        self.text(&format!("{field}: {what}"), |text| {
            let start = format!("{field}: ");
            let mut other = Some(other);
            let lines = text.split_inclusive('\n').map(|line| {
                match line
                    .strip_prefix(&start)
                    .zip(other.take_if(|_| line.starts_with(&start)))
                {
                    Some((value, other)) => other(value.trim_end_matches('\n')),
                    None => line.to_owned(),
                }
            });
            lines.collect::<String>().into_bytes()
        });
    }

    /// Those that Nix copies, and what it says.
    fn by_nix(&self) -> (Vec<StorePath>, String) {
        let root = tempfile::tempdir().unwrap();
        let paths: Vec<StorePath> = self.paths.keys().cloned().collect();
        let mut said = String::new();
        let mut groups = vec![&paths[..]];
        while let Some(group) = groups.pop() {
            let of_group = self.realise(root.path(), group);
            // Some faults end Nix before it has tried every path.
            if of_group.contains("error: build of ") || group.len() == 1 {
                said += &of_group;
            } else {
                let (first, second) = group.split_at(group.len() / 2);
                groups.extend([second, first]);
            }
        }
        let valid = LocalStore::below(root.path()).nar_hashes(&paths);
        let valid = valid.unwrap_or_else(|error| panic!("{error}: {said}"));
        (valid.into_keys().collect(), said)
    }

    /// Has Nix fetch paths, and gives what it says.
    fn realise(&self, root: &Path, paths: &[StorePath]) -> String {
        let nix = std::env::var("STREAM_LAYERED_TEST_NIX_NEW").unwrap();
        let keys = self.made.trust().keys;
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let output = Command::new(Path::new(&nix).with_file_name("nix-store"))
            .arg("--store")
            .arg(root)
            .arg("--realise")
            .args(paths.iter().map(StorePath::as_str))
            .args(["--keep-going", "--fallback", "--max-jobs", "0"])
            .args(["--option", "substituters", &self.made.url()])
            .args(["--option", "trusted-public-keys", &keys.join(" ")])
            .args(["--option", "require-sigs", "true"])
            .args(["--option", "build-users-group", ""])
            .args(["--option", "narinfo-cache-positive-ttl", "0"])
            .env("HOME", root)
            .env("NIX_CONF_DIR", root)
            .env_remove("NIX_REMOTE")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Whether a path is taken here.
    fn take(&self, path: &StorePath) -> Result<(), String> {
        let caches = self.made.open();
        let closure = caches.closure(std::slice::from_ref(path));
        closure.map_err(|error| chain(&error))?;
        shown(&caches, path).map(|_| ())
    }
}

/// What Nix copies and is refused here, by parts of its name; the rules stand in
/// `docs/binary-caches.md`.
const REFUSED_HERE: [&[&str]; 9] = [
    // A value has no NUL, and none is cut there.
    &["Compression: a NUL"],
    // A field's name is followed by `: `.
    &["FileSize: without a space"],
    // Nothing follows the NAR, and it is compressed once.
    &["file of", ": bytes after it"],
    &["file of", ": zeros after it"],
    &["file of", ": twice"],
    &["file of", ": a longer NAR"],
    &["file of", ": compressed twice"],
    // The hash of a file's content does not say that it is executable.
    &["CA: file, executable"],
    &["CA: text, executable"],
];
/// What is taken here and Nix does not copy.
const TAKEN_HERE: [&[&str]; 7] = [
    // Lines may be empty, or end as on Windows, and an empty field needs no space.
    &["blank line"],
    &["carriage return"],
    &["unknown empty field"],
    // What says how the file is kept does not matter.
    &["FileHash: "],
    &["FileSize: "],
    // A path that a trusted key signed needs no other proof.
    &["CA of a signed path: "],
    // Nix takes 64.
    &["NAR: 300 levels"],
];

#[needs(newer_nix)]
#[test]
fn nix_takes_the_same() {
    let mut spoilt = Spoilt::new();
    spoilt.narinfos();
    spoilt.values();
    spoilt.files();
    spoilt.nars();
    spoilt.addressed();
    assert!(spoilt.paths.len() > 500, "{}", spoilt.paths.len());
    let (taken, said) = spoilt.by_nix();
    let mut unused: Vec<&[&str]> = [&REFUSED_HERE[..], &TAKEN_HERE].concat();
    let mut differences = Vec::new();
    for (path, what) in &spoilt.paths {
        let here = spoilt.take(path);
        let (rules, side) = match (taken.contains(path), &here) {
            (true, Err(_)) => (&REFUSED_HERE[..], "Nix takes"),
            (false, Ok(())) => (&TAKEN_HERE[..], "taken here alone"),
            _ => continue,
        };
        match rules
            .iter()
            .find(|rule| rule.iter().all(|part| what.contains(part)))
        {
            Some(rule) => unused.retain(|other| other != rule),
            None => {
                let of_nix = said
                    .lines()
                    .find(|line| line.contains(path.hash()) && line.contains("error"));
                differences.push(format!("{side}: {what}: {here:?} {of_nix:?}"));
            }
        }
    }
    let taken = taken.len();
    assert!(
        differences.is_empty(),
        "{taken} of {}\n{}",
        spoilt.paths.len(),
        differences.join("\n")
    );
    assert!(unused.is_empty(), "rules that nothing needs: {unused:?}");
    assert!(taken > 100);
}
