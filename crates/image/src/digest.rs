//! SHA-256 digests, as images name layers, configurations and blobs by.

use std::fmt;
use std::io::{self, Write};

use ring::digest::{Context, SHA256, digest};

/// A SHA-256 digest. Printed as `sha256:` and base 16.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no digest: `sha256:` and 64 digits of base 16 were expected")]
pub struct ParseDigestError(String);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_ring(&digest(&SHA256, bytes))
    }

    fn from_ring(digest: &ring::digest::Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// Base 16 alone, as file names have it.
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                // Writing to a string does not fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// Reads 64 digits of base 16, with or without `sha256:` before them.
    ///
    /// # Errors
    ///
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self, ParseDigestError> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut digest = [0; 32];
        let whole = hex.len() == 64
            && digest
                .iter_mut()
                .zip(hex.chunks_exact(2))
                .all(|(byte, pair)| {
                    digit(pair[0])
                        .zip(digit(pair[1]))
                        .map(|(high, low)| *byte = high << 4 | low)
                        .is_some()
                });
        if whole {
            Ok(Self(digest))
        } else {
            Err(ParseDigestError(text.chars().take(100).collect()))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A writer that keeps nothing but the digest and the length of what it is given.
///
/// The SHA-256 is `ring`'s: with the processor's SHA instructions it is as fast as any other, and
/// without them about twice as fast as portable code.
pub struct DigestWriter {
    hasher: Context,
    length: u64,
}

impl Default for DigestWriter {
    fn default() -> Self {
        Self {
            hasher: Context::new(&SHA256),
            length: 0,
        }
    }
}

impl DigestWriter {
    /// The digest of all bytes so far, and how many they were.
    pub fn finish(self) -> (Digest, u64) {
        (Digest::from_ring(&self.hasher.finish()), self.length)
    }
}

impl Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
