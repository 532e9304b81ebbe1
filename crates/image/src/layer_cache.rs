//! A cache of layers' digests on this machine, so that a layer whose store paths did not change is
//! not hashed again.
//!
//! # What is trusted, and why
//!
//! The key of an entry is made of the layer's store paths, their NAR hashes, and every setting that
//! reaches the layer's bytes. A NAR hash fixes names, contents, executable bits and links of a
//! path's tree, so equal keys mean equal tars, as long as the store holds what Nix says it does;
//! that Nix itself trusts (`nix store verify` checks it). The cache is a file of the user's own,
//! like the store's database of the system: who can write there can run programs as the user.
//! Damage is not trusted: each entry carries a checksum of its own, and the length of the layer,
//! which follows from names and sizes, is compared before an entry is used. Should a digest still
//! be wrong, it ends in an error, and never in a wrong image: engines and registries check digests
//! when they unpack, and `--verify` does so while the image is written.
//!
//! # The file
//!
//! One line an entry, `KEY DIGEST SIZE CHECKSUM`; the last line of a key counts. A line is
//! appended with one write, so that many processes can add to it at once; a line that is cut or
//! damaged is passed over. When the file grows too large, its newer half is kept. Its name carries
//! the version of the format and of the layers' bytes.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix_compat::{NarHash, StorePath};

use crate::new_file::{NewFile, directory_of};
use crate::tar::TarRules;
use crate::{Digest, LayerDigest};

/// The file's name. It moves with the format of the lines, and with the bytes of layers.
const FILE: &str = "layers-v1";

/// Length from which on the file is cut to half, in bytes: some fifty thousand entries.
const MAX_LENGTH: u64 = if cfg!(test) { 1 << 20 } else { 8 << 20 };

/// Digits of a line's checksum.
const CHECKSUM: usize = 16;

/// Names what fixes a layer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerKey(Digest);

impl LayerKey {
    /// The key of a layer of store paths, in their order, under these rules.
    pub fn new<'a>(
        rules: &TarRules,
        paths: impl IntoIterator<Item = (&'a StorePath, &'a NarHash)>,
    ) -> Self {
        let mut text = format!(
            "stream-layered layer 1\n{} {} {}\n",
            rules.mtime, rules.owner.uid, rules.owner.gid
        );
        for name in [&rules.owner.uname, &rules.owner.gname] {
            text += &format!("{} {name}\n", name.len());
        }
        for (path, hash) in paths {
            text += &format!("{path} {hash}\n");
        }
        Self(Digest::of(text.as_bytes()))
    }

    /// The key of a layer whose tar is known by its digest.
    pub fn of_tar(diff_id: &Digest) -> Self {
        Self(Digest::of(
            format!("stream-layered tar {diff_id}\n").as_bytes(),
        ))
    }

    /// The key of the same layer in another form, such as a compression.
    #[must_use]
    pub fn in_form(&self, form: &str) -> Self {
        Self(Digest::of(format!("{} {form}\n", self.0).as_bytes()))
    }

    /// The key as text of base 16.
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

/// The cache, as it was when it was opened, and what was added since.
pub struct LayerCache {
    file: Option<PathBuf>,
    /// Never printed, and looked up by key alone.
    entries: HashMap<LayerKey, LayerDigest>,
}

impl LayerCache {
    /// A cache that holds nothing and keeps nothing.
    pub fn none() -> Self {
        Self {
            file: None,
            entries: HashMap::new(),
        }
    }

    /// Opens the cache in a directory, which need not be there yet. A cache that cannot be read
    /// is an empty one.
    pub fn open(directory: &Path) -> Self {
        let file = directory.join(FILE);
        let text = fs::read(&file).unwrap_or_default();
        let entries = text
            .split(|&byte| byte == b'\n')
            .filter_map(parse_line)
            .collect();
        Self {
            file: Some(file),
            entries,
        }
    }

    /// What the cache knows of a layer.
    pub fn get(&self, key: &LayerKey) -> Option<LayerDigest> {
        self.entries.get(key).copied()
    }

