//! `owners` and `modes`: the owners and permissions of the files in an image's root.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use globset::{GlobBuilder, GlobMatcher};
use image::bytes::root_tar::{Attributes, FakerootState, SetAttributes};
use serde::Deserialize;

/// The attributes with the rules.
#[derive(Debug, Deserialize)]
pub struct OwnershipAttributes {
    owners: BTreeMap<String, Owner>,
    modes: BTreeMap<String, String>,
}

/// `"1000:100"`, or an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Owner {
    Text(String),
    Numbers { uid: u32, gid: u32 },
}

impl Owner {
    fn numbers(&self) -> Option<(u32, u32)> {
        match self {
            Self::Text(text) => {
                let (uid, gid) = text.split_once(':')?;
                Some((uid.parse().ok()?, gid.parse().ok()?))
            }
            Self::Numbers { uid, gid } => Some((*uid, *gid)),
        }
    }
}

/// The owners and modes of files: from rules, else from fakeroot, else the file's own.
pub struct Ownership {
    owners: Rules<(u32, u32)>,
    modes: Rules<u32>,
    noted: FakerootState,
}

impl Ownership {
    /// Reads the rules.
    pub fn new(attributes: &OwnershipAttributes, noted: FakerootState) -> Result<Self> {
        let owner = |text: &str, owner: &Owner| {
            owner
                .numbers()
                .with_context(|| format!("owners.\"{text}\": \"UID:GID\" in numbers, or {{ uid = …; gid = …; }}, was expected"))
        };
        let mode = |text: &str, mode: &String| {
            let number = u32::from_str_radix(mode, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777);
            number.with_context(|| format!("modes.\"{text}\": `{mode}` is no mode; four digits of base 8 such as \"0755\" were expected"))
        };
        Ok(Self {
            owners: Rules::new("owners", &attributes.owners, owner)?,
            modes: Rules::new("modes", &attributes.modes, mode)?,
            noted,
        })
    }

    /// Creates the directories that rules name with a slash at the end.
    pub fn make_directories(&self, root: &Path) -> Result<()> {
        let owners = self.owners.rules.iter().map(|rule| &rule.text);
        for text in owners.chain(self.modes.rules.iter().map(|rule| &rule.text)) {
            if let Some(path) = text.strip_suffix('/') {
                let place = root.join(path.trim_start_matches('/'));
                fs::create_dir_all(&place)
                    .with_context(|| format!("cannot make {text} in the image's root"))?;
            }
        }
        Ok(())
    }

    /// Checks that each rule matched something. A rule that matches nothing is most likely a mistake.
    pub fn check(&self) -> Result<()> {
        self.owners.check()?;
        self.modes.check()
    }
}

impl SetAttributes for Ownership {
    fn attributes(&mut self, path: &[u8], metadata: &Metadata) -> Attributes {
        let mut attributes = self.noted.attributes(path, metadata);
        if let Some((uid, gid)) = self.owners.find(path) {
            (attributes.uid, attributes.gid) = (uid, gid);
        }
        // The mode of a link is never looked at.
        if !metadata.is_symlink()
            && let Some(mode) = self.modes.find(path)
        {
            attributes.mode = mode;
        }
        attributes
    }
}

/// Values for paths and patterns. A path wins over a pattern, and a longer pattern over a shorter
/// one.
struct Rules<T> {
    attribute: &'static str,
    rules: Vec<Rule<T>>,
}

struct Rule<T> {
    text: String,
    matcher: Matcher,
    value: T,
    is_used: bool,
}

enum Matcher {
    Path(String),
    Pattern(GlobMatcher),
}

impl<T: Copy> Rules<T> {
    fn new<V>(
        attribute: &'static str,
        values: &BTreeMap<String, V>,
        read: impl Fn(&str, &V) -> Result<T>,
    ) -> Result<Self> {
        let mut rules = Vec::new();
        for (text, value) in values {
            rules.push(Rule {
                text: text.clone(),
                matcher: matcher(attribute, text)?,
                value: read(text, value)?,
                is_used: false,
            });
        }
        rules.sort_by_key(|rule| {
            (
                matches!(rule.matcher, Matcher::Pattern(_)),
                usize::MAX - rule.text.len(),
            )
        });
        Ok(Self { attribute, rules })
    }

