//! What a binary cache says of a store path in its file `HASH.narinfo`, and `nix-cache-info`.

use std::fmt;

use crate::content_address::ContentAddress;
use crate::nixhash::{NarHash, ParseHashError};
use crate::path_info::PathInfo;
use crate::shown::shown;
use crate::signature::{ParseKeyError, PublicKey, Signature, fingerprint};
use crate::store_path::{ParseStorePathError, StoreDir, StorePath};

/// A narinfo file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    /// What signatures cover.
    pub signed: Signed,
    /// Where the cache keeps the NAR: its own word, which no signature covers.
    pub file: NarFile,
    /// The derivation that the path was built from; not covered by signatures.
    pub deriver: Option<StorePath>,
    /// How the path follows from its content, where it does (`fixed:r:sha256:…`); not covered by
    /// signatures. See [`NarInfo::proof`].
    pub ca: Option<String>,
    /// Signatures, in the order of the file.
    pub signatures: Vec<Signature>,
}

/// The part of a narinfo that signatures cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The store path.
    pub path: StorePath,
    /// Hash of the uncompressed NAR.
    pub nar_hash: NarHash,
    /// Length of the uncompressed NAR, in bytes.
    pub nar_size: u64,
    /// Store paths that the path refers to, sorted; itself among them where it does.
    pub references: Vec<StorePath>,
}

/// How a cache keeps a NAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarFile {
    /// Where it is: below the cache, or an absolute URL.
    pub url: String,
    /// How it is compressed.
    pub compression: Compression,
    /// SHA-256 of the file as it is kept, compressed. Nobody signs it, and caches that compress anew
    /// what they copy may leave another's here: Nix does not look at it, nor at the size.
    pub hash: Option<NarHash>,
    /// Length of the file as it is kept, in bytes.
    pub size: Option<u64>,
}

/// The compressions of NARs that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what their names say")]
pub enum Compression {
    None,
    Xz,
    Zstd,
    Gzip,
    Bzip2,
    Brotli,
}

