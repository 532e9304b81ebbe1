//! NAR hashes in each text form that Nix prints.

use std::fmt;

use data_encoding::{BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::nixbase32;
use crate::shown::shown;

/// The SHA-256 of a store path's NAR serialisation: it fixes the content of the path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NarHash(pub [u8; 32]);

/// A text that is not a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a SHA-256 hash: `sha256:` with base 16 or Nix's base 32, or `sha256-` with base 64, was expected"
)]
pub struct ParseHashError(String);

impl ParseHashError {
    pub(crate) fn of(text: &str) -> Self {
        Self(shown(text))
    }
}

impl NarHash {
    /// Reads `sha256:HEX`, `sha256:BASE32` (databases, `.attrs.json`, narinfo files), `sha256-BASE64`
    /// (the SRI form of `nix path-info`), or the bare base 16 of a registration. As in Nix, the length
    /// says which base it is, and base 64 need not be padded.
    ///
    /// # Errors
    ///
    /// The text is in none of these forms.
    pub fn parse(text: &str) -> Result<Self, ParseHashError> {
        let digits = text
            .strip_prefix("sha256:")
            .or(text.strip_prefix("sha256-"));
        let digits = digits.unwrap_or(text);
        let digest = match digits.len() {
            64 => HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok(),
            52 => nixbase32::decode(digits),
            _ => {
                let digits = digits.strip_suffix('=').unwrap_or(digits);
                BASE64_NOPAD.decode(digits.as_bytes()).ok()
            }
        };
        digest
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| ParseHashError::of(text))
    }
}

/// `sha256:` and base 32, as Nix's fingerprints and narinfo files have it.
impl fmt::Display for NarHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", nixbase32::encode(&self.0))
    }
}

impl fmt::Debug for NarHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NarHash({})", HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_one_hash() {
        let forms = [
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        ];
        for form in forms {
            assert_eq!(NarHash::parse(form).unwrap().to_string(), forms[0]);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "sha256:", "sha256-AAAA", "md5:0mdq", "sha512-47DE"] {
            assert!(NarHash::parse(text).is_err(), "{text}");
        }
    }
}
