//! Bytes that must have some length and hash.

use std::io::{self, Read};

use nix_compat::NarHash;
use sha2::{Digest, Sha256};

/// What the bytes are, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The file as the cache keeps it.
    File,
    /// The NAR in it.
    Nar,
}

/// Bytes that are not those that the narinfo describes.
#[derive(Debug, thiserror::Error)]
pub(super) enum WrongBytes {
    #[error("the {0} is longer than the {1} bytes that its narinfo says")]
    Longer(Part, u64),
    #[error("the {0} has {2} bytes, not the {1} that its narinfo says")]
    Shorter(Part, u64, u64),
    #[error("the {0} has the hash sha256:{2}, not {1} as its narinfo says")]
    Hash(Part, NarHash, String),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Nar => "NAR",
        })
    }
}

/// Passes bytes on while it hashes and counts them. Too many bytes are an error at once; too few, or
/// a wrong hash, at the end.
pub(super) struct Checked<R> {
    inner: R,
    part: Part,
    size: Option<u64>,
    hash: Option<(NarHash, Sha256)>,
    count: u64,
}

impl<R: Read> Checked<R> {
    pub(super) fn new(inner: R, part: Part, size: Option<u64>, hash: Option<NarHash>) -> Self {
        Self {
            inner,
            part,
            size,
            hash: hash.map(|hash| (hash, Sha256::new())),
            count: 0,
        }
    }

    fn end(&mut self) -> Result<(), WrongBytes> {
        if let Some(size) = self.size
            && self.count < size
        {
            return Err(WrongBytes::Shorter(self.part, size, self.count));
        }
        if let Some((expected, digest)) = self.hash.take() {
            let digest: [u8; 32] = digest.finalize().into();
            if digest != expected.0 {
                let found = data_encoding::HEXLOWER.encode(&digest);
                return Err(WrongBytes::Hash(self.part, expected, found));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // Read at most one byte too many, so that a decompression bomb ends early.
        let most = self
            .size
            .map_or(u64::MAX, |size| (size - self.count).saturating_add(1));
        let most = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        let total = self.count + count as u64;
        if let Some(size) = self.size
            && total > size
        {
            return Err(io::Error::other(WrongBytes::Longer(self.part, size)));
        }
        if count == 0 {
            self.end().map_err(io::Error::other)?;
        } else if let Some((_, digest)) = &mut self.hash {
            digest.update(&buffer[..count]);
        }
        self.count = total;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], size: Option<u64>, hash: Option<&[u8]>) -> String {
        let hash = hash.map(|bytes| NarHash(Sha256::digest(bytes).into()));
        let mut text = String::new();
        match Checked::new(bytes, Part::Nar, size, hash).read_to_string(&mut text) {
            Ok(_) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_the_right_bytes_pass() {
        assert_eq!(read(b"abc", Some(3), Some(b"abc")), "abc");
        assert_eq!(read(b"abc", None, None), "abc");
        assert!(read(b"abcd", Some(3), Some(b"abc")).contains("longer than the 3"));
        assert!(read(b"ab", Some(3), Some(b"abc")).contains("has 2 bytes, not the 3"));
        assert!(read(b"abd", Some(3), Some(b"abc")).contains("has the hash"));
        assert!(read(b"ab", None, Some(b"abc")).contains("has the hash"));
    }
}
