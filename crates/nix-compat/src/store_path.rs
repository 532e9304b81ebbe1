//! Store paths: `<store directory>/<32 characters of base 32>-<name>`.

use std::fmt;
use std::path::Path;

use crate::nixbase32;
use crate::shown::shown;

/// Length of the hash part of a store path's base name, in characters.
const HASH_LEN: usize = 32;

/// Longest name that Nix accepts, in bytes.
const MAX_NAME_LEN: usize = 211;

/// The directory that store paths stand in, as they name it themselves: `/nix/store` nearly
/// everywhere, also for a store that lies below another root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDir(String);

/// A valid store path, kept as its absolute text. Ordered by that text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath {
    text: Box<str>,
    /// Where the base name starts in `text`.
    base: usize,
}

/// A text that is neither a store path nor a store directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseStorePathError {
    /// It does not lie directly in the store directory.
    #[error("`{text}` is not a path in the store {store_dir}")]
    OutsideStore {
        /// What was read.
        text: String,
        /// The store it was looked for in.
        store_dir: String,
    },
    /// The base name does not start with a hash of 32 characters and `-`.
    #[error("`{0}` is not a store path: its name does not start with a hash and `-`")]
    Hash(String),
    /// The name holds a character that Nix allows in none.
    #[error("`{text}` is not a store path: its name contains the illegal character {character:?}")]
    Character {
        /// What was read.
        text: String,
        /// The first such character.
        character: char,
    },
    /// The name is empty, too long, or one of the names of directories.
    #[error(
        "`{0}` is not a store path: a name has 1 to {MAX_NAME_LEN} characters and is not `.` or `..`"
    )]
    Name(String),
    /// A store directory that is not absolute and plain.
    #[error(
        "`{0}` is not a store directory: an absolute path without empty parts, `.` and `..` was expected"
    )]
    StoreDir(String),
}

impl Default for StoreDir {
    fn default() -> Self {
        Self("/nix/store".to_owned())
    }
}

impl StoreDir {
    /// Takes an absolute directory; a slash at the end is dropped.
    ///
    /// # Errors
    ///
    /// The text is not absolute, or holds empty parts, `.` or `..`.
    pub fn new(text: &str) -> Result<Self, ParseStorePathError> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let plain = trimmed
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
        if plain {
            Ok(Self(trimmed.to_owned()))
        } else {
            Err(ParseStorePathError::StoreDir(shown(text)))
        }
    }

    /// The directory's absolute path, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads an absolute store path.
    ///
    /// # Errors
    ///
    /// The text is not a direct child of this directory with a valid base name.
    pub fn parse(&self, text: &str) -> Result<StorePath, ParseStorePathError> {
        let base_name = text
            .strip_prefix(&self.0)
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|base_name| !base_name.contains('/'))
            .ok_or_else(|| ParseStorePathError::OutsideStore {
                text: shown(text),
                store_dir: self.0.clone(),
            })?;
        check_base_name(base_name)?;
        Ok(StorePath {
            text: text.into(),
            base: self.0.len() + 1,
        })
    }

    /// Reads the base name of a store path: `HASH-name`.
    ///
    /// # Errors
    ///
    /// The text is not a valid base name.
    pub fn parse_base_name(&self, base_name: &str) -> Result<StorePath, ParseStorePathError> {
        check_base_name(base_name)?;
        Ok(StorePath {
            text: format!("{}/{base_name}", self.0).into(),
            base: self.0.len() + 1,
        })
    }

    /// The store path that a path inside it belongs to, e.g. `/nix/store/HASH-name` for
    /// `/nix/store/HASH-name/bin/x`.
    ///
    /// # Errors
    ///
    /// The path does not lie in a valid store path of this directory.
    pub fn parse_inside(&self, text: &str) -> Result<StorePath, ParseStorePathError> {
        let end = text
            .strip_prefix(&self.0)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.find('/'))
            .map_or(text.len(), |slash| self.0.len() + 1 + slash);
        self.parse(&text[..end])
    }
}

impl fmt::Display for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StorePath {
    /// The absolute path as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `HASH-name`.
    pub fn base_name(&self) -> &str {
        &self.text[self.base..]
    }

    /// The 32 characters of the hash.
    pub fn hash(&self) -> &str {
        &self.base_name()[..HASH_LEN]
    }

    /// What follows the hash and its dash.
    pub fn name(&self) -> &str {
        &self.base_name()[HASH_LEN + 1..]
    }

    /// The store directory, without a slash at the end.
    pub fn store_dir(&self) -> &str {
        &self.text[..self.base - 1]
    }
}

