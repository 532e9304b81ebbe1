//! The tar format of layers and archives: what Python's `tarfile` writes in its pax form, byte for
//! byte, since that is what nixpkgs' images are made of.
//!
//! Any change to the bytes made here is a break of the format: layers get other digests.

mod archive;
pub(crate) mod gnu;
mod header;
mod layer;

pub use archive::ArchiveWriter;
pub use header::{Kind, Member, Owner, PaxRecords, write_header};
pub use layer::LayerTar;

/// Size of a tar block: headers are one block, contents are padded to whole blocks.
pub const BLOCK: u64 = 512;

/// Size of a tar record: an archive is padded to whole records.
pub const RECORD: u64 = 10_240;

/// Zero bytes from `length` to the next multiple of `unit`.
pub fn padding(length: u64, unit: u64) -> u64 {
    length.next_multiple_of(unit) - length
}

/// Zero bytes that end an archive whose members take `length` bytes: two blocks, then what fills
/// the record.
pub fn end_of_archive(length: u64) -> u64 {
    2 * BLOCK + padding(length + 2 * BLOCK, RECORD)
}

/// What every member of a layer has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarRules {
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
    /// Owner of every member.
    pub owner: Owner,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_ends_on_a_record() {
        for (length, expected) in [
            (0, 10_240),
            (10_240 - 1024, 1024),
            (10_240 - 512, 10_752),
            (10_240, 10_240),
        ] {
            assert_eq!(end_of_archive(length), expected, "{length}");
        }
    }
}
