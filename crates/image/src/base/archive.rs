//! Base images in docker-archives.
//!
//! Plain, gzip, zstd, bzip2 and xz archives are read, as `docker save`, `skopeo`, nixpkgs and
//! others write them, also with `./` before the members' names. Nothing is unpacked to disk: a
//! compressed archive is read again where its members stand in another order than its manifest
//! wants.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::Value;

use super::archive_file::{ArchiveCompression, ArchiveFile};
use super::blobs::MAX_JSON;
use super::error::BaseError;
use super::image::{BaseContent, BaseImage, BaseLayer, BaseSource};
use super::inherit::Inherit;
use crate::bytes::tar::{BLOCK, Owner, PaxRecords};

/// The maximum number of bytes of headers before one member: names and pax records, which are read into memory. A
/// name or a link has at most 4 kB on Linux; extended attributes may have some more.
const MAX_HEADERS: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: String,
    layers: Vec<String>,
}

/// A member of the archive.
struct Found {
    name: Vec<u8>,
    content: FoundContent,
    mode: u32,
    mtime: i64,
    owner: Owner,
    pax: PaxRecords,
}

enum FoundContent {
    File {
        /// Where it starts in the archive, in bytes.
        offset: u64,
        /// Its length in bytes.
        size: u64,
    },
    Link(Vec<u8>),
    /// A file with holes, which are not in the archive.
    Sparse,
}

impl BaseImage {
    /// Reads an archive's manifest and configuration, and where its layers are.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not a docker-archive.
    pub fn open(path: &Path) -> Result<Self, BaseError> {
        let read = |source| BaseError::Read {
            path: path.to_owned(),
            source,
        };
        let form = |what: String| BaseError::Form {
            path: path.to_owned(),
            what,
        };
        let compression = ArchiveCompression::of(path).map_err(read)?;
        let members = list(compression.open(path).map_err(read)?).map_err(|error| {
            match error.raw_os_error() {
                Some(_) => read(error),
                None if error.kind() == io::ErrorKind::QuotaExceeded => form(error.to_string()),
                None => form("it is not a tar, or not a whole one".to_owned()),
            }
        })?;
        let find = |name: &str| {
            let wanted = plain_name(name.as_bytes());
            // As with tar itself, the last of several equal names counts.
            members.iter().rev().find(|member| member.name == wanted)
        };
        let json = |name: &str| -> Result<Value, BaseError> {
            let member = find(name).ok_or_else(|| form(format!("it has no {name}")))?;
            let FoundContent::File { offset, size } = member.content else {
                return Err(form(format!("its {name} is not a plain file")));
            };
            if size > MAX_JSON {
                return Err(form(format!("its {name} has {size} bytes")));
            }
            let mut text = Vec::new();
            let mut reader = ArchiveFile::open(path, compression).map_err(read)?;
            reader.seek_to(offset).map_err(read)?;
            reader.take(size).read_to_end(&mut text).map_err(read)?;
            serde_json::from_slice(&text).map_err(|error| form(format!("its {name}: {error}")))
        };
        let manifests: Vec<Manifest> = serde_json::from_value(json("manifest.json")?)
            .map_err(|error| form(format!("its manifest.json: {error}")))?;
        let manifest = manifests
            .into_iter()
            .next()
            .ok_or_else(|| form("its manifest.json is empty".to_owned()))?;
        let config = json(&manifest.config)?;
        let diff_ids = match config.pointer("/rootfs/diff_ids") {
            Some(Value::Array(diff_ids)) => diff_ids.as_slice(),
            _ => {
                return Err(form(format!(
                    "its {} has no rootfs.diff_ids",
                    manifest.config
                )));
            }
        };
        if diff_ids.len() != manifest.layers.len() {
            let (layers, ids) = (manifest.layers.len(), diff_ids.len());
            return Err(form(format!(
                "its manifest has {layers} layers, its configuration {ids}"
            )));
        }
        let layers = manifest
            .layers
            .iter()
            .zip(diff_ids)
            .map(|(name, diff_id)| {
                let member =
                    find(name).ok_or_else(|| form(format!("its layer {name} is not there")))?;
                let diff_id = diff_id
                    .as_str()
                    .unwrap_or_default()
                    .parse()
                    .map_err(|error| form(format!("its {}: {error}", manifest.config)))?;
                let content = match &member.content {
                    &FoundContent::File { offset, size } => BaseContent::Member { offset, size },
                    FoundContent::Link(target) => BaseContent::Link(target.clone()),
                    FoundContent::Sparse => {
                        let what = "is stored as a sparse file, which no tool does for layers";
                        return Err(form(format!("its layer {name} {what}")));
                    }
                };
                Ok(BaseLayer {
                    name: name.clone(),
                    diff_id,
                    content,
                    mode: member.mode,
                    mtime: member.mtime,
                    owner: member.owner.clone(),
                    pax: member.pax.clone(),
                })
            })
            .collect::<Result<_, BaseError>>()?;
        Ok(Self {
            source: BaseSource::Archive {
                path: path.to_owned(),
                compression,
            },
            layers,
            config,
            inherit: BTreeSet::from([Inherit::Env]),
        })
    }
}