    /// Adds what is new.
    ///
    /// # Errors
    ///
    /// The file cannot be written. Nothing is lost by that but time, the next time.
    pub fn add(
        &mut self,
        new: impl IntoIterator<Item = (LayerKey, LayerDigest)>,
    ) -> io::Result<()> {
        let mut lines = String::new();
        for (key, digest) in new {
            if self.entries.insert(key, digest) != Some(digest) {
                lines += &line(&key, &digest);
            }
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        if lines.is_empty() {
            return Ok(());
        }
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut open = OpenOptions::new().append(true).create(true).open(file)?;
        // After a line that was cut short, the first of these would be lost with it.
        open.write_all(format!("\n{lines}").as_bytes())?;
        if open.metadata()?.len() > MAX_LENGTH {
            halve(file)?;
        }
        Ok(())
    }
}

/// Keeps the newer half of the lines.
fn halve(file: &Path) -> io::Result<()> {
    let text = fs::read(file)?;
    let middle = text.len() / 2;
    let start = text[middle..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(text.len(), |at| middle + at + 1);
    let new = NewFile::create_in(directory_of(file))?;
    new.file().write_all(&text[start..])?;
    new.name(file)
}

fn line(key: &LayerKey, digest: &LayerDigest) -> String {
    let entry = format!("{} {} {}", key.hex(), digest.diff_id.hex(), digest.size);
    let checksum = checksum(&entry);
    format!("{entry} {checksum}\n")
}

fn parse_line(line: &[u8]) -> Option<(LayerKey, LayerDigest)> {
    let (entry, found) = str::from_utf8(line).ok()?.rsplit_once(' ')?;
    if found != checksum(entry) {
        return None;
    }
    let mut parts = entry.split(' ');
    let key = LayerKey(Digest::from_hex(parts.next()?).ok()?);
    let diff_id = Digest::from_hex(parts.next()?).ok()?;
    let size = parts.next()?.parse().ok()?;
    parts
        .next()
        .is_none()
        .then_some((key, LayerDigest { diff_id, size }))
}

fn checksum(entry: &str) -> String {
    Digest::of(entry.as_bytes()).hex()[..CHECKSUM].to_owned()
}

#[cfg(test)]
mod tests {
    use nix_compat::StoreDir;
    use tempfile::TempDir;

    use super::*;
    use crate::tar::Owner;

    fn digest(number: u64) -> LayerDigest {
        LayerDigest {
            diff_id: Digest::of(&number.to_le_bytes()),
            size: number,
        }
    }

    fn key(number: u64) -> LayerKey {
        LayerKey(Digest::of(format!("key {number}").as_bytes()))
    }

    #[test]
    fn entries_come_back_and_damaged_ones_do_not() {
        let directory = TempDir::new().unwrap();
        let place = directory.path().join("not/there/yet");
        LayerCache::open(&place)
            .add([(key(1), digest(1)), (key(2), digest(2))])
            .unwrap();
        let file = place.join(FILE);
        let mut text = fs::read_to_string(&file).unwrap();
        let second = text.rfind(&key(2).hex()).unwrap();
        text.replace_range(second + 70..second + 71, "!");
        fs::write(&file, text + "cut off her").unwrap();
        let mut cache = LayerCache::open(&place);
        assert_eq!(
            (cache.get(&key(1)), cache.get(&key(2))),
            (Some(digest(1)), None)
        );
        cache
            .add([(key(2), digest(3)), (key(1), digest(1))])
            .unwrap();
        let cache = LayerCache::open(&place);
        assert_eq!(
            (cache.get(&key(1)), cache.get(&key(2))),
            (Some(digest(1)), Some(digest(3)))
        );
    }

    #[test]
    fn any_bytes_are_a_cache() {
        let directory = TempDir::new().unwrap();
        fs::write(
            directory.path().join(FILE),
            [0xff, b'\n', 0, b' ', b'\n', b' '],
        )
        .unwrap();
        assert_eq!(LayerCache::open(directory.path()).get(&key(1)), None);
    }

    #[test]
    fn the_file_stays_bounded() {
        let directory = TempDir::new().unwrap();
        let most = 2 * MAX_LENGTH / line(&key(0), &digest(0)).len() as u64;
        for start in (0..most).step_by(1000) {
            LayerCache::open(directory.path())
                .add((start..start + 1000).map(|at| (key(at), digest(at))))
                .unwrap();
        }
        assert!(fs::metadata(directory.path().join(FILE)).unwrap().len() <= 2 * MAX_LENGTH);
        let cache = LayerCache::open(directory.path());
        let last = most.next_multiple_of(1000) - 1;
        assert_eq!(
            (cache.get(&key(last)), cache.get(&key(0))),
            (Some(digest(last)), None)
        );
    }

    #[test]
    fn processes_add_at_the_same_time() {
        let directory = TempDir::new().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let directory = &directory;
                scope.spawn(move || {
                    for at in 0..50 {
                        let number = thread * 1000 + at;
                        LayerCache::open(directory.path())
                            .add([(key(number), digest(number))])
                            .unwrap();
                    }
                });
            }
        });
        let cache = LayerCache::open(directory.path());
        let all = (0..8).flat_map(|thread| (0..50).map(move |at| thread * 1000 + at));
        assert!(
            all.into_iter()
                .all(|number| cache.get(&key(number)) == Some(digest(number)))
        );
    }

    #[test]
    fn whatever_reaches_the_bytes_is_in_the_key() {
        let path = |hash: char, name: &str| {
            StoreDir::default()
                .parse_base_name(&format!("{}-{name}", hash.to_string().repeat(32)))
                .unwrap()
        };
        let (a, b) = (path('a', "a"), path('b', "b"));
        let (x, y) = (NarHash([1; 32]), NarHash([2; 32]));
        let rules = TarRules {
            mtime: 1,
            owner: Owner::root(),
        };
        let named = |uname: &str, gname: &str| TarRules {
            mtime: 1,
            owner: Owner {
                uid: 0,
                gid: 0,
                uname: uname.to_owned(),
                gname: gname.to_owned(),
            },
        };
        let keys = [
            LayerKey::new(&rules, [(&a, &x)]),
            LayerKey::new(&rules, [(&a, &y)]),
            LayerKey::new(&rules, [(&a, &x), (&b, &y)]),
            LayerKey::new(&rules, [(&b, &y), (&a, &x)]),
            LayerKey::new(
                &TarRules {
                    mtime: 2,
                    ..rules.clone()
                },
                [(&a, &x)],
            ),
            LayerKey::new(&named("a\n1 b", "c"), [(&a, &x)]),
            LayerKey::new(&named("a", "b\n1 c"), [(&a, &x)]),
            LayerKey::new(&rules, [(&a, &x)]).in_form("gzip"),
        ];
        let mut different = keys.to_vec();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), keys.len());
    }
}