/// The name of a package without its version, as Nix's `builtins.parseDrvName` splits it: what
/// stands before the first dash that is followed by anything but a letter.
pub fn package_name(name: &str) -> &str {
    let starts_version = |after: &str| !after.starts_with(|c: char| c.is_ascii_alphabetic());
    name.match_indices('-')
        .map(|(at, _)| at)
        .find(|&at| at + 1 < name.len() && starts_version(&name[at + 1..]))
        .map_or(name, |at| &name[..at])
}

impl AsRef<Path> for StorePath {
    fn as_ref(&self) -> &Path {
        Path::new(self.as_str())
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

fn check_base_name(base_name: &str) -> Result<(), ParseStorePathError> {
    use ParseStorePathError::{Character, Hash, Name};
    let error_text = || shown(base_name);
    let is_hash = base_name.len() > HASH_LEN
        && base_name.as_bytes()[HASH_LEN] == b'-'
        && base_name.as_bytes()[..HASH_LEN]
            .iter()
            .all(|&byte| nixbase32::is_digit(byte));
    if !is_hash {
        return Err(Hash(error_text()));
    }
    let name = &base_name[HASH_LEN + 1..];
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
    if let Some(character) = name.chars().find(|&c| !allowed(c)) {
        return Err(Character {
            text: error_text(),
            character,
        });
    }
    let is_dots = matches!(name, "." | "..") || name.starts_with(".-") || name.starts_with("..-");
    if name.is_empty() || name.len() > MAX_NAME_LEN || is_dots {
        return Err(Name(error_text()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELLO: &str = "/nix/store/zwyqd6z1qv0wif6l1110qdv1fwzfnffx-hello-2.10";

    #[test]
    fn parts_of_a_path() {
        let path = StoreDir::default().parse(HELLO).unwrap();
        assert_eq!(path.to_string(), HELLO);
        assert_eq!(path.hash(), "zwyqd6z1qv0wif6l1110qdv1fwzfnffx");
        assert_eq!(path.name(), "hello-2.10");
        assert_eq!(path.store_dir(), "/nix/store");
        assert_eq!(
            StoreDir::default()
                .parse_base_name(path.base_name())
                .unwrap(),
            path
        );
        assert_eq!(
            StoreDir::default()
                .parse_inside(&format!("{HELLO}/bin/hello"))
                .unwrap(),
            path
        );
        assert_eq!(StoreDir::default().parse_inside(HELLO).unwrap(), path);
    }

    #[test]
    fn what_nix_refuses_is_refused() {
        let hash = "zwyqd6z1qv0wif6l1110qdv1fwzfnffx";
        let long = "x".repeat(212);
        for base in [
            "",
            "hello",
            hash,
            &format!("{hash}-"),
            &format!("{hash}-."),
            &format!("{hash}-.."),
            &format!("{hash}-.-a"),
            &format!("{hash}-..-a"),
            &format!("{hash}-a b"),
            &format!("{hash}-ä"),
            &format!("{hash}-a\n"),
            &format!("{hash}-{long}"),
            &format!("e{}-a", &hash[1..]),
            &format!("{hash}-a/b"),
        ] {
            assert!(
                StoreDir::default()
                    .parse(&format!("/nix/store/{base}"))
                    .is_err(),
                "{base:?}"
            );
            assert!(
                StoreDir::default().parse_base_name(base).is_err(),
                "{base:?}"
            );
        }
        assert!(
            StoreDir::default()
                .parse(&HELLO.replace("/nix", "/nox"))
                .is_err()
        );
        for dir in [
            "",
            "/",
            "nix/store",
            "/nix//store",
            "/nix/../store",
            "/nix/./store",
        ] {
            assert!(StoreDir::new(dir).is_err(), "{dir:?}");
        }
    }

    /// What `nix-instantiate --eval -E '(builtins.parseDrvName "…").name'` prints.
    #[test]
    fn package_names_are_those_of_nix() {
        for (name, package) in [
            ("hello-2.10", "hello"),
            ("gcc-wrapper-12", "gcc-wrapper"),
            ("tree", "tree"),
            ("x-y", "x-y"),
            ("x-_1", "x"),
            ("x--y", "x"),
            ("x-", "x-"),
            ("-1", ""),
        ] {
            assert_eq!(package_name(name), package, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_path_that_prints_it_or_an_error(text in "(/nix/store/)?[0-9a-z]{0,34}-?.{0,20}") {
            let store_dir = StoreDir::default();
            if let Ok(path) = store_dir.parse(&text) {
                prop_assert_eq!(path.as_str(), &text);
            }
            let _ = store_dir.parse_inside(&text);
            let _ = StoreDir::new(&text);
        }
    }
}
