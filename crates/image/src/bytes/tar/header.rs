//! Headers: one ustar block, and before it a pax member with what the block has no room for.

use std::io::Write as _;

use super::block::{BLOCK, padding};

/// Owner of a member: numbers and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Numeric user.
    pub uid: i64,
    /// Numeric group.
    pub gid: i64,
    /// User name; may be empty.
    pub uname: String,
    /// Group name; may be empty.
    pub gname: String,
}

/// What every member of a layer has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarRules {
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
    /// Owner of every member.
    pub owner: Owner,
}

impl Owner {
    /// 0:0 with no names, as the members of the archive itself have it.
    pub fn without_names() -> Self {
        Self {
            uid: 0,
            gid: 0,
            uname: String::new(),
            gname: String::new(),
        }
    }

    /// 0:0, root and root.
    pub fn root() -> Self {
        Self {
            uid: 0,
            gid: 0,
            uname: "root".to_owned(),
            gname: "root".to_owned(),
        }
    }
}

/// What kind of member it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A regular file, with its length in bytes.
    File(u64),
    /// A directory; its name gets the slash that ends it.
    Directory,
    /// A symbolic link, with its target.
    Symlink(&'a [u8]),
}

/// Keyword and value of the records of a pax member, in their order.
pub type PaxRecords = Vec<(Vec<u8>, Vec<u8>)>;

/// One member of an archive, as far as its header goes.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The name, without a slash at the end.
    pub name: &'a [u8],
    /// Its kind.
    pub kind: Kind<'a>,
    /// Permission bits; only the lowest twelve are kept.
    pub mode: u32,
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
    /// Owner.
    pub owner: &'a Owner,
    /// Records that a member copied from another archive brings along; they count before what
    /// this module would say.
    pub pax: PaxRecords,
}

/// Appends the header of `member` to `out`: one block, or a pax member and that block.
///
/// The ustar prefix field is never used: a name over 100 bytes, or one that is not ASCII, goes into
/// a pax record, and so does a number too large for its octal digits.
pub fn write_header(out: &mut Vec<u8>, member: &Member<'_>) {
    let name = full_name(member);
    let (records, block) = fields(member, &name);
    if !records.is_empty() {
        write_pax_member(out, &records);
    }
    write_block(out, &block);
}

/// How many bytes [`write_header`] appends.
pub fn header_length(member: &Member<'_>) -> u64 {
    let name = full_name(member);
    let (records, _) = fields(member, &name);
    if records.is_empty() {
        return BLOCK;
    }
    let payload = pax_payload(&records).len() as u64;
    2 * BLOCK + payload + padding(payload, BLOCK)
}

/// The name, with the slash that ends a directory's.
fn full_name(member: &Member<'_>) -> Vec<u8> {
    let mut name = Vec::with_capacity(member.name.len() + 1);
    name.extend_from_slice(member.name);
    if member.kind == Kind::Directory {
        name.push(b'/');
    }
    name
}

/// What goes into the block, and the records for what it has no room for.
fn fields<'a>(member: &Member<'a>, name: &'a [u8]) -> (PaxRecords, Block<'a>) {
    let (typeflag, size, link): (u8, u64, &[u8]) = match member.kind {
        Kind::File(size) => (b'0', size, b""),
        Kind::Directory => (b'5', 0, b""),
        Kind::Symlink(target) => (b'2', 0, target),
    };
    let owner = member.owner;

    let mut records = member.pax.clone();
    text_record(&mut records, "path", name, 100);
    text_record(&mut records, "linkpath", link, 100);
    text_record(&mut records, "uname", owner.uname.as_bytes(), 32);
    text_record(&mut records, "gname", owner.gname.as_bytes(), 32);
    let uid = number_record(&mut records, "uid", owner.uid.into(), 7);
    let gid = number_record(&mut records, "gid", owner.gid.into(), 7);
    let size = number_record(&mut records, "size", size.into(), 11);
    let mtime = number_record(&mut records, "mtime", member.mtime.into(), 11);
    let block = Block {
        name,
        mode: member.mode & 0o7777,
        uid,
        gid,
        size,
        mtime,
        typeflag,
        link,
        uname: owner.uname.as_bytes(),
        gname: owner.gname.as_bytes(),
    };
    (records, block)
}

/// Adds a record for a text that its field of `room` bytes cannot hold.
fn text_record(records: &mut PaxRecords, keyword: &str, value: &[u8], room: usize) {
    if (value.len() > room || !value.is_ascii()) && !has(records, keyword) {
        records.push((keyword.into(), value.to_vec()));
    }
}