    fn find(&mut self, path: &[u8]) -> Option<T> {
        let mut found = None;
        // Each rule that matches is of use, also where another one goes before it.
        for rule in &mut self.rules {
            let matches = match &rule.matcher {
                Matcher::Path(text) => text.as_bytes() == path,
                Matcher::Pattern(pattern) => pattern.is_match(OsStr::from_bytes(path)),
            };
            if matches {
                rule.is_used = true;
                found = found.or(Some(rule.value));
            }
        }
        found
    }

    fn check(&self) -> Result<()> {
        match self.rules.iter().find(|rule| !rule.is_used) {
            None => Ok(()),
            Some(rule) => bail!(
                "{}.\"{}\" matches nothing in the image's root; `contents` and `extraCommands` put files there, and a \
                 directory whose name here ends with a slash is made (files in /nix/store belong to `uid` and `gid`)",
                self.attribute,
                rule.text
            ),
        }
    }
}

fn matcher(attribute: &str, text: &str) -> Result<Matcher> {
    ensure!(
        text.starts_with('/') && !text.split('/').any(|part| part == ".." || part == "."),
        "{attribute}.\"{text}\": an absolute path in the image was expected, or a pattern of one"
    );
    if !text.contains(['*', '?', '[', '{', '\\']) {
        let path = text.trim_end_matches('/');
        return Ok(Matcher::Path(
            if path.is_empty() { "/" } else { path }.to_owned(),
        ));
    }
    ensure!(
        !text.ends_with('/'),
        "{attribute}.\"{text}\": a pattern does not end with a slash, since it names no directory that could be made"
    );
    let pattern = GlobBuilder::new(text)
        .literal_separator(true)
        .empty_alternates(true)
        .build()
        .with_context(|| format!("{attribute}.\"{text}\""))?;
    Ok(Matcher::Pattern(pattern.compile_matcher()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Rules<usize> {
        let values: BTreeMap<String, usize> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| ((*text).to_owned(), index))
            .collect();
        Rules::new("owners", &values, |_, value| Ok(*value)).unwrap()
    }

    #[test]
    fn what_says_more_of_a_path_counts() {
        let mut rules = rules(&[
            "/**",
            "/srv/*",
            "/srv/data",
            "/srv/data/**",
            "/var/{log,cache}/?",
        ]);
        for (path, expected) in [
            ("/etc", Some(0)),
            ("/srv", Some(0)),
            ("/srv/other", Some(1)),
            ("/srv/data", Some(2)),
            ("/srv/data/a/b", Some(3)),
            ("/srv/other/a", Some(0)),
            ("/var/log/a", Some(4)),
            ("/var/log/ab", Some(0)),
            ("/", Some(0)),
        ] {
            assert_eq!(rules.find(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn the_root_has_a_rule_of_its_own() {
        let mut rules = rules(&["/"]);
        assert_eq!((rules.find(b"/"), rules.find(b"/a")), (Some(0), None));
    }

    #[test]
    fn a_rule_without_use_is_told() {
        let mut rules = rules(&["/srv/data", "/srv/*"]);
        rules.find(b"/srv/data");
        assert!(rules.check().is_ok());
        let mut rules = self::rules(&["/srv/dat", "/srv/*"]);
        rules.find(b"/srv/data");
        let error = rules.check().unwrap_err().to_string();
        assert!(
            error.contains("owners.\"/srv/dat\" matches nothing"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_path_or_pattern_is_refused() {
        for text in ["srv", "", "/a/../b", "/a/*/", "/a/[", "./a"] {
            assert!(matcher("owners", text).is_err(), "{text}");
        }
    }

    #[test]
    fn owners_are_texts_or_numbers() {
        let read = |text: &str| {
            serde_json::from_str::<Owner>(text)
                .ok()
                .and_then(|owner| owner.numbers())
        };
        assert_eq!(read("\"1000:100\""), Some((1000, 100)));
        assert_eq!(read("{\"uid\": 1, \"gid\": 2}"), Some((1, 2)));
        for text in [
            "\"alice\"",
            "\"1000\"",
            "\"1000:users\"",
            "\"-1:0\"",
            "{\"uid\": 1}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
