//! A base image: a docker-archive whose layers come first in another image.
//!
//! Plain, gzip, zstd, bzip2 and xz archives are read, as `docker save`, `skopeo`, nixpkgs and
//! others write them, also with `./` before the members' names. Layers are copied as they are.
//! Nothing is unpacked to disk: a compressed archive is read again where its members stand in
//! another order than its manifest wants.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::digest::Digest;
use crate::oci::LayerBlob;
use crate::sink::{CopyError, Sink};
use crate::tar::{Kind, Member, Owner, PaxRecords};

/// Longest manifest or configuration that is read, in bytes.
const MAX_JSON: u64 = 32 << 20;

/// A base image, with what another image takes from it.
#[derive(Debug)]
pub struct BaseImage {
    path: PathBuf,
    compression: Compression,
    /// Layers, bottom first.
    pub layers: Vec<BaseLayer>,
    /// The image's configuration.
    pub config: Value,
}

/// One layer of a base image: a member of its archive.
#[derive(Debug)]
pub struct BaseLayer {
    /// The member's name in the archive's manifest.
    pub name: String,
    /// Digest of the layer's tar, as the image's configuration says.
    pub diff_id: Digest,
    blob: Option<LayerBlob>,
    offset: u64,
    content: BaseContent,
    mode: u32,
    mtime: i64,
    owner: Owner,
    pax: PaxRecords,
}

#[derive(Debug)]
enum BaseContent {
    File(u64),
    /// `docker save` links layers that are there twice.
    Symlink(Vec<u8>),
}

/// Why a base image cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// The file cannot be opened or read.
    #[error("cannot read the base image {}", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// The system's, or the decompressor's, error.
        source: io::Error,
    },
    /// The file is no docker-archive.
    #[error("the base image {} is no docker-archive: {what}; make one with `docker save` or `skopeo copy … docker-archive:FILE`", path.display())]
    Form {
        /// The archive.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// A member is shorter than its header said.
    #[error("the base image {} ends within its layer {layer}: it is not whole", path.display())]
    Truncated {
        /// The archive.
        path: PathBuf,
        /// The layer's name.
        layer: String,
    },
}

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
        let members = list(compression.open(path).map_err(read)?).map_err(read)?;
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
            path: path.to_owned(),
            compression,
            layers,
            config,
        })
    }

    /// The layer that holds the contents of this one: itself, unless it is a link to an equal one.
    pub fn contents_of<'a>(&'a self, layer: &'a BaseLayer) -> &'a BaseLayer {
        let is_file = |other: &&BaseLayer| {
            other.diff_id == layer.diff_id && matches!(other.content, BaseContent::File(_))
        };
        self.layers.iter().find(is_file).unwrap_or(layer)
    }

    /// `config.Env` of the base: texts `NAME=value`.
    pub fn env(&self) -> Vec<String> {
        let texts = self.config.pointer("/config/Env").and_then(Value::as_array);
        texts
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    }

    /// Starts to copy layers out; in ascending order of their place in the archive none is read
    /// twice.
    ///
    /// # Errors
    ///
    /// The archive cannot be opened.
    pub fn reader(&self) -> Result<BaseReader<'_>, BaseError> {
        let reader =
            Positioned::open(&self.path, self.compression).map_err(|source| BaseError::Read {
                path: self.path.clone(),
                source,
            })?;
        Ok(BaseReader {
            image: self,
            reader,
        })
    }
}

impl BaseLayer {
    /// The layer as a blob, where it is one.
    pub fn blob(&self) -> Option<LayerBlob> {
        self.blob
    }

    /// The layer as a member of an archive.
    pub fn member(&self) -> Member<'_> {
        let kind = match &self.content {
            BaseContent::File(size) => Kind::File(*size),
            BaseContent::Symlink(target) => Kind::Symlink(target),
        };
        Member {
            name: self.name.as_bytes(),
            kind,
            mode: self.mode,
            mtime: self.mtime,
            owner: &self.owner,
            pax: self.pax.clone(),
        }
    }

    /// Length of the member's contents, in bytes.
    pub fn size(&self) -> u64 {
        match self.content {
            BaseContent::File(size) => size,
            BaseContent::Symlink(_) => 0,
        }
    }
}

/// Copies layers out of a base image.
pub struct BaseReader<'a> {
    image: &'a BaseImage,
    reader: Positioned<'a>,
}

impl BaseReader<'_> {
    /// Writes the contents of a layer of this image to `sink`.
    ///
    /// # Errors
    ///
    /// The archive cannot be read; the inner error is the sink's.
    pub fn copy(
        &mut self,
        layer: &BaseLayer,
        sink: &mut impl Sink,
    ) -> Result<io::Result<()>, BaseError> {
        let path = &self.image.path;
        let read = |source| BaseError::Read {
            path: path.clone(),
            source,
        };
        if layer.size() == 0 {
            return Ok(Ok(()));
        }
        self.reader.seek_to(layer.offset).map_err(read)?;
        let mut stream = (&mut self.reader).take(layer.size());
        match sink.copy_stream(&mut stream, layer.size()) {
            Ok(copied) if copied == layer.size() => Ok(Ok(())),
            Ok(_) => Err(BaseError::Truncated {
                path: path.clone(),
                layer: layer.name.clone(),
            }),
            Err(CopyError::Read(source)) => Err(read(source)),
            Err(CopyError::Write(error)) => Ok(Err(error)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
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
struct Positioned<'a> {
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
    fn open(path: &'a Path, compression: Compression) -> io::Result<Self> {
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

    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
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

/// `config.Env` of an image on a base: the base's texts, then the own ones; of several with one
/// name the first gives the place and the last the text.
pub fn merge_env(base: &[String], own: &[String]) -> Vec<String> {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<String> = Vec::new();
    for text in base.iter().chain(own) {
        match merged.iter_mut().find(|other| name(other) == name(text)) {
            Some(other) => other.clone_from(text),
            None => merged.push(text.clone()),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gives_the_place_and_the_last_the_text() {
        let texts = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let merged = merge_env(&texts(&["A=1", "C", "D=x"]), &texts(&["B=2", "A=3"]));
        assert_eq!(merged, texts(&["A=3", "C", "D=x", "B=2"]));
    }
}