/// All members that a base image may refer to, in the order of the archive.
fn list(archive: Box<dyn Read + Send>) -> io::Result<Vec<Found>> {
    let allowed = Rc::new(Cell::new(MAX_HEADERS));
    let mut archive = tar::Archive::new(Allowed {
        reader: archive,
        allowed: Rc::clone(&allowed),
    });
    let mut members = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        // Before the next member, the contents of this one are skipped, which is to read them.
        allowed.set(entry.size().saturating_add(BLOCK + MAX_HEADERS));
        let mut content = match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => FoundContent::File {
                offset: entry.raw_file_position(),
                size: entry.size(),
            },
            tar::EntryType::GNUSparse => FoundContent::Sparse,
            tar::EntryType::Symlink => FoundContent::Link(
                entry
                    .link_name_bytes()
                    .map(|target| target.to_vec())
                    .unwrap_or_default(),
            ),
            _ => continue,
        };
        let mut pax = PaxRecords::new();
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                pax.push((
                    extension.key_bytes().to_vec(),
                    extension.value_bytes().to_vec(),
                ));
            }
        }
        // GNU tar's newer form of sparse files is said in pax records.
        if pax.iter().any(|(key, _)| key.starts_with(b"GNU.sparse.")) {
            content = FoundContent::Sparse;
        }
        let header = entry.header();
        let record = |keyword: &str| {
            let found = pax.iter().rev().find(|(key, _)| key == keyword.as_bytes());
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let number = |keyword: &str, text: &[u8], field: io::Result<u64>| -> io::Result<i64> {
            match record(keyword).and_then(|text| text.parse::<f64>().ok()) {
                // A time may have a fraction, which headers have no room for. `as` takes the whole
                // part, the nearest end of the range for what is beyond it, and 0 for NaN.
                Some(value) => Ok(value as i64),
                // Some writers leave fields empty that they have no use for.
                None if is_empty(text) => Ok(0),
                None => field.map(|value| i64::try_from(value).unwrap_or(i64::MAX)),
            }
        };
        let name = |keyword: &str, field: Option<&[u8]>| {
            record(keyword)
                .unwrap_or_else(|| String::from_utf8_lossy(field.unwrap_or_default()).into_owned())
        };
        let owner = Owner {
            uid: number("uid", &header.as_old().uid, header.uid())?,
            gid: number("gid", &header.as_old().gid, header.gid())?,
            uname: name("uname", header.username_bytes()),
            gname: name("gname", header.groupname_bytes()),
        };
        let (mode, mtime) = (
            if is_empty(&header.as_old().mode) {
                0
            } else {
                header.mode()?
            },
            number("mtime", &header.as_old().mtime, header.mtime())?,
        );
        members.push(Found {
            name: plain_name(&entry.path_bytes()),
            content,
            mode,
            mtime,
            owner,
            pax,
        });
    }
    Ok(members)
}

/// A reader that gives so many bytes, and then an error: `tar` itself sets no bound on what it
/// reads into memory of a header.
struct Allowed<R> {
    reader: R,
    allowed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Allowed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let rest = self.allowed.get().checked_sub(count as u64);
        self.allowed.set(rest.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "it has a header of more than a megabyte",
            )
        })?);
        Ok(count)
    }
}

fn is_empty(field: &[u8]) -> bool {
    field.iter().all(|&byte| matches!(byte, 0 | b' '))
}

/// A member's name without `./` and `/` before it.
fn plain_name(name: &[u8]) -> Vec<u8> {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")) {
        name = rest;
    }
    name.to_vec()
}
