//! The text of `nix.conf`, as far as it says which caches and keys to trust.
//!
//! Reading the files, and finding those that one includes, is the caller's work.

use std::collections::BTreeMap;

/// The settings of one or more files, in the order in which they were read: the later holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NixConf {
    settings: BTreeMap<String, String>,
}

/// Another file that a file includes, at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Its path, from the including file's directory where it is not absolute.
    pub path: String,
    /// Whether it must be there.
    pub required: bool,
}

/// A line that is not a setting. It is not shown: what was meant may be `access-tokens`, which are secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a setting: `NAME = VALUE` was expected")]
pub struct NixConfError {
    /// Number of the line, from 1.
    pub line: usize,
}

impl NixConf {
    /// Reads a file's text over what was read before. `include` is called for each file that it
    /// includes, where it does so.
    ///
    /// # Errors
    ///
    /// A line is not a setting (lines before it have been taken), or `include` gave an error.
    pub fn read<E: From<NixConfError>>(
        &mut self,
        text: &str,
        include: &mut dyn FnMut(&mut Self, Include) -> Result<(), E>,
    ) -> Result<(), E> {
        for (number, whole) in text.lines().enumerate() {
            let line = whole.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let (Some(name), second) = (words.next(), words.next()) else {
                continue;
            };
            match (name, second) {
                ("include" | "!include", Some(path)) if words.next().is_none() => {
                    let required = name == "include";
                    let path = path.to_owned();
                    include(self, Include { path, required })?;
                }
                (_, Some("=")) => {
                    let value = words.collect::<Vec<_>>().join(" ");
                    self.set(name, value);
                }
                _ => {
                    return Err(E::from(NixConfError { line: number + 1 }));
                }
            }
        }
        Ok(())
    }

    /// `extra-NAME` adds to what NAME holds.
    fn set(&mut self, name: &str, value: String) {
        match name.strip_prefix("extra-") {
            Some(name) => {
                let setting = self.settings.entry(name.to_owned());
                let before = match name {
                    "trusted-public-keys" => crate::signature::CACHE_NIXOS_ORG,
                    "substituters" => "https://cache.nixos.org/",
                    _ => "",
                };
                let all = setting.or_insert_with(|| before.to_owned());
                if !all.is_empty() {
                    all.push(' ');
                }
                all.push_str(&value);
            }
            None => {
                // The older names of two settings.
                let name = match name {
                    "binary-caches" => "substituters",
                    "binary-cache-public-keys" => "trusted-public-keys",
                    _ => name,
                };
                self.settings.insert(name.to_owned(), value);
            }
        }
    }

    /// A setting's value as text, words with one space between them.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// A setting's value as a list of words.
    pub fn list(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        self.get(name).map(str::split_ascii_whitespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(NixConf, Vec<Include>), NixConfError> {
        let mut conf = NixConf::default();
        let mut includes = Vec::new();
        conf.read(text, &mut |_, include| {
            includes.push(include);
            Ok::<_, NixConfError>(())
        })?;
        Ok((conf, includes))
    }

    #[test]
    fn settings_comments_and_includes() {
        let (conf, includes) = parse(
            "# head\n\
             substituters = https://a  https://b # two\n\
             \n\
             trusted-public-keys = k:AAA=\n\
             extra-trusted-public-keys = l:BBB=\n\
             sandbox = \n\
             include other.conf\n\
             !include /may/be.conf\n",
        )
        .unwrap();
        let list = |name| conf.list(name).unwrap().collect::<Vec<_>>();
        assert_eq!(list("substituters"), ["https://a", "https://b"]);
        assert_eq!(list("trusted-public-keys"), ["k:AAA=", "l:BBB="]);
        assert_eq!(conf.get("sandbox"), Some(""));
        assert_eq!(conf.get("require-sigs"), None);
        assert_eq!(
            includes,
            [
                Include {
                    path: "other.conf".into(),
                    required: true
                },
                Include {
                    path: "/may/be.conf".into(),
                    required: false
                },
            ]
        );
    }

    #[test]
    fn extra_adds_to_the_default() {
        let (conf, _) = parse("extra-trusted-public-keys = l:BBB=\n").unwrap();
        assert_eq!(
            conf.list("trusted-public-keys")
                .unwrap()
                .collect::<Vec<_>>(),
            [crate::signature::CACHE_NIXOS_ORG, "l:BBB="]
        );
    }

    #[test]
    fn lines_that_are_no_settings() {
        for text in [
            "sandbox",
            "sandbox true",
            "include",
            "include a b",
            "sandbox= true",
        ] {
            let error = parse(&format!("\n{text}\n")).unwrap_err();
            assert_eq!(error.line, 2, "{text}");
        }
    }
}
