//! How a store path follows from its content, as the field `CA` of narinfo files says it.
//!
//! Nobody need sign such a path: its own name fixes the content, and what it refers to. The forms
//! are those of the Nix manual's chapters "Content-addressing store objects" and "Store path
//! specification".

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256, Sha512};

use crate::nixbase32;
use crate::nixhash::NarHash;
use crate::store_path::{StoreDir, StorePath};

/// Bytes of the hash in the name of a store path.
const PATH_HASH: usize = 20;

/// A content address that proves a store path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentAddress {
    method: Method,
    hash: Hash,
}

/// What is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// The bytes of a file, whose path refers to whatever it names (`text:`).
    Text,
    /// The bytes of a file (`fixed:`).
    Flat,
    /// The NAR (`fixed:r:`).
    Nar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// Content that is not the one that a path's name fixes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// It is not a file, or it is executable, which the hash does not cover.
    #[error("it is not a regular file that is not executable, as its content address demands")]
    File,
    /// The content has another hash.
    #[error("its content has the hash {found}, not {expected} as its content address says")]
    Hash {
        /// What the content has.
        found: String,
        /// What the path's name fixes.
        expected: String,
    },
}

impl ContentAddress {
    /// Reads `text:sha256:…`, `fixed:sha256:…` or `fixed:r:sha256:…`, the latter two also with
    /// `sha512`. Nothing for whatever else there is: weaker hashes, and those of Git, prove nothing
    /// here.
    pub fn parse(text: &str) -> Option<Self> {
        let (method, hash) = if let Some(hash) = text.strip_prefix("text:") {
            (Method::Text, hash)
        } else {
            let rest = text.strip_prefix("fixed:")?;
            match rest.strip_prefix("r:") {
                Some(hash) => (Method::Nar, hash),
                None => (Method::Flat, rest),
            }
        };
        let hash = Hash::parse(hash)?;
        let proves = method != Method::Text || matches!(hash, Hash::Sha256(_));
        proves.then_some(Self { method, hash })
    }

    /// The store path that content of this address has; nothing where no path of it can refer to
    /// these paths. A path that refers to itself has itself among the references.
    pub fn store_path(
        &self,
        store_dir: &StoreDir,
        path: &StorePath,
        references: &[StorePath],
    ) -> Option<StorePath> {
        let refers_to_itself = references.contains(path);
        let mut others: Vec<&str> = references
            .iter()
            .filter(|reference| *reference != path)
            .map(StorePath::as_str)
            .collect();
        others.sort_unstable();
        let with_references = |kind: &str| {
            let mut kind = kind.to_owned();
            for reference in &others {
                kind.push(':');
                kind.push_str(reference);
            }
            if refers_to_itself {
                kind.push_str(":self");
            }
            kind
        };
        let (kind, hash) = match (self.method, self.hash) {
            (Method::Text, _) if refers_to_itself => return None,
            (Method::Text, hash) => (with_references("text"), hash),
            (Method::Nar, hash @ Hash::Sha256(_)) => (with_references("source"), hash),
            _ if !references.is_empty() => return None,
            (method, hash) => {
                let r = if method == Method::Nar { "r:" } else { "" };
                let inner = Sha256::digest(format!("fixed:out:{r}{hash}:"));
                ("output:out".to_owned(), Hash::Sha256(inner.into()))
            }
        };
        let name = path.name();
        let digest = Sha256::digest(format!("{kind}:{hash}:{store_dir}:{name}"));
        let mut folded = [0; PATH_HASH];
        for (at, byte) in digest.iter().enumerate() {
            folded[at % PATH_HASH] ^= byte;
        }
        store_dir
            .parse_base_name(&format!("{}-{name}", nixbase32::encode(&folded)))
            .ok()
    }

    /// Whether a narinfo with this address can have this NAR hash: the hash of a NAR that does not
    /// name its own path is the address itself.
    pub fn fits(&self, nar_hash: &NarHash, path: &StorePath, references: &[StorePath]) -> bool {
        match (self.method, self.hash) {
            (Method::Nar, Hash::Sha256(hash)) if !references.contains(path) => hash == nar_hash.0,
            _ => true,
        }
    }

    /// What checks the NAR of a path against its address. Nothing where the NAR hash that
    /// [`fits`](Self::fits) is all that there is to check.
    pub fn check(&self, path: &StorePath, references: &[StorePath]) -> Option<ContentCheck> {
        if matches!((self.method, self.hash), (Method::Nar, Hash::Sha256(_)))
            && !references.contains(path)
        {
            return None;
        }
        let part = match self.method {
            Method::Text | Method::Flat => Part::File { seen: 0, size: 0 },
            Method::Nar => Part::Nar(SelfReferences::new(path.hash())),
        };
        let hasher = match self.hash {
            Hash::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Hash::Sha512(_) => Hasher::Sha512(Sha512::new()),
        };
        Some(ContentCheck {
            expected: self.hash,
            part,
            hasher,
            is_file: true,
        })
    }
}

