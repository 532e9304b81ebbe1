//! The root of an image that lies in a directory, as the Nix side lays it out: written as the layer
//! on top of all others, with owners and modes that the directory itself need not have.
//!
//! The bytes are those that GNU tar gives nixpkgs for the same directory: members in GNU's form
//! below `./`, siblings in the order of their names' bytes, one date for all.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

pub use super::tar::gnu::{Device, Node};
use super::tar::gnu::{GnuKind, GnuMember, write_gnu_header};
use super::tar::{BLOCK, end_of_archive, padding};

/// The date of all entries, in seconds since 1970: the start of 1980, which nixpkgs' standard
/// environment gives to what is older than zip files.
pub const MTIME: u64 = 315_532_800;

/// What an entry is beside its place and contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// The lowest twelve bits of the mode.
    pub mode: u32,
    /// What it is where it is not a file, directory or link.
    pub node: Option<Node>,
}

/// Says what attributes the entries of a directory get.
pub trait SetAttributes {
    /// The attributes of the entry at `path`, an absolute path in the image (`/etc/passwd`; `/` for
    /// the root itself). Without more knowledge, root owns it and its mode is that of `metadata`.
    fn attributes(&mut self, path: &[u8], metadata: &Metadata) -> Attributes;
}

/// Why a directory could not be written as a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootDirectoryError {
    /// An entry cannot be read.
    #[error("cannot read {} for the image's root", path.display())]
    Read {
        /// The entry.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A socket, which a tar cannot hold.
    #[error("{} is a socket; remove it from the image's root", path.display())]
    Kind {
        /// The entry.
        path: PathBuf,
    },
    /// The layer cannot be written.
    #[error("cannot write the layer of the image's root")]
    Write(#[source] io::Error),
}

/// Writes what is in `directory` as a tar.
///
/// # Errors
///
/// See [`RootDirectoryError`].
pub fn write(
    directory: &Path,
    attributes: &mut dyn SetAttributes,
    out: &mut impl Write,
) -> Result<(), RootDirectoryError> {
    let mut tar = Tar {
        attributes,
        out,
        length: 0,
    };
    tar.entry(directory, b".")?;
    let end = end_of_archive(tar.length);
    tar.zeros(end)
}

struct Tar<'a, W> {
    attributes: &'a mut dyn SetAttributes,
    out: &'a mut W,
    length: u64,
}

impl<W: Write> Tar<'_, W> {
    /// Writes the entry that lies at `place` as the member `name`, and all that is below it.
    fn entry(&mut self, place: &Path, name: &[u8]) -> Result<(), RootDirectoryError> {
        let read = |source| RootDirectoryError::Read {
            path: place.to_owned(),
            source,
        };
        let metadata = fs::symlink_metadata(place).map_err(read)?;
        let kind = metadata.file_type();
        let attributes = self.attributes.attributes(path_in_image(name), &metadata);
        if let Some(node) = attributes.node {
            self.header(name, GnuKind::Node(node), &attributes)
        } else if kind.is_dir() {
            self.header(&[name, b"/"].concat(), GnuKind::Directory, &attributes)?;
            let names = fs::read_dir(place)
                .map_err(read)?
                .map(|entry| Ok(entry?.file_name()));
            let mut names: Vec<OsString> = names.collect::<io::Result<_>>().map_err(read)?;
            names.sort_unstable();
            for child in names {
                let path = [name, b"/", child.as_bytes()].concat();
                self.entry(&place.join(child), &path)?;
            }
            Ok(())
        } else if kind.is_symlink() {
            let target = fs::read_link(place)
                .map_err(read)?
                .into_os_string()
                .into_vec();
            self.header(name, GnuKind::Symlink(&target), &attributes)
        } else if kind.is_file() {
            let file = File::open(place).map_err(read)?;
            let size = metadata.len();
            self.header(name, GnuKind::File(size), &attributes)?;
            let copied = io::copy(&mut io::Read::take(file, size), self.out)
                .map_err(RootDirectoryError::Write)?;
            if copied != size {
                return Err(read(io::ErrorKind::UnexpectedEof.into()));
            }
            self.length += size;
            self.zeros(padding(size, BLOCK))
        } else {
            Err(RootDirectoryError::Kind {
                path: place.to_owned(),
            })
        }
    }

    fn header(
        &mut self,
        name: &[u8],
        kind: GnuKind<'_>,
        attributes: &Attributes,
    ) -> Result<(), RootDirectoryError> {
        let mut header = Vec::with_capacity(BLOCK as usize);
        let member = GnuMember {
            name,
            kind,
            mode: attributes.mode,
            uid: attributes.uid.into(),
            gid: attributes.gid.into(),
            mtime: MTIME,
        };
        write_gnu_header(&mut header, &member)
            .and_then(|()| self.out.write_all(&header))
            .map_err(RootDirectoryError::Write)?;
        self.length += header.len() as u64;
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> Result<(), RootDirectoryError> {
        self.length += count;
        io::copy(&mut io::Read::take(io::repeat(0), count), self.out)
            .map(|_| ())
            .map_err(RootDirectoryError::Write)
    }
}

