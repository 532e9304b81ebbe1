//! Members in GNU tar's own form, in which nixpkgs writes the layer of an image's root.

use std::io::{self, Write};

use tar::{EntryType, Header};

/// What kind of member it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GnuKind<'a> {
    /// A regular file, with its length in bytes.
    File(u64),
    /// A directory; the member's name ends with a slash.
    Directory,
    /// A symbolic link, with its target.
    Symlink(&'a [u8]),
    /// A pipe or device.
    Node(Node),
}

/// A pipe or device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A named pipe.
    Pipe,
    /// A device that is read by characters.
    CharacterDevice(Device),
    /// A device that is read by blocks.
    BlockDevice(Device),
}

/// The number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its driver.
    pub major: u32,
    /// Which of the driver's devices it is.
    pub minor: u32,
}

impl Device {
    /// The device with this number, as Linux packs it.
    pub(crate) fn of(number: u64) -> Self {
        Self {
            major: rustix::fs::major(number as rustix::fs::Dev),
            minor: rustix::fs::minor(number as rustix::fs::Dev),
        }
    }
}

/// One member, as far as its header goes. It has numeric owners only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GnuMember<'a> {
    /// The name.
    pub(crate) name: &'a [u8],
    /// Its kind.
    pub(crate) kind: GnuKind<'a>,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Numeric user.
    pub(crate) uid: u64,
    /// Numeric group.
    pub(crate) gid: u64,
    /// Modification time, in seconds since 1970.
    pub(crate) mtime: u64,
}

/// Writes the header of `member`; before it, whole members of their own for a link's target and a
/// name that the header has no room for.
///
/// # Errors
///
/// The writer cannot take it.
pub(crate) fn write_gnu_header(out: &mut impl Write, member: &GnuMember<'_>) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(member.mode & 0o7777);
    header.set_uid(member.uid);
    header.set_gid(member.gid);
    header.set_mtime(member.mtime);
    header.set_size(0);
    match member.kind {
        GnuKind::File(size) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(size);
        }
        GnuKind::Directory => header.set_entry_type(EntryType::Directory),
        GnuKind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            if !put(&mut header.as_old_mut().linkname, target) {
                write_long(out, EntryType::GNULongLink, target)?;
            }
        }
        GnuKind::Node(node) => set_node(&mut header, node)?,
    }
    if !put(&mut header.as_old_mut().name, member.name) {
        write_long(out, EntryType::GNULongName, member.name)?;
    }
    write_block(out, &mut header)
}

fn set_node(header: &mut Header, node: Node) -> io::Result<()> {
    let device = match node {
        Node::Pipe => {
            header.set_entry_type(EntryType::Fifo);
            return Ok(());
        }
        Node::CharacterDevice(device) => {
            header.set_entry_type(EntryType::Char);
            device
        }
        Node::BlockDevice(device) => {
            header.set_entry_type(EntryType::Block);
            device
        }
    };
    header.set_device_major(device.major)?;
    header.set_device_minor(device.minor)
}

/// Puts as much of a text into its field as fits; whether that is all of it.
fn put(field: &mut [u8; 100], text: &[u8]) -> bool {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    text.len() <= field.len()
}

fn write_long(out: &mut impl Write, kind: EntryType, text: &[u8]) -> io::Result<()> {
    // The text is counted with a NUL at its end.
    let size = text.len() + 1;
    let mut header = Header::new_gnu();
    put(&mut header.as_old_mut().name, b"././@LongLink");
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size as u64);
    write_block(out, &mut header)?;
    let mut padded = text.to_vec();
    padded.resize(size.next_multiple_of(512), 0);
    out.write_all(&padded)
}

/// GNU tar ends a checksum's six digits with a NUL and a space.
fn write_block(out: &mut impl Write, header: &mut Header) -> io::Result<()> {
    header.set_cksum();
    let checksum = header.cksum()?;
    header.as_old_mut().cksum = *format!("{checksum:06o}\0 ")
        .as_bytes()
        .first_chunk()
        .ok_or(io::ErrorKind::InvalidData)?;
    out.write_all(header.as_bytes())
}