/// Adds a record for a number that does not fit `digits` octal digits; what the field then holds
/// is 0.
fn number_record(records: &mut PaxRecords, keyword: &str, value: i128, digits: u32) -> u64 {
    match u64::try_from(value) {
        Ok(number) if number < 8u64.pow(digits) => number,
        _ => {
            if !has(records, keyword) {
                records.push((keyword.into(), value.to_string().into_bytes()));
            }
            0
        }
    }
}

fn has(records: &PaxRecords, keyword: &str) -> bool {
    records.iter().any(|(key, _)| key == keyword.as_bytes())
}

fn pax_payload(records: &PaxRecords) -> Vec<u8> {
    let mut payload = Vec::new();
    if records
        .iter()
        .any(|(_, value)| std::str::from_utf8(value).is_err())
    {
        payload.extend_from_slice(b"21 hdrcharset=BINARY\n");
    }
    for (keyword, value) in records {
        let rest = keyword.len() + value.len() + 3;
        // The length counts its own digits.
        let mut length = rest + 1;
        while rest + decimal_digits(length) != length {
            length = rest + decimal_digits(length);
        }
        payload.extend_from_slice(length.to_string().as_bytes());
        payload.push(b' ');
        payload.extend_from_slice(keyword);
        payload.push(b'=');
        payload.extend_from_slice(value);
        payload.push(b'\n');
    }
    payload
}

fn write_pax_member(out: &mut Vec<u8>, records: &PaxRecords) {
    let payload = pax_payload(records);
    write_block(
        out,
        &Block {
            name: b"././@PaxHeader",
            mode: 0,
            uid: 0,
            gid: 0,
            size: payload.len() as u64,
            mtime: 0,
            typeflag: b'x',
            link: b"",
            uname: b"",
            gname: b"",
        },
    );
    let padded = out.len() + payload.len() + padding(payload.len() as u64, BLOCK) as usize;
    out.extend_from_slice(&payload);
    out.resize(padded, 0);
}

fn decimal_digits(number: usize) -> usize {
    number.to_string().len()
}

/// The fields of a block, each fit for its place or, for texts, cut to it.
struct Block<'a> {
    name: &'a [u8],
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
    typeflag: u8,
    link: &'a [u8],
    uname: &'a [u8],
    gname: &'a [u8],
}

fn write_block(out: &mut Vec<u8>, fields: &Block<'_>) {
    let mut block = [0u8; BLOCK as usize];
    text(&mut block[0..100], fields.name);
    octal(&mut block[100..108], fields.mode.into());
    octal(&mut block[108..116], fields.uid);
    octal(&mut block[116..124], fields.gid);
    octal(&mut block[124..136], fields.size);
    octal(&mut block[136..148], fields.mtime);
    block[148..156].fill(b' ');
    block[156] = fields.typeflag;
    text(&mut block[157..257], fields.link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    text(&mut block[265..297], fields.uname);
    text(&mut block[297..329], fields.gname);
    // Six digits and a NUL; the space that was counted stays behind it.
    let checksum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    octal(&mut block[148..155], checksum.into());
    out.extend_from_slice(&block);
}

/// Octal digits that fill the field but for the NUL at its end.
fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let mut rest = number;
    for place in field[..digits].iter_mut().rev() {
        *place = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    field[digits] = 0;
}

/// The start of a text, with one `?` for each character that is not ASCII, and for each byte that
/// is not a character.
fn text(field: &mut [u8], value: &[u8]) {
    if value.is_ascii() {
        let length = value.len().min(field.len());
        field[..length].copy_from_slice(&value[..length]);
        return;
    }
    let ascii = value.utf8_chunks().flat_map(|chunk| {
        let valid = chunk
            .valid()
            .chars()
            .map(|c| if c.is_ascii() { c as u8 } else { b'?' });
        valid.chain(chunk.invalid().iter().map(|_| b'?'))
    });
    let mut field = field;
    for byte in ascii.take(field.len()) {
        // A field has room for as many bytes as were taken.
        let _ = field.write(&[byte]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_length_of_a_header_is_that_of_what_is_written(
            name in proptest::collection::vec(any::<u8>(), 0..300),
            target in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..1200)),
            size in proptest::option::of(prop_oneof![0u64..9, any::<u64>()]),
            mtime in any::<i64>(),
            (uid, uname, gname) in (any::<i64>(), ".{0,40}", "[a-z]{0,40}"),
        ) {
            let owner = Owner { uid, gid: uid >> 40, uname, gname };
            let kind = match (&target, size) {
                (Some(target), _) => Kind::Symlink(target),
                (None, Some(size)) => Kind::File(size),
                (None, None) => Kind::Directory,
            };
            let pax = PaxRecords::new();
            let member = Member { name: &name, kind, mode: 0o444, mtime, owner: &owner, pax };
            let mut header = Vec::new();
            write_header(&mut header, &member);
            prop_assert_eq!(header.len() as u64, header_length(&member));
        }
    }
}
