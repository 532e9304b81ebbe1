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
//! which follows from names and sizes, is compared before an entry is used. What others say of
//! layers, such as the annotations of an image in a registry, never comes in here: only what this
//! program has read itself. Should a digest still be wrong, that is found when the layer is
//! read after all; its entry is then replaced, and the run goes on. `--verify` believes none.
//!
//! # The file
//!
//! One line an entry, `KEY DIGEST SIZE CHECKSUM`; the last line of a key counts. One of the largest
//! size says that nothing is known. Lines are appended with one write; a line that is cut or damaged
//! is skipped. When the file grows too large, its newer half is kept. Who adds holds a lock on the directory, so that many processes
//! can add at once and none loses what another one adds while it cuts the file. Its name carries
//! the version of the format and of the layers' bytes.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix_compat::{NarHash, StorePath};
use rustix::fs::OFlags;

use crate::bytes::compression::Compression;
use crate::bytes::tar::TarRules;
use crate::layer_id::{BlobId, TarId};
use crate::new_file::{NewFile, directory_of};
use oci::{Digest, ParseDigestError};

/// Moves with the bytes of layers' tars: both the file's name and the keys carry it, so that no digest
/// of other bytes is found. The format of the lines shares it.
const VERSION: u32 = 1;

/// Length from which on the file is cut to half, in bytes: some fifty thousand entries.
const MAX_LENGTH: u64 = if cfg!(test) { 1 << 20 } else { 8 << 20 };

/// The length in an entry that stands for none: nothing is that long.
const FORGOTTEN: u64 = u64::MAX;

/// Digits of a line's checksum.
const CHECKSUM: usize = 16;

/// Names what fixes the bytes of a layer's tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerKey(Digest);

impl LayerKey {
    /// The key of a layer of store paths, in their order, under these rules.
    pub fn new<'a>(
        rules: &TarRules,
        paths: impl IntoIterator<Item = (&'a StorePath, &'a NarHash)>,
    ) -> Self {
        let mut text = format!(
            "stream-layered layer {VERSION}\n{} {} {}\n",
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

    /// The same with the NAR hashes looked up; `None` if one is not known.
    pub fn of_paths(
        rules: &TarRules,
        paths: &[StorePath],
        nar_hashes: &BTreeMap<StorePath, NarHash>,
    ) -> Option<Self> {
        let hashed = paths.iter().map(|path| Some((path, nar_hashes.get(path)?)));
        let hashed: Option<Vec<_>> = hashed.collect();
        hashed.map(|paths| Self::new(rules, paths))
    }

    /// The key of a layer whose tar is known by its digest.
    pub fn of_tar(diff_id: &Digest) -> Self {
        Self(Digest::of(
            format!("stream-layered tar {diff_id}\n").as_bytes(),
        ))
    }

    /// The key as text of base 16.
    pub fn hex(&self) -> String {
        self.0.hex()
    }

    /// Reads that text.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn from_hex(hex: &str) -> Result<Self, ParseDigestError> {
        Digest::from_hex(hex).map(Self)
    }

    /// What is known of a layer's tar, as a line of the cache file, without its end.
    pub fn to_line(&self, tar: TarId) -> String {
        let mut line = line(&self.0, (tar.digest, tar.size));
        line.truncate(line.len() - 1);
        line
    }

    /// Reads such a line; `None` if it is damaged.
    pub fn from_line(line: &str) -> Option<(Self, TarId)> {
        let (key, (digest, size)) = parse_line(line.as_bytes())?;
        Some((Self(key), TarId { digest, size }))
    }

    /// The key of the blob that has the tar in this compression.
    #[must_use]
    pub fn blob(&self, compression: Compression) -> BlobKey {
        let text = format!("{} {}\n", self.0, compression.format());
        BlobKey(Digest::of(text.as_bytes()))
    }
}

/// Names what fixes the bytes of a layer's blob: its tar, and how that is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey(Digest);

impl BlobKey {
    /// The key as text of base 16.
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

/// What stands in the file for a key: digest, and length in bytes, of a tar or of a blob.
type Entry = (Digest, u64);

/// The cache, as it was when it was opened, and what was added since.
pub struct LayerCache {
    file: Option<PathBuf>,
    /// Never printed, and looked up by key alone.
    entries: HashMap<Digest, Entry>,
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
        let file = directory.join(file_name());
        let text = files::read(&file, 2 * MAX_LENGTH).unwrap_or_default();
        let entries = text
            .split(|&byte| byte == b'\n')
            .filter_map(parse_line)
            .collect();
        Self {
            file: Some(file),
            entries,
        }
    }

