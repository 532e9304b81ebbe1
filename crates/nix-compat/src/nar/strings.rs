//! The strings that a NAR is made of: eight bytes of length, the bytes themselves, and zeros up to
//! a whole word of eight bytes.

/// First string of every NAR.
pub(super) const MAGIC: &[u8] = b"nix-archive-1";

/// How many zeros follow a string of this length: strings fill words of eight bytes.
pub(super) fn padding(length: u64) -> usize {
    // At most 7, so it fits.
    ((8 - length % 8) % 8) as usize
}