/// The path in the image of a member, whose name is that path with a dot before it.
fn path_in_image(name: &[u8]) -> &[u8] {
    match name {
        b"." => b"/",
        _ => &name[1..],
    }
}

/// Attributes as the directory has them, but for the owner, which is root.
#[derive(Debug, Default)]
pub struct OwnedByRoot;

impl SetAttributes for OwnedByRoot {
    fn attributes(&mut self, _: &[u8], metadata: &Metadata) -> Attributes {
        Attributes {
            uid: 0,
            gid: 0,
            mode: metadata.mode() & 0o7777,
            node: node(metadata),
        }
    }
}

fn node(metadata: &Metadata) -> Option<Node> {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        Some(Node::Pipe)
    } else if kind.is_char_device() {
        Some(Node::CharacterDevice(Device::of(metadata.rdev())))
    } else if kind.is_block_device() {
        Some(Node::BlockDevice(Device::of(metadata.rdev())))
    } else {
        None
    }
}

/// Owners, modes and devices that fakeroot noted: what a program that was run by it asked for, and the
/// files themselves do not have. A device is an empty file on disk.
#[derive(Debug, Default)]
pub struct FakerootState {
    files: BTreeMap<(u64, u64), Attributes>,
}

/// A line that fakeroot does not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of fakeroot's state is not of its form: `{text}`")]
pub struct FakerootStateError {
    line: usize,
    text: String,
}

impl FakerootState {
    /// Reads what `fakeroot -s` saves: for each file, its device (base 16), inode, mode (base 8), user,
    /// group, and the number of the device that it is.
    ///
    /// # Errors
    ///
    /// A line is of another form.
    pub fn parse(text: &str) -> Result<Self, FakerootStateError> {
        let files = text.lines().enumerate().map(|(index, line)| {
            parse_line(line).ok_or_else(|| FakerootStateError {
                line: index + 1,
                text: line.chars().take(100).collect(),
            })
        });
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
        })
    }
}

fn parse_line(line: &str) -> Option<((u64, u64), Attributes)> {
    let fields: BTreeMap<&str, &str> = line
        .split(',')
        .map(|field| field.split_once('='))
        .collect::<Option<_>>()?;
    let file = (
        u64::from_str_radix(fields.get("dev")?, 16).ok()?,
        fields.get("ino")?.parse().ok()?,
    );
    let mode = u32::from_str_radix(fields.get("mode")?, 8).ok()?;
    let device = || Some(Device::of(fields.get("rdev")?.parse().ok()?));
    // The kinds of POSIX's `st_mode`.
    let node = match mode & 0o170_000 {
        0o010_000 => Some(Node::Pipe),
        0o020_000 => Some(Node::CharacterDevice(device()?)),
        0o060_000 => Some(Node::BlockDevice(device()?)),
        _ => None,
    };
    let attributes = Attributes {
        uid: fields.get("uid")?.parse().ok()?,
        gid: fields.get("gid")?.parse().ok()?,
        mode: mode & 0o7777,
        node,
    };
    Some((file, attributes))
}

impl SetAttributes for FakerootState {
    fn attributes(&mut self, path: &[u8], metadata: &Metadata) -> Attributes {
        match self.files.get(&(metadata.dev(), metadata.ino())) {
            Some(noted) => *noted,
            None => OwnedByRoot.attributes(path, metadata),
        }
    }
}