/// Why a text is not a narinfo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NarInfoError {
    /// A line that is not a `Key: value`.
    #[error("line {0} is not of the form `Key: value`")]
    Line(usize),
    /// The last line does not end.
    #[error("it is cut off: the last line does not end")]
    CutOff,
    /// A field that must be there.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// A field that must be there only once: Nix takes the last of the others.
    #[error("it has more than one `{0}`")]
    Repeated(&'static str),
    /// A priority that is none.
    #[error("`Priority: {0}` is not a whole number")]
    Priority(String),
    /// A number that is none, or that cannot be.
    #[error("`{field}: {text}` is not a possible size in bytes")]
    Size {
        /// The field.
        field: &'static str,
        /// Its value.
        text: String,
    },
    /// A compression that cannot be read.
    #[error("the NAR is compressed with `{0}`; none, xz, zstd, gzip, bzip2 and br can be read")]
    Compression(String),
    /// A URL that is empty or leads out of the cache.
    #[error("`URL: {0}` does not lead to a file in the cache")]
    Url(String),
    /// A store path that is none.
    #[error("`{field}`: {why}")]
    Path {
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: ParseStorePathError,
    },
    /// A hash that is none.
    #[error("`{field}`: {why}")]
    Hash {
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: ParseHashError,
    },
    /// A signature that is none.
    #[error("`Sig`")]
    Signature(#[from] ParseKeyError),
}

impl NarInfo {
    /// Reads the text of a narinfo as Nix does: unknown fields are ignored, and of a field that is there
    /// twice the last one holds. Of what only says how the cache keeps the NAR, the hash and the size of
    /// the file are ignored if they are none.
    ///
    /// # Errors
    ///
    /// The text is cut off, lacks a field, or a field's value is none.
    pub fn parse(store_dir: &StoreDir, text: &str) -> Result<Self, NarInfoError> {
        let mut path = None;
        let mut url = "";
        let mut compression = "";
        let mut file_hash = None;
        let mut file_size = None;
        let mut nar_hash = None;
        let mut nar_size = None;
        // nix-serve, and what descends from it, leaves out the line of a path without any.
        let mut references = Vec::new();
        let mut deriver = None;
        let mut ca = None;
        let mut signatures = Vec::new();
        for_each_field(text, |key, value| {
            match key {
                "StorePath" => {
                    path = Some(parse_path("StorePath", value, |t| store_dir.parse(t))?);
                }
                "URL" => url = value,
                "Compression" => compression = value,
                "FileHash" => file_hash = parse_hash("FileHash", value).ok(),
                "FileSize" => file_size = parse_size("FileSize", value).ok(),
                "NarHash" => nar_hash = Some(parse_hash("NarHash", value)?),
                "NarSize" => nar_size = Some(parse_size("NarSize", value)?),
                "References" if !references.is_empty() => {
                    return Err(NarInfoError::Repeated("References"));
                }
                "References" => {
                    let names = value.split(' ').filter(|name| !name.is_empty());
                    references = names
                        .map(|name| {
                            parse_path("References", name, |t| store_dir.parse_base_name(t))
                        })
                        .collect::<Result<_, _>>()?;
                }
                "Deriver" if value == "unknown-deriver" => {}
                "Deriver" => {
                    deriver = Some(parse_path("Deriver", value, |t| {
                        store_dir.parse_base_name(t)
                    })?);
                }
                "CA" if ca.is_some() => return Err(NarInfoError::Repeated("CA")),
                "CA" => ca = Some(value.to_owned()),
                "Sig" => signatures.push(Signature::parse(value)?),
                _ => {}
            }
            Ok(())
        })?;
        references.sort();
        references.dedup();
        Ok(Self {
            signed: Signed {
                path: path.ok_or(NarInfoError::Missing("StorePath"))?,
                nar_hash: nar_hash.ok_or(NarInfoError::Missing("NarHash"))?,
                nar_size: nar_size.ok_or(NarInfoError::Missing("NarSize"))?,
                references,
            },
            file: NarFile {
                url: match url {
                    "" => return Err(NarInfoError::Missing("URL")),
                    url => parse_url(url)?,
                },
                compression: match compression {
                    // What Nix takes where the field is missing.
                    "" => Compression::Bzip2,
                    name => Compression::parse(name)?,
                },
                hash: file_hash,
                size: file_size,
            },
            deriver,
            ca,
            signatures,
        })
    }

    /// The content address that proves the path without a signature: the path's name follows from it
    /// and the references. What is left to check is the NAR, see [`ContentAddress::check`].
    pub fn proof(&self, store_dir: &StoreDir) -> Option<ContentAddress> {
        let Signed {
            path,
            nar_hash,
            references,
            ..
        } = &self.signed;
        let address = ContentAddress::parse(self.ca.as_deref()?)?;
        let fits = address.fits(nar_hash, path, references)
            && address.store_path(store_dir, path, references).as_ref() == Some(path);
        fits.then_some(address)
    }

    /// The first of the keys that signed this.
    pub fn signed_by<'k>(&self, keys: &'k [PublicKey]) -> Option<&'k PublicKey> {
        let fingerprint = self.signed.fingerprint();
        self.signatures.iter().find_map(|signature| {
            keys.iter()
                .find(|key| key.verifies(&fingerprint, signature))
        })
    }
}

impl Signed {
    /// The text that signatures are made of.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.path, &self.nar_hash, self.nar_size, &self.references)
    }
}

impl From<Signed> for PathInfo {
    fn from(signed: Signed) -> Self {
        Self {
            path: signed.path,
            nar_hash: Some(signed.nar_hash),
            nar_size: signed.nar_size,
            references: signed.references,
        }
    }
}

/// The text that Nix writes. Reading it gives the same again.
impl fmt::Display for NarInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Signed {
            path,
            nar_hash,
            nar_size,
            references,
        } = &self.signed;
        writeln!(f, "StorePath: {path}")?;
        writeln!(f, "URL: {}", self.file.url)?;
        writeln!(f, "Compression: {}", self.file.compression)?;
        if let Some(hash) = self.file.hash {
            writeln!(f, "FileHash: {hash}")?;
        }
        if let Some(size) = self.file.size {
            writeln!(f, "FileSize: {size}")?;
        }
        writeln!(f, "NarHash: {nar_hash}")?;
        writeln!(f, "NarSize: {nar_size}")?;
        let references: Vec<&str> = references.iter().map(StorePath::base_name).collect();
        writeln!(f, "References: {}", references.join(" "))?;
        if let Some(deriver) = &self.deriver {
            writeln!(f, "Deriver: {}", deriver.base_name())?;
        }
        for signature in &self.signatures {
            writeln!(f, "Sig: {signature}")?;
        }
        if let Some(ca) = &self.ca {
            writeln!(f, "CA: {ca}")?;
        }
        Ok(())
    }
}

