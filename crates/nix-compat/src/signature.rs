//! Ed25519 signatures of path infos, and the keys that verify them, as Nix writes both:
//! `NAME:BASE64`.

use std::fmt;

use data_encoding::BASE64;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::nixhash::NarHash;
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

/// A text that is no key or no signature. Only its name is kept: the text may be a secret key, given
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
    pub fn verifies(&self, fingerprint: &str, signature: &Signature) -> bool {
        self.name == signature.name
            && UnparsedPublicKey::new(&ED25519, &self.key)
                .verify(fingerprint.as_bytes(), &signature.bytes)
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
            let bytes = BASE64.decode(base64.as_bytes()).ok()?;
            Some((name.to_owned(), bytes.try_into().ok()?))
        })
        .ok_or_else(|| ParseKeyError {
            name: match text.split_once(':').map_or(text, |(name, _)| name) {
                name if name.chars().count() <= MAX_NAME => name.to_owned(),
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
}
