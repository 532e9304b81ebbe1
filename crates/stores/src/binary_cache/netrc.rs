//! Names and passwords from a netrc file.

use super::environment::{Environment, LONGEST_SETTINGS};
use super::error::BinaryCacheError;

/// What a netrc file has for hosts, in the order of the file.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Netrc(Vec<Login>);

#[derive(PartialEq, Eq)]
struct Login {
    /// Nothing for `default`, which stands for every host.
    machine: Option<String>,
    login: String,
    password: String,
}

impl std::fmt::Debug for Netrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the passwords.
        f.debug_list()
            .entries(self.0.iter().map(|login| &login.machine))
            .finish()
    }
}

impl Netrc {
    /// The file that `NETRC` names, else `~/.netrc`, else Nix's own `/etc/nix/netrc`.
    pub(super) fn find(environment: &Environment) -> Result<Self, BinaryCacheError> {
        let named = environment.file("NETRC", ".netrc");
        for path in named.into_iter().chain(["/etc/nix/netrc".into()]) {
            match files::read_text(&path, LONGEST_SETTINGS) {
                Ok(text) => return Ok(Self::parse(&text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    let source = source.into();
                    return Err(BinaryCacheError::Settings { path, source });
                }
            }
        }
        Ok(Self::default())
    }

    /// Words that mean nothing are skipped, as every reader of the format does.
    fn parse(text: &str) -> Self {
        let mut logins: Vec<Login> = Vec::new();
        let mut words = Words(text);
        while let Some(word) = words.next() {
            match word.as_str() {
                "machine" | "default" => logins.push(Login {
                    // A host without a name is none.
                    machine: (word == "machine").then(|| words.next().unwrap_or_default()),
                    login: String::new(),
                    password: String::new(),
                }),
                "login" | "password" | "account" => {
                    let (value, login) = (words.next(), logins.last_mut());
                    match (word.as_str(), value, login) {
                        ("login", Some(value), Some(login)) => login.login = value,
                        ("password", Some(value), Some(login)) => login.password = value,
                        _ => {}
                    }
                }
                "macdef" => words.skip_macro(),
                _ => {}
            }
        }
        Self(logins)
    }

    /// Name and password for a host.
    pub(super) fn get(&self, host: &str) -> Option<(&str, &str)> {
        let login = self.0.iter().find(|login| {
            login
                .machine
                .as_deref()
                .is_none_or(|machine| machine == host)
        })?;
        Some((&login.login, &login.password))
    }
}

/// Words between white space; in quotes, they may hold it.
struct Words<'a>(&'a str);

impl Words<'_> {
    fn next(&mut self) -> Option<String> {
        loop {
            self.0 = self.0.trim_start();
            match self.0.strip_prefix('#') {
                Some(comment) => self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest),
                None => break,
            }
        }
        if let Some(quoted) = self.0.strip_prefix('"') {
            let mut word = String::new();
            let mut chars = quoted.char_indices();
            while let Some((at, character)) = chars.next() {
                match character {
                    '"' => {
                        self.0 = &quoted[at + 1..];
                        return Some(word);
                    }
                    '\\' => word.extend(chars.next().map(|(_, character)| character)),
                    character => word.push(character),
                }
            }
            self.0 = "";
            return Some(word);
        }
        let end = self.0.find(char::is_whitespace).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    /// A macro ends with an empty line.
    fn skip_macro(&mut self) {
        self.0 = self.0.split_once("\n\n").map_or("", |(_, rest)| rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_passwords() {
        let netrc = Netrc::parse(
            "# caches\n\
             machine a.example login me password s3cr#t\n\
             machine b.example\n  login you\n  account x\n  password \"two \\\"words\\\"\"\n\
             macdef init\nmachine no.example login bad password bad\n\n\
             machine c.example login only\n\
             default login any password one\n",
        );
        assert_eq!(netrc.get("a.example"), Some(("me", "s3cr#t")));
        assert_eq!(netrc.get("b.example"), Some(("you", "two \"words\"")));
        assert_eq!(netrc.get("c.example"), Some(("only", "")));
        assert_eq!(netrc.get("no.example"), Some(("any", "one")));
        assert!(!format!("{netrc:?}").contains("s3cr"));
    }

    #[test]
    fn nothing_of_use() {
        for text in [
            "",
            "login x password y",
            "machine",
            "machine a.example login \"x",
            "# machine",
        ] {
            assert_eq!(Netrc::parse(text).get("b.example"), None, "{text}");
        }
    }
}