impl Hash {
    fn parse(text: &str) -> Option<Self> {
        let (algorithm, digits) = text.split_once(':')?;
        let decode = |bytes: usize| {
            let hash = match digits.len() {
                length if length == bytes * 2 => HEXLOWER.decode(digits.as_bytes()).ok(),
                length if length == (bytes * 8).div_ceil(5) => nixbase32::decode(digits),
                _ => None,
            };
            hash.filter(|hash| hash.len() == bytes)
        };
        match algorithm {
            "sha256" => Some(Self::Sha256(decode(32)?.try_into().ok()?)),
            "sha512" => Some(Self::Sha512(decode(64)?.try_into().ok()?)),
            _ => None,
        }
    }
}

/// With its algorithm, in base 16.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hash) => write!(f, "sha256:{}", HEXLOWER.encode(hash)),
            Self::Sha512(hash) => write!(f, "sha512:{}", HEXLOWER.encode(hash)),
        }
    }
}

/// Takes the bytes of a NAR, from its start to its end, and says whether they have the address.
#[derive(Debug, Clone)]
pub struct ContentCheck {
    expected: Hash,
    part: Part,
    hasher: Hasher,
    is_file: bool,
}

/// The part of a NAR that is hashed.
#[derive(Debug, Clone)]
enum Part {
    /// The contents of its only file.
    File {
        /// Bytes of the NAR so far.
        seen: u64,
        /// Length of the contents, once it was read.
        size: u64,
    },
    /// All of it, but for the path's own hash.
    Nar(SelfReferences),
}

#[derive(Debug, Clone)]
enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Hash {
        match self {
            Self::Sha256(hasher) => Hash::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Hash::Sha512(hasher.finalize().into()),
        }
    }
}

/// How the NAR of a file that is not executable starts: the length of its contents comes next.
const FILE_START: &[u8; 88] = b"\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\
    \x01\0\0\0\0\0\0\0(\0\0\0\0\0\0\0\
    \x04\0\0\0\0\0\0\0type\0\0\0\0\
    \x07\0\0\0\0\0\0\0regular\0\
    \x08\0\0\0\0\0\0\0contents";

impl ContentCheck {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.part {
            Part::Nar(references) => references.update(bytes, &mut self.hasher),
            Part::File { seen, size } => {
                let mut rest = bytes;
                const START: u64 = FILE_START.len() as u64;
                while *seen < START + 8
                    && let [byte, after @ ..] = rest
                {
                    match FILE_START.get(usize::try_from(*seen).unwrap_or(usize::MAX)) {
                        Some(expected) => self.is_file &= byte == expected,
                        None => *size |= u64::from(*byte) << (8 * (*seen - START)),
                    }
                    *seen += 1;
                    rest = after;
                }
                let left = (START + 8).saturating_add(*size).saturating_sub(*seen);
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                self.hasher.update(&rest[..count]);
                *seen += rest.len() as u64;
            }
        }
    }

    /// Whether all bytes together have the address. That they are a NAR is for others to see.
    ///
    /// # Errors
    ///
    /// They have not.
    pub fn finish(mut self) -> Result<(), ContentError> {
        match self.part {
            Part::Nar(references) => {
                self.hasher.update(&references.held);
                let mut with_places = self.hasher.clone();
                for at in references.found {
                    with_places.update(format!("|{at}").as_bytes());
                }
                if with_places.finish() == self.expected {
                    return Ok(());
                }
            }
            Part::File { seen, .. } => {
                if !self.is_file || seen <= FILE_START.len() as u64 {
                    return Err(ContentError::File);
                }
            }
        }
        let found = self.hasher.finish();
        if found == self.expected {
            return Ok(());
        }
        Err(ContentError::Hash {
            found: found.to_string(),
            expected: self.expected.to_string(),
        })
    }
}

/// A path that refers to itself has its own hash in its content. Nix hashes zeros in its place. Its
/// older versions hash the places as well, `|OFFSET` each, after all content.
#[derive(Debug, Clone)]
struct SelfReferences {
    hash: Vec<u8>,
    /// The last bytes, which may be the start of the hash.
    held: Vec<u8>,
    /// Bytes that were hashed.
    done: u64,
    found: Vec<u64>,
}

impl SelfReferences {
    fn new(hash: &str) -> Self {
        Self {
            hash: hash.as_bytes().to_vec(),
            held: Vec::new(),
            done: 0,
            found: Vec::new(),
        }
    }

    fn update(&mut self, bytes: &[u8], hasher: &mut Hasher) {
        self.held.extend_from_slice(bytes);
        let length = self.hash.len();
        let mut from = 0;
        let mut at = 0;
        while at + length <= self.held.len() {
            // A place without the first character costs one comparison.
            if self.held[at] != self.hash[0] || self.held[at..at + length] != *self.hash {
                at += 1;
                continue;
            }
            self.found.push(self.done + (at - from) as u64);
            hasher.update(&self.held[from..at]);
            hasher.update(&vec![0; length]);
            self.done += (at + length - from) as u64;
            at += length;
            from = at;
        }
        hasher.update(&self.held[from..at]);
        self.done += (at - from) as u64;
        self.held.drain(..at);
    }
}
