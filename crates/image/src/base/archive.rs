//! Base images in docker-archives.
//!
//! Plain, gzip, zstd, bzip2 and xz archives are read, as `docker save`, `skopeo`, nixpkgs and
//! others write them, also with `./` before the members' names. Nothing is unpacked to disk: a
//! compressed archive is read again where its members stand in another order than its manifest
//! wants.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{BaseContent, BaseError, BaseImage, BaseLayer, Inherit, MAX_JSON, Source};
use crate::tar::{Owner, PaxRecords};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: String,
    layers: Vec<String>,
}

struct Found {
    name: Vec<u8>,
    layer_of: BaseContent,
    offset: u64,
    mode: u32,
    mtime: i64,
    owner: Owner,
    pax: PaxRecords,
}

impl BaseImage {
    /// Reads an archive's manifest and configuration, and where its layers are.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no docker-archive.
    pub fn open(path: &Path) -> Result<Self, BaseError> {
        let read = |source| BaseError::Read {
            path: path.to_owned(),
            source,
        };
        let form = |what: String| BaseError::Form {
            path: path.to_owned(),
            what,
        };
        let compression = Compression::of(path).map_err(read)?;
        let members = list(compression.open(path).map_err(read)?).map_err(|error| {
            match error.raw_os_error() {
                Some(_) => read(error),
                None => form("it is no tar, or not a whole one".to_owned()),
            }
        })?;
        let find = |name: &str| {
            let wanted = plain_name(name.as_bytes());
            // As with tar itself, the last of several equal names counts.
            members.iter().rev().find(|member| member.name == wanted)
        };
        let json = |name: &str| -> Result<Value, BaseError> {
            let member = find(name).ok_or_else(|| form(format!("it has no {name}")))?;
            let BaseContent::File(size) = member.layer_of else {
                return Err(form(format!("its {name} is a link")));
            };
            if size > MAX_JSON {
                return Err(form(format!("its {name} has {size} bytes")));
            }
            let mut text = Vec::new();
            let mut reader = Positioned::open(path, compression).map_err(read)?;
            reader.seek_to(member.offset).map_err(read)?;
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
                let content = match &member.layer_of {
                    BaseContent::File(size) => BaseContent::File(*size),
                    BaseContent::Symlink(target) => BaseContent::Symlink(target.clone()),
                };
                Ok(BaseLayer {
                    name: name.clone(),
                    diff_id,
                    blob: None,
                    offset: member.offset,
                    content,
                    mode: member.mode,
                    mtime: member.mtime,
                    owner: member.owner.clone(),
                    pax: member.pax.clone(),
                })
            })
            .collect::<Result<_, BaseError>>()?;
        Ok(Self {
            source: Source::Archive {
                path: path.to_owned(),
                compression,
            },
            layers,
            config,
            inherit: BTreeSet::from([Inherit::Env]),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    fn of(path: &Path) -> io::Result<Self> {
        let mut magic = Vec::new();
        File::open(path)?.take(6).read_to_end(&mut magic)?;
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            _ => Self::None,
        })
    }

    fn open(self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(path)?;
        Ok(match self {
            Self::None => Box::new(file),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Self::Zstd => Box::new(zstd::Decoder::new(file)?),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(file)),
            Self::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)),
        })
    }
}

/// A reader that can go to any place: by seeking in a plain file, by reading on or from the start
/// again in a compressed one.
pub(super) struct Positioned<'a> {
    path: &'a Path,
    compression: Compression,
    reader: PositionedReader,
    position: u64,
}

enum PositionedReader {
    Plain(File),
    Compressed(Box<dyn Read + Send>),
}

impl<'a> Positioned<'a> {
    pub(super) fn open(path: &'a Path, compression: Compression) -> io::Result<Self> {
        let reader = match compression {
            Compression::None => PositionedReader::Plain(File::open(path)?),
            _ => PositionedReader::Compressed(compression.open(path)?),
        };
        Ok(Self {
            path,
            compression,
            reader,
            position: 0,
        })
    }

    pub(super) fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        if let PositionedReader::Plain(file) = &mut self.reader {
            file.seek(SeekFrom::Start(offset))?;
            self.position = offset;
            return Ok(());
        }
        if offset < self.position {
            *self = Self::open(self.path, self.compression)?;
        }
        let skip = offset - self.position;
        io::copy(&mut self.take(skip), &mut io::sink())?;
        Ok(())
    }
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.reader {
            PositionedReader::Plain(file) => file.read(buffer)?,
            PositionedReader::Compressed(reader) => reader.read(buffer)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

/// All members that a base image may refer to, in the order of the archive.
fn list(archive: Box<dyn Read + Send>) -> io::Result<Vec<Found>> {
    let mut archive = tar::Archive::new(archive);
    let mut members = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let layer_of = match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                BaseContent::File(entry.size())
            }
            tar::EntryType::Symlink => BaseContent::Symlink(
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
        let header = entry.header();
        let record = |keyword: &str| {
            let found = pax.iter().rev().find(|(key, _)| key == keyword.as_bytes());
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let number = |keyword: &str, text: &[u8], field: io::Result<u64>| -> io::Result<i64> {
            match record(keyword).and_then(|text| text.parse::<f64>().ok()) {
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
            layer_of,
            offset: entry.raw_file_position(),
            mode,
            mtime,
            owner,
            pax,
        });
    }
    Ok(members)
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