    /// The file, where there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the cache knows of a layer's tar.
    pub fn tar(&self, key: &LayerKey) -> Option<TarId> {
        let (digest, size) = self.entry(&key.0)?;
        Some(TarId { digest, size })
    }

    /// What the cache knows of a layer's blob; the key is that of this compression.
    pub fn blob(&self, key: &BlobKey, compression: Compression) -> Option<BlobId> {
        let (digest, size) = self.entry(&key.0)?;
        Some(BlobId {
            digest,
            size,
            media_type: compression.media_type(),
        })
    }

    fn entry(&self, key: &Digest) -> Option<Entry> {
        self.entries
            .get(key)
            .copied()
            .filter(|(_, size)| *size != FORGOTTEN)
    }

    /// Adds what is new.
    ///
    /// # Errors
    ///
    /// The file cannot be written. Nothing is lost by that but time, the next time.
    pub fn add(
        &mut self,
        tars: impl IntoIterator<Item = (LayerKey, TarId)>,
        blobs: impl IntoIterator<Item = (BlobKey, BlobId)>,
    ) -> io::Result<()> {
        let tars = tars.into_iter();
        let tars = tars.map(|(LayerKey(key), TarId { digest, size })| (key, (digest, size)));
        let blobs = blobs.into_iter();
        let blobs = blobs.map(|(BlobKey(key), blob)| (key, (blob.digest, blob.size)));
        self.append(tars.chain(blobs))
    }

