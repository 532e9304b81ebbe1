//! Reads the texts of options.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use engine::{Destination, DestinationError};
use image::base::Inherit;
use image::bytes::tar::Owner;

use crate::resolve::config_values;
use crate::usage::UsageError;

/// What `--inherit` can name; `none` and `all` come on top.
const PARTS: [(&str, Inherit); 10] = [
    ("env", Inherit::Env),
    ("labels", Inherit::Labels),
    ("cmd", Inherit::Cmd),
    ("entrypoint", Inherit::Entrypoint),
    ("user", Inherit::User),
    ("workdir", Inherit::Workdir),
    ("ports", Inherit::Ports),
    ("volumes", Inherit::Volumes),
    ("stop-signal", Inherit::StopSignal),
    ("healthcheck", Inherit::Healthcheck),
];

/// One word of `--inherit`.
#[derive(Debug, Clone, Copy)]
pub enum InheritArg {
    /// Nothing of what stands before this word.
    None,
    /// All parts.
    All,
    /// One part.
    Part(Inherit),
}

/// The parser of `--inherit`.
pub fn inherit() -> impl TypedValueParser<Value = InheritArg> {
    let parts = PARTS.iter().map(|(name, _)| *name);
    PossibleValuesParser::new(["none", "all"].into_iter().chain(parts)).map(|text| {
        let part = PARTS.iter().find(|(name, _)| *name == text);
        match part {
            Some((_, part)) => InheritArg::Part(*part),
            None if text == "all" => InheritArg::All,
            None => InheritArg::None,
        }
    })
}

/// The parts that the words of `--inherit` name together.
pub fn inherited(words: &[InheritArg]) -> BTreeSet<Inherit> {
    let mut parts = BTreeSet::new();
    for word in words {
        match word {
            InheritArg::None => parts.clear(),
            InheritArg::All => parts.extend(Inherit::ALL),
            InheritArg::Part(part) => _ = parts.insert(*part),
        }
    }
    parts
}

/// The parser of `--to`.
pub fn destination(text: &str) -> Result<Destination, DestinationError> {
    text.parse()
}

/// `UID:GID`, or `UID:GID:USER:GROUP`.
pub fn owner(text: &str) -> Result<Owner, UsageError> {
    let error = || {
        UsageError(format!(
            "--owner {text}: expected UID:GID or UID:GID:USER:GROUP"
        ))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (uid, gid, uname, gname) = match parts.as_slice() {
        [uid, gid] => (uid, gid, "", ""),
        [uid, gid, uname, gname] => (uid, gid, *uname, *gname),
        _ => return Err(error()),
    };
    let number = |text: &str| text.parse::<u32>().map(i64::from).map_err(|_| error());
    Ok(Owner {
        uid: number(uid)?,
        gid: number(gid)?,
        uname: uname.to_owned(),
        gname: gname.to_owned(),
    })
}

/// `NAME=VALUE`; the name is not empty.
pub fn name_value(option: &str, text: &str) -> Result<(String, String), UsageError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(UsageError(format!(
            "{option} {text:?}: expected NAME=VALUE"
        ))),
    }
}

/// A JSON list, or the words as they are; `None` if there are none.
pub fn words(option: &str, words: &[String]) -> Result<Option<Vec<String>>> {
    match words {
        [] => Ok(None),
        [text] if text.starts_with('[') => serde_json::from_str(text)
            .map(Some)
            .with_context(|| format!("{option}: expected a JSON list of strings")),
        words => Ok(Some(words.to_vec())),
    }
}

/// A text that passes a check.
pub fn checked(
    option: &str,
    text: &str,
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<String, UsageError> {
    match check(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(UsageError(format!("{option} {text:?}: {why}"))),
    }
}

/// `80` means `80/tcp`.
pub fn port(text: &str) -> Result<String, UsageError> {
    let port = checked("--expose", &text.to_ascii_lowercase(), config_values::port)?;
    Ok(if port.contains('/') {
        port
    } else {
        format!("{port}/tcp")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_numbers_and_may_have_names() {
        let read = |text: &str| {
            let owner = owner(text).ok()?;
            Some((owner.uid, owner.gid, owner.uname, owner.gname))
        };
        let named =
            |uid, gid, user: &str, group: &str| Some((uid, gid, user.to_owned(), group.to_owned()));
        assert_eq!(read("0:0"), named(0, 0, "", ""));
        assert_eq!(read("1000:100:me:users"), named(1000, 100, "me", "users"));
        assert_eq!(read("4294967295:0::"), named(4_294_967_295, 0, "", ""));
        for text in [
            "",
            "0",
            "me:users",
            "0:0:root",
            "-1:0",
            "0:4294967296",
            "0:0:a:b:c",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_may_hold_what_separates_it_from_its_name() {
        let read = |text| name_value("--label", text).ok();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(read("a=b=c"), pair("a", "b=c"));
        assert_eq!(read("a="), pair("a", ""));
        assert_eq!(read("a"), None);
        assert_eq!(read("=b"), None);
    }

    #[test]
    fn words_are_a_json_list_only_if_there_is_one_that_looks_so() {
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            words("--cmd", &texts).ok()
        };
        let list = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            Some(Some(texts))
        };
        assert_eq!(read(&["[\"a\", \"b c\"]"]), list(&["a", "b c"]));
        assert_eq!(read(&["a", "[\"b\"]"]), list(&["a", "[\"b\"]"]));
        assert_eq!(read(&["a b"]), list(&["a b"]));
        assert_eq!(read(&["[]"]), list(&[]));
        assert_eq!(read(&[]), Some(None));
        assert_eq!(read(&["[1]"]), None);
        assert_eq!(read(&["["]), None);
    }

    #[test]
    fn what_is_inherited_follows_the_order_of_the_words() {
        let read = |names: &[&str]| {
            let parser = inherit();
            let command = clap::Command::new("");
            let parse = |name: &&str| parser.parse_ref(&command, None, name.as_ref()).unwrap();
            inherited(&names.iter().map(parse).collect::<Vec<_>>())
        };
        assert_eq!(read(&["all"]), BTreeSet::from(Inherit::ALL));
        assert_eq!(read(&["all", "none", "user"]), [Inherit::User].into());
        assert_eq!(
            read(&["stop-signal", "env"]),
            [Inherit::Env, Inherit::StopSignal].into()
        );
        assert_eq!(PARTS.map(|(_, part)| part), Inherit::ALL);
    }
}