impl Compression {
    /// Reads the name that a narinfo has for it.
    ///
    /// # Errors
    ///
    /// It is unknown, or cannot be read.
    pub fn parse(text: &str) -> Result<Self, NarInfoError> {
        Ok(match text {
            "none" => Self::None,
            "xz" => Self::Xz,
            "zstd" => Self::Zstd,
            "gzip" => Self::Gzip,
            "bzip2" => Self::Bzip2,
            "br" => Self::Brotli,
            _ => return Err(NarInfoError::Compression(shown(text))),
        })
    }
}

/// The name that a narinfo has for it.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Brotli => "br",
        })
    }
}

/// A cache's file `nix-cache-info`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheInfo {
    /// The store directory that the cache's paths belong to; the usual one, if it does not say.
    pub store_dir: StoreDir,
    /// The lower, the earlier the cache is asked.
    pub priority: Option<i64>,
}

impl CacheInfo {
    /// Reads the file's text. Unknown fields are ignored.
    ///
    /// # Errors
    ///
    /// A line is not a `Key: value`, or a field's value is none.
    pub fn parse(text: &str) -> Result<Self, NarInfoError> {
        let mut info = Self::default();
        // Written by hand often: the last line may lack its end.
        let text = format!("{text}\n");
        for_each_field(&text, |key, value| {
            match key {
                "StoreDir" => {
                    info.store_dir = StoreDir::new(value).map_err(|why| NarInfoError::Path {
                        field: "StoreDir",
                        why,
                    })?;
                }
                "Priority" => {
                    let priority = value
                        .parse()
                        .map_err(|_| NarInfoError::Priority(shown(value)))?;
                    info.priority = Some(priority);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(info)
    }
}

fn for_each_field<'a>(
    text: &'a str,
    mut take: impl FnMut(&'a str, &'a str) -> Result<(), NarInfoError>,
) -> Result<(), NarInfoError> {
    let text = match text.strip_suffix('\n') {
        Some(text) => text,
        None if text.is_empty() => return Ok(()),
        None => return Err(NarInfoError::CutOff),
    };
    for (number, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let (key, value) = line.split_once(':').ok_or(NarInfoError::Line(number + 1))?;
        // `References:` of a path without any may have lost its space.
        let value = match value.strip_prefix([' ', '\t']) {
            Some(value) => value,
            None if value.is_empty() => value,
            None => return Err(NarInfoError::Line(number + 1)),
        };
        take(key, value)?;
    }
    Ok(())
}

fn parse_path(
    field: &'static str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<StorePath, ParseStorePathError>,
) -> Result<StorePath, NarInfoError> {
    parse(text).map_err(|why| NarInfoError::Path { field, why })
}

fn parse_hash(field: &'static str, text: &str) -> Result<NarHash, NarInfoError> {
    let hash = if text.starts_with("sha256") {
        NarHash::parse(text)
    } else {
        Err(ParseHashError::of(text))
    };
    hash.map_err(|why| NarInfoError::Hash { field, why })
}

/// No NAR and no file of a NAR is empty.
fn parse_size(field: &'static str, text: &str) -> Result<u64, NarInfoError> {
    text.parse()
        .ok()
        .filter(|&size| size > 0)
        .ok_or_else(|| NarInfoError::Size {
            field,
            text: shown(text),
        })
}

/// A path below the cache, or a URL of its own: never one that climbs out.
fn parse_url(text: &str) -> Result<String, NarInfoError> {
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    let inside = if text.starts_with("http://") || text.starts_with("https://") {
        true
    } else {
        // The query of a signed address may hold anything.
        let path = text.split(['?', '#']).next().unwrap_or(text);
        !path.starts_with('/')
            && path
                .split('/')
                .all(|part| !matches!(part, "." | "..") && !part.contains([':', '\\']))
    };
    if printable && inside {
        Ok(text.to_owned())
    } else {
        Err(NarInfoError::Url(shown(text)))
    }
}
