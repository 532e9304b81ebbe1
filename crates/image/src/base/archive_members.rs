//! The members of an archive, and what is read of them into memory, which is bounded.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use serde_json::Value;

use super::archive_file::{ArchiveCompression, ArchiveFile, DecompressError};
use super::archive_source::ArchiveSource;
use super::error::BaseError;
use super::layer_start::LayerStart;
use super::limits::MAX_JSON;
use crate::bytes::tar::{BLOCK, Owner, PaxRecords};

/// Most bytes of headers before one member: names and pax records, which are read into memory. A
/// name or a link has at most 4 kB on Linux; extended attributes may have some more.
const MAX_HEADERS: u64 = 1 << 20;

/// Most bytes that are kept of all members: their names, links and pax records. A member takes some
/// 300 bytes, and archives of many images have some thousands.
const MAX_KEPT: usize = 16 << 20;

/// An archive with its members.
pub(super) struct ArchiveMembers {
    pub(super) source: ArchiveSource,
    pub(super) compression: ArchiveCompression,
    members: BTreeMap<Vec<u8>, Found>,
}

/// A member of the archive.
pub(super) struct Found {
    pub(super) content: FoundContent,
    pub(super) mode: u32,
    pub(super) mtime: i64,
    pub(super) owner: Owner,
    pub(super) pax: PaxRecords,
}

pub(super) enum FoundContent {
    File {
        /// Where it starts in the archive, in bytes.
        offset: u64,
        /// Its length in bytes.
        size: u64,
        /// What it is if it is a layer.
        start: LayerStart,
    },
    Link(Vec<u8>),
    /// A file with holes, which are not in the archive.
    Sparse,
}

impl ArchiveMembers {
    /// Finds the members of an archive, which may be compressed.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no tar, or what is to be kept of it is too much.
    pub(super) fn open(archive: ArchiveSource) -> Result<Self, BaseError> {
        let read = |source| BaseError::Read {
            path: archive.path.clone(),
            source,
        };
        let compression = ArchiveCompression::of_file(&archive).map_err(read)?;
        let file = ArchiveFile::open(&archive, compression).map_err(read)?;
        let members = list(file).map_err(|error| {
            if error.raw_os_error().is_some() {
                return read(error);
            }
            let inner = error.get_ref();
            let is_own = error.kind() == io::ErrorKind::QuotaExceeded
                || inner.is_some_and(|inner| inner.is::<DecompressError>());
            BaseError::Form {
                path: archive.path.clone(),
                what: if is_own {
                    error.to_string()
                } else {
                    "it is no tar, or not a whole one".to_owned()
                },
            }
        })?;
        Ok(Self {
            source: archive,
            compression,
            members,
        })
    }

    /// The member of this name. As with tar itself, the last of several counts.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Found> {
        self.members.get(&plain_name(name))
    }

    /// The JSON in a member.
    ///
    /// # Errors
    ///
    /// It is not there, cannot be read, or is too long.
    pub(super) fn json(&self, name: &str) -> Result<Value, BaseError> {
        let form = |what: String| self.form(what);
        let member = self.find(name.as_bytes());
        let member = member.ok_or_else(|| form(format!("it has no {name}")))?;
        let FoundContent::File { offset, size, .. } = member.content else {
            return Err(form(format!("its {name} is no plain file")));
        };
        if size > MAX_JSON {
            return Err(form(format!("its {name} has {size} bytes")));
        }
        let mut text = Vec::new();
        let mut reader = self.reader()?;
        let read = reader.seek_to(offset);
        read.and_then(|()| reader.take(size).read_to_end(&mut text))
            .map_err(|error| self.unreadable(error))?;
        serde_json::from_slice(&text).map_err(|error| form(format!("its {name}: {error}")))
    }

    /// Starts to read the archive.
    ///
    /// # Errors
    ///
    /// It cannot be opened any more.
    pub(super) fn reader(&self) -> Result<ArchiveFile, BaseError> {
        ArchiveFile::open(&self.source, self.compression).map_err(|error| self.unreadable(error))
    }

    /// The error of an archive that cannot be read.
    pub(super) fn unreadable(&self, source: io::Error) -> BaseError {
        BaseError::Read {
            path: self.source.path.clone(),
            source,
        }
    }

    /// The error of an archive that holds something wrong.
    pub(super) fn form(&self, what: String) -> BaseError {
        BaseError::Form {
            path: self.source.path.clone(),
            what,
        }
    }
}

/// All members that a base image may refer to.
fn list(archive: ArchiveFile) -> io::Result<BTreeMap<Vec<u8>, Found>> {
    let allowed = Rc::new(Cell::new(BLOCK + MAX_HEADERS));
    let mut archive = tar::Archive::new(Allowed {
        reader: archive,
        allowed: Rc::clone(&allowed),
    });
    let mut members = BTreeMap::new();
    let mut kept = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let in_archive = match kind {
            // Its size is that with the holes, which are not in the archive.
            tar::EntryType::GNUSparse => entry.header().entry_size()?,
            _ => entry.size(),
        };
        // Before the next member, the contents of this one are skipped, which is to read them.
        allowed.set(in_archive.saturating_add(2 * BLOCK + MAX_HEADERS));
        let mut content = match kind {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let mut start = Vec::new();
                (&mut entry)
                    .take(LayerStart::LENGTH)
                    .read_to_end(&mut start)?;
                FoundContent::File {
                    offset: entry.raw_file_position(),
                    size: entry.size(),
                    start: LayerStart::of(&start),
                }
            }
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
        let name = plain_name(&entry.path_bytes());
        kept += kept_bytes(&name, &content, &pax);
        if kept > MAX_KEPT {
            let most = MAX_KEPT / 1_000_000;
            let what = format!("the names and headers of its members take more than {most} MB");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, what));
        }
        members.insert(name, found(entry.header(), content, pax)?);
    }
    Ok(members)
}

/// About as many bytes a member takes in memory.
fn kept_bytes(name: &[u8], content: &FoundContent, pax: &PaxRecords) -> usize {
    let link = match content {
        FoundContent::Link(target) => target.len(),
        FoundContent::File { .. } | FoundContent::Sparse => 0,
    };
    let record = size_of::<(Vec<u8>, Vec<u8>)>();
    let records = pax
        .iter()
        .map(|(key, value)| record + key.len() + value.len());
    size_of::<(Vec<u8>, Found)>() + name.len() + link + records.sum::<usize>()
}

fn found(header: &tar::Header, content: FoundContent, pax: PaxRecords) -> io::Result<Found> {
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
    let old = header.as_old();
    Ok(Found {
        owner: Owner {
            uid: number("uid", &old.uid, header.uid())?,
            gid: number("gid", &old.gid, header.gid())?,
            uname: name("uname", header.username_bytes()),
            gname: name("gname", header.groupname_bytes()),
        },
        mode: if is_empty(&old.mode) {
            0
        } else {
            header.mode()?
        },
        mtime: number("mtime", &old.mtime, header.mtime())?,
        content,
        pax,
    })
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
