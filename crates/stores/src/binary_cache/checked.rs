//! A NAR that must have the length and hash of its narinfo.

use std::io::{self, Read};

use nix_compat::NarHash;
use nix_compat::content_address::{ContentCheck, ContentError};
use sha256_lanes::Hasher;

/// Bytes that are not those that the narinfo describes.
#[derive(Debug, thiserror::Error)]
pub(super) enum WrongBytes {
    #[error("the NAR is longer than the {0} bytes that its narinfo says")]
    Longer(u64),
    #[error("the NAR has {1} bytes, not the {0} that its narinfo says")]
    Shorter(u64, u64),
    #[error("the NAR has the hash sha256:{1}, not {0} as its narinfo says")]
    Hash(NarHash, String),
    #[error("{0}")]
    Content(ContentError),
}

/// Passes the bytes of a NAR on while it hashes and counts them, mostly to one who hashes what is made
/// of them on the same thread. Too many bytes are an error at once;
/// too few, or a wrong hash, at the end.
pub(super) struct Checked<R> {
    inner: R,
    size: u64,
    hash: NarHash,
    hasher: Option<Hasher>,
    /// What a path is held to that nobody signed.
    content: Option<ContentCheck>,
    count: u64,
}

impl<R: Read> Checked<R> {
    pub(super) fn new(inner: R, size: u64, hash: NarHash, content: Option<ContentCheck>) -> Self {
        Self {
            inner,
            size,
            hash,
            hasher: Some(Hasher::default()),
            content,
            count: 0,
        }
    }

    fn end(&mut self) -> Result<(), WrongBytes> {
        if self.count < self.size {
            return Err(WrongBytes::Shorter(self.size, self.count));
        }
        if let Some(hasher) = self.hasher.take() {
            let digest = hasher.finish();
            if digest != self.hash.0 {
                let found = data_encoding::HEXLOWER.encode(&digest);
                return Err(WrongBytes::Hash(self.hash, found));
            }
        }
        match self.content.take() {
            Some(content) => content.finish().map_err(WrongBytes::Content),
            None => Ok(()),
        }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // Read at most one byte too many, so that a decompression bomb ends early.
        let most = usize::try_from((self.size - self.count).saturating_add(1))
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        let total = self.count + count as u64;
        if total > self.size {
            return Err(io::Error::other(WrongBytes::Longer(self.size)));
        }
        if count == 0 {
            self.end().map_err(io::Error::other)?;
        } else {
            let bytes = &buffer[..count];
            if let Some(hasher) = &mut self.hasher {
                hasher.update(bytes);
            }
            if let Some(content) = &mut self.content {
                content.update(bytes);
            }
        }
        self.count = total;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn read(bytes: &[u8], size: u64, hash: &[u8]) -> String {
        let hash = NarHash(Sha256::digest(hash).into());
        let mut text = String::new();
        match Checked::new(bytes, size, hash, None).read_to_string(&mut text) {
            Ok(_) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_the_right_bytes_pass() {
        assert_eq!(read(b"abc", 3, b"abc"), "abc");
        assert!(read(b"abcd", 3, b"abc").contains("longer than the 3"));
        assert!(read(b"ab", 3, b"abc").contains("has 2 bytes, not the 3"));
        assert!(read(b"abd", 3, b"abc").contains("has the hash"));
    }
}
