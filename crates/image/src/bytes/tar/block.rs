//! Blocks and records, to which tars are padded.

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