    /// Drops what it has for these keys, because it is wrong.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn forget(
        &mut self,
        tars: impl IntoIterator<Item = LayerKey>,
        blobs: impl IntoIterator<Item = BlobKey>,
    ) -> io::Result<()> {
        let tars = tars.into_iter().map(|LayerKey(key)| key);
        let blobs = blobs.into_iter().map(|BlobKey(key)| key);
        let known = tars.chain(blobs).filter(|key| self.entry(key).is_some());
        let nothing = (Digest::of(&[]), FORGOTTEN);
        let lines: Vec<(Digest, Entry)> = known.map(|key| (key, nothing)).collect();
        self.append(lines)
    }

    fn append(&mut self, entries: impl IntoIterator<Item = (Digest, Entry)>) -> io::Result<()> {
        let mut lines = String::new();
        for (key, entry) in entries {
            if self.entries.insert(key, entry) != Some(entry) {
                lines += &line(&key, entry);
            }
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        if lines.is_empty() {
            return Ok(());
        }
        let directory = directory_of(file);
        fs::create_dir_all(directory)?;
        let lock = File::open(directory)?;
        // File systems without locks are rare, and what may be lost there is time.
        let _ = lock.lock();
        let mut open = OpenOptions::new()
            .append(true)
            .create(true)
            // A pipe of that name would be waited for.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(file)?;
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
    let mut old = files::open(file)?;
    let length = old.metadata()?.len();
    old.seek(SeekFrom::Start(length - length.min(MAX_LENGTH) / 2))?;
    let text = files::read_from(old, MAX_LENGTH)?;
    let start = text
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(text.len(), |at| at + 1);
    let new = NewFile::create_in(directory_of(file))?;
    new.file().write_all(&text[start..])?;
    new.name(file)
}

/// The file's name.
fn file_name() -> String {
    format!("layers-v{VERSION}")
}

fn line(key: &Digest, (digest, size): Entry) -> String {
    let entry = format!("{} {} {size}", key.hex(), digest.hex());
    let checksum = checksum(&entry);
    format!("{entry} {checksum}\n")
}

fn parse_line(line: &[u8]) -> Option<(Digest, Entry)> {
    let (entry, found) = str::from_utf8(line).ok()?.rsplit_once(' ')?;
    if found != checksum(entry) {
        return None;
    }
    let mut parts = entry.split(' ');
    let key = Digest::from_hex(parts.next()?).ok()?;
    let digest = Digest::from_hex(parts.next()?).ok()?;
    let size = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((key, (digest, size)))
}

fn checksum(entry: &str) -> String {
    Digest::of(entry.as_bytes()).hex()[..CHECKSUM].to_owned()
}

#[cfg(test)]
mod tests {
    use nix_compat::StoreDir;
    use tempfile::TempDir;

    use super::*;
    use crate::bytes::tar::Owner;

    fn digest(number: u64) -> TarId {
        TarId {
            digest: Digest::of(&number.to_le_bytes()),
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
            .add([(key(1), digest(1)), (key(2), digest(2))], [])
            .unwrap();
        let file = place.join(file_name());
        let mut text = fs::read_to_string(&file).unwrap();
        let second = text.rfind(&key(2).0.hex()).unwrap();
        text.replace_range(second + 70..second + 71, "!");
        fs::write(&file, text + "cut off her").unwrap();
        let mut cache = LayerCache::open(&place);
        assert_eq!(
            (cache.tar(&key(1)), cache.tar(&key(2))),
            (Some(digest(1)), None)
        );
        cache
            .add([(key(2), digest(3)), (key(1), digest(1))], [])
            .unwrap();
        let cache = LayerCache::open(&place);
        assert_eq!(
            (cache.tar(&key(1)), cache.tar(&key(2))),
            (Some(digest(1)), Some(digest(3)))
        );
    }

    #[test]
    fn what_is_forgotten_stays_so_until_it_is_added_again() {
        let directory = TempDir::new().unwrap();
        let blob = |number| key(number).blob(Compression::LAYER_GZIP);
        let mut cache = LayerCache::open(directory.path());
        let tars = [(key(1), digest(1)), (key(2), digest(2))];
        cache
            .add(tars, [(blob(1), BlobId::plain(digest(3)))])
            .unwrap();
        cache.forget([key(1), key(9)], [blob(1)]).unwrap();
        for cache in [&cache, &LayerCache::open(directory.path())] {
            assert_eq!(cache.tar(&key(1)), None);
            assert_eq!(cache.blob(&blob(1), Compression::LAYER_GZIP), None);
            assert_eq!(cache.tar(&key(2)), Some(digest(2)));
        }
        cache.add([(key(1), digest(4))], []).unwrap();
        let cache = LayerCache::open(directory.path());
        assert_eq!(cache.tar(&key(1)), Some(digest(4)));
    }

    #[test]
    fn any_bytes_are_a_cache() {
        let directory = TempDir::new().unwrap();
        fs::write(
            directory.path().join(file_name()),
            [0xff, b'\n', 0, b' ', b'\n', b' '],
        )
        .unwrap();
        assert_eq!(LayerCache::open(directory.path()).tar(&key(1)), None);
    }

    #[test]
    fn the_file_stays_bounded() {
        let directory = TempDir::new().unwrap();
        let most = 2 * MAX_LENGTH / line(&key(0).0, (Digest::of(&[]), 0)).len() as u64;
        for start in (0..most).step_by(1000) {
            LayerCache::open(directory.path())
                .add((start..start + 1000).map(|at| (key(at), digest(at))), [])
                .unwrap();
        }
        assert!(
            fs::metadata(directory.path().join(file_name()))
                .unwrap()
                .len()
                <= 2 * MAX_LENGTH
        );
        let cache = LayerCache::open(directory.path());
        let last = most.next_multiple_of(1000) - 1;
        assert_eq!(
            (cache.tar(&key(last)), cache.tar(&key(0))),
            (Some(digest(last)), None)
        );
    }

    #[test]
    fn processes_add_at_the_same_time_also_when_one_of_them_cuts_the_file() {
        let directory = TempDir::new().unwrap();
        // The first of them finds the file at its bound.
        let old = "x".repeat(99) + "\n";
        let old = old.repeat(MAX_LENGTH as usize / old.len());
        fs::write(directory.path().join(file_name()), old).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let directory = &directory;
                scope.spawn(move || {
                    for at in 0..50 {
                        let number = thread * 1000 + at;
                        LayerCache::open(directory.path())
                            .add([(key(number), digest(number))], [])
                            .unwrap();
                    }
                });
            }
        });
        let cache = LayerCache::open(directory.path());
        let all = (0..8).flat_map(|thread| (0..50).map(move |at| thread * 1000 + at));
        assert!(
            all.into_iter()
                .all(|number| cache.tar(&key(number)) == Some(digest(number)))
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
        ];
        let mut different = keys.to_vec();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), keys.len());
        // What other versions of this program have kept stays of use.
        assert_eq!(keys[0].0.hex()[..16], *"2b6b4b040aa8d322");
        let blobs = ["gzip:2", "gzip:6", "zstd:2"].map(|text| keys[0].blob(text.parse().unwrap()));
        assert!(blobs[0] != blobs[1] && blobs[0] != blobs[2] && blobs[1] != blobs[2]);
    }
}
