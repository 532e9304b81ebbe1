//! What the first bytes of a layer in an archive say of it.

use oci::media_type;

use super::archive_file::ArchiveCompression;
use crate::bytes::tar::BLOCK;

/// What a layer is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerStart {
    /// A tar, or nothing, which is an empty one.
    Tar,
    /// A compressed tar, of this media type: what engines with containerd's store save.
    Compressed(&'static str),
    /// No layer.
    Other,
}

impl LayerStart {
    /// As many bytes are looked at.
    pub(super) const LENGTH: u64 = BLOCK;

    /// Tells it by a layer's first bytes: [`LENGTH`](Self::LENGTH) of them, or all that there are.
    pub(super) fn of(start: &[u8]) -> Self {
        match ArchiveCompression::of(start) {
            ArchiveCompression::Gzip => Self::Compressed(media_type::LAYER_GZIP),
            ArchiveCompression::Zstd => Self::Compressed(media_type::LAYER_ZSTD),
            ArchiveCompression::Bzip2 | ArchiveCompression::Xz => Self::Other,
            ArchiveCompression::None if is_tar(start) => Self::Tar,
            ArchiveCompression::None => Self::Other,
        }
    }
}

/// Whether a header with the right checksum, or the blocks at a tar's end, stand at the start.
fn is_tar(start: &[u8]) -> bool {
    if start.iter().all(|&byte| byte == 0) {
        return true;
    }
    let Ok(block) = <&[u8; BLOCK as usize]>::try_from(start) else {
        return false;
    };
    let Ok(expected) = tar::Header::from_byte_slice(block).cksum() else {
        return false;
    };
    // The checksum's own field, of eight bytes, counts as spaces. Old programs add signed bytes.
    let others = || block[..148].iter().chain(&block[156..]);
    let spaces = 8 * i64::from(b' ');
    let unsigned = others().map(|&byte| i64::from(byte)).sum::<i64>() + spaces;
    let signed = others().map(|&byte| i64::from(byte as i8)).sum::<i64>() + spaces;
    [unsigned, signed].contains(&i64::from(expected))
}
