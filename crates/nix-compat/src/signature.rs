//! Ed25519 signatures of path infos, and the keys that verify them, as Nix writes both:
//! `NAME:BASE64`.

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD};
use ed25519_dalek::VerifyingKey;

use crate::nixhash::NarHash;
use crate::shown::shown;
use crate::store_path::StorePath;

/// The key of cache.nixos.org, which Nix trusts by default.
pub const CACHE_NIXOS_ORG: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";

/// A public key, with the name that its signatures bear.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

/// A signature, with the name of the key that made it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    name: String,
    bytes: [u8; 64],
}

/// Longest text that is taken for the name of a key, in characters. A key alone, without a name, is
/// longer: 43 characters of base 64 at least.
const MAX_NAME: usize = 40;

/// A text that is neither a key nor a signature. Only its name is kept: the text may be a secret key, given
/// by mistake, and errors are printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a {what}: expected a name, `:` and {bytes} bytes in base64")]
pub struct ParseKeyError {
    name: String,
    what: &'static str,
    bytes: usize,
}

/// What a signature of a store path covers: `1;PATH;NARHASH;NARSIZE;REFERENCES`. References are
/// taken in the order of their names, whatever order they come in.
pub fn fingerprint<'a>(
    path: &StorePath,
    nar_hash: &NarHash,
    nar_size: u64,
    references: impl IntoIterator<Item = &'a StorePath>,
) -> String {
    let mut references: Vec<&str> = references.into_iter().map(StorePath::as_str).collect();
    references.sort_unstable();
    format!("1;{path};{nar_hash};{nar_size};{}", references.join(","))
}

impl ParseKeyError {
    /// What stands before the `:`; `…` if that is too long to be a name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl PublicKey {
    /// Reads `NAME:BASE64`.
    ///
    /// # Errors
    ///
    /// The text has another form, or the key has not 32 bytes.
    pub fn parse(text: &str) -> Result<Self, ParseKeyError> {
        let (name, key) = parse(text, "public key")?;
        Ok(Self { name, key })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this key made the signature, and for exactly this fingerprint.
    ///
    /// What RFC 8032 leaves open is decided as libsodium does, which Nix verifies with: keys and
    /// signatures with points of small order are refused, since such a key "verifies" any text, and
    /// so is a number that is not reduced, with which anybody could make a second signature out of
    /// one. So it is `verify_strict`; `verify` takes points of small order.
    pub fn verifies(&self, fingerprint: &str, signature: &Signature) -> bool {
        let bytes = ed25519_dalek::Signature::from_bytes(&signature.bytes);
        self.name == signature.name
            && VerifyingKey::from_bytes(&self.key)
                .and_then(|key| key.verify_strict(fingerprint.as_bytes(), &bytes))
                .is_ok()
    }
}

impl Signature {
    /// Reads `NAME:BASE64`.
    ///
    /// # Errors
    ///
    /// The text has another form, or the signature has not 64 bytes.
    pub fn parse(text: &str) -> Result<Self, ParseKeyError> {
        let (name, bytes) = parse(text, "signature")?;
        Ok(Self { name, bytes })
    }

    /// Name of the key that the signature is said to be made with.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn parse<const N: usize>(
    text: &str,
    what: &'static str,
) -> Result<(String, [u8; N]), ParseKeyError> {
    text.split_once(':')
        .filter(|(name, _)| !name.is_empty())
        .and_then(|(name, base64)| {
            // Nix reads up to the padding, if there is one, and nothing after it.
            let base64 = base64.split('=').next().unwrap_or_default();
            let bytes = BASE64_NOPAD.decode(base64.as_bytes()).ok()?;
            Some((name.to_owned(), bytes.try_into().ok()?))
        })
        .ok_or_else(|| ParseKeyError {
            name: match text.split_once(':').map_or(text, |(name, _)| name) {
                name if name.chars().count() <= MAX_NAME => shown(name),
                _ => "…".to_owned(),
            },
            what,
            bytes: N,
        })
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(&self.key))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(&self.bytes))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_show_a_secret_key() {
        let secret = BASE64.encode(&[7; 64]);
        for (text, name) in [
            (format!("cache-1:{secret}"), "cache-1"),
            (secret.clone(), "…"),
            (format!("{secret}:{secret}"), "…"),
            ("cache-1".to_owned(), "cache-1"),
        ] {
            let error = PublicKey::parse(&text).unwrap_err();
            assert_eq!(error.name(), name);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&secret[..20]), "{shown}");
        }
    }

    /// RFC 8032, 7.1, test 2: its key, the signature's point and its number.
    const KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const POINT: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da";
    const NUMBER: &str = "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    /// The number plus the order of the group.
    const NUMBER_NOT_REDUCED: &str =
        "f52db7415978abc61b2c2eb6aeebfca0387b2eaeb4302aeeb00d291612bb0c10";

    /// The neutral point, which has order 1, and the number with which it signs for the key above.
    const NEUTRAL: &str = "0100000000000000000000000000000000000000000000000000000000000000";
    const NUMBER_FOR_NEUTRAL: &str =
        "675d054595fa17cb6a44e3ada6ca385e55667e41a63fdab0ac22d10000354002";

    const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    /// libsodium's `crypto_sign_verify_detached` gives the same answers.
    #[test]
    fn signatures_that_libsodium_takes_and_no_others() {
        let bytes = |hex: &str| {
            let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            <[u8; 32]>::try_from(bytes).unwrap()
        };
        for (key, point, number, text, expected) in [
            (KEY, POINT, NUMBER, "r", true),
            (KEY, POINT, NUMBER, "s", false),
            (KEY, POINT, NUMBER_NOT_REDUCED, "r", false),
            (KEY, NEUTRAL, NUMBER_FOR_NEUTRAL, "r", false),
            (NEUTRAL, NEUTRAL, ZERO, "r", false),
            (ZERO, ZERO, ZERO, "r", false),
        ] {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&bytes(point));
            signature[32..].copy_from_slice(&bytes(number));
            let name = "a".to_owned();
            let key = PublicKey {
                name: name.clone(),
                key: bytes(key),
            };
            let signature = Signature {
                name,
                bytes: signature,
            };
            assert_eq!(
                key.verifies(text, &signature),
                expected,
                "{signature} of {text}"
            );
        }
    }
}
