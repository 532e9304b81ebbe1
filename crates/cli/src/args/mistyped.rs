//! Commands that were mistyped. Without this, the word would be taken for a PATH of `stream`.

use std::path::Path;

use clap::CommandFactory as _;

use super::Cli;
use crate::usage::UsageError;

/// Refuses a first word that is nearly a command, and names that one.
///
/// # Errors
///
/// The word is nearly a command, and no file has its name.
pub fn refuse(word: &str) -> Result<(), UsageError> {
    match nearest(word) {
        Some(command) if Path::new(word).symlink_metadata().is_err() => Err(UsageError(format!(
            "there is no command `{word}`; `{command}` is similar (`stream-layered help` lists the commands)"
        ))),
        _ => Ok(()),
    }
}

/// The command that a word is most similar to; `None` for a command, and for what is similar to none.
fn nearest(word: &str) -> Option<String> {
    let cli = Cli::command();
    let commands = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let names: Vec<&str> = commands
        .map(clap::Command::get_name)
        .chain(["help"])
        .collect();
    // Names of store paths, options and files are none.
    let is_word =
        word.len() > 1 && word.len() < 20 && word.bytes().all(|b| b.is_ascii_alphabetic());
    if !is_word || cli.find_subcommand(word).is_some() || word == "help" {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let most = if word.len() < 5 { 1 } else { 2 };
    let similar = names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word, name), name));
    let nearest = similar.min_by_key(|(edits, _)| *edits);
    nearest
        .filter(|(edits, _)| *edits <= most)
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_compared_with_all_commands() {
        for (word, command) in [
            ("psuh", Some("push")),
            ("pus", Some("push")),
            ("Push", Some("push")),
            ("laod", Some("load")),
            ("lod", Some("load")),
            ("plna", Some("plan")),
            ("steam", Some("stream")),
            ("dif", Some("diff")),
            ("wyh", Some("why")),
            ("hlep", Some("help")),
            ("verfy", None),
            ("push", None),
            ("options-page", None),
            ("result", None),
            ("./psuh", None),
            ("-q", None),
            ("g86nplrhlhz6lr3f7aj1fb17m460rakb-hello-2.10", None),
        ] {
            assert_eq!(nearest(word).as_deref(), command, "{word}");
        }
    }
}
