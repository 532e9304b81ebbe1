//! The page `docs/options.md`: the help of all commands, with the options that several of them have
//! once.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Arg, Command, CommandFactory as _};

use crate::args::Cli;
use crate::output::console;

/// Prints the page.
pub fn print() -> Result<()> {
    console::print(page(Cli::command()))
}

fn page(mut program: Command) -> String {
    program.build();
    let commands: Vec<&Command> = program
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .collect();
    let takes_image = |command: &&Command| {
        let mut groups = command.get_groups();
        groups.any(|group| group.get_id() == "ImageArgs")
    };
    let of_images: Vec<&Command> = commands.iter().copied().filter(takes_image).collect();
    let has = |command: &Command, arg: &Arg| command.get_arguments().any(|other| same(other, arg));
    let is_shared = |arg: &Arg| of_images.iter().all(|command| has(command, arg));
    let mut text = String::from(
        "# Options\n\nThis page is written from the program's own help. `stream-layered help COMMAND` shows the same.\n",
    );
    if let Some(first) = of_images.first() {
        text += "\n## The image\n\nThe commands ";
        let names = of_images
            .iter()
            .map(|command| format!("`{}`", command.get_name()));
        text += &names.collect::<Vec<_>>().join(", ");
        text += " take these arguments.\n";
        arguments(&mut text, first, is_shared);
    }
    for command in commands {
        let _ = write!(text, "\n## {}\n\n{}\n", command.get_name(), about(command));
        arguments(&mut text, command, |arg| {
            !(takes_image(&command) && is_shared(arg))
        });
    }
    text
}

/// Whether two commands mean the same by an argument.
fn same(one: &Arg, other: &Arg) -> bool {
    one.get_id() == other.get_id() && one.get_help() == other.get_help()
}

fn about(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about());
    let text = about.map(ToString::to_string).unwrap_or_default();
    if text.ends_with('.') {
        text
    } else {
        text + "."
    }
}

/// The arguments of a command that are chosen, by their headings.
fn arguments(text: &mut String, command: &Command, is_chosen: impl Fn(&Arg) -> bool) {
    let chosen: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()))
        .filter(|arg| is_chosen(arg))
        .collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in &chosen {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            let _ = write!(text, "\n### {heading}\n");
        }
        *text += "\n";
        for arg in chosen
            .iter()
            .filter(|arg| arg.get_help_heading() == heading)
        {
            let _ = writeln!(text, "- {}: {}", name(arg), meaning(arg));
        }
    }
}

/// `-o`, `--output FILE`.
fn name(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let values = values.iter().map(|name| name.as_str());
    let values = values.filter(|_| takes_value).collect::<Vec<_>>().join(" ");
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let mut names: Vec<String> = short.into_iter().chain(long).collect();
    match names.last_mut() {
        Some(last) if !values.is_empty() => *last = format!("{last} {values}"),
        Some(_) => {}
        None => names.push(values),
    }
    let names = names.iter().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

/// The help, the values that are possible, and the default.
fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // A default that clap does not know stands at the help's end, in brackets.
    let (mut text, default) = match help.split_once(" [default: ") {
        Some((help, default)) => (
            help.to_owned(),
            Some(default.trim_end_matches(']').to_owned()),
        ),
        None => (help, None),
    };
    if !text.ends_with('.') {
        text.push('.');
    }
    let takes_value = arg.get_action().takes_values();
    let values = arg.get_possible_values();
    let values = values
        .iter()
        .filter(|value| takes_value && !value.is_hide_set());
    let values: Vec<String> = values
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if !values.is_empty() {
        let _ = write!(text, " Values: {}.", values.join(", "));
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .filter(|_| takes_value)
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if let Some(default) = default {
        let _ = write!(text, " Default: {default}.");
    } else if !defaults.is_empty() {
        let _ = write!(text, " Default: {}.", defaults.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(text, " Environment: `{}`.", variable.to_string_lossy());
    }
    text
}
