//! `diff`: what someone pulls of a new image who has the old one, and why.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use indicatif::DecimalBytes;
use layering::{Diff, LayerChange, PathChange, Plan};
use nix_compat::StorePath;
use serde_json::{Value, json};

use crate::args::{DiffArgs, DiffFormat};
use crate::output::console;
use crate::platform;
use crate::resolve::plan_source::PlanSource;

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<()> {
    let architecture = platform::architecture(args.arch.as_deref())?;
    let registry = args.registry.settings();
    let open = |source: &PlanSource| {
        let plan = source.open(&registry, &architecture);
        plan.with_context(|| format!("{source}"))
    };
    let (old, new) = (open(&args.old)?, open(&args.new)?);
    let diff = Diff::new(&old, &new);
    console::print(match args.format {
        DiffFormat::Text => text(&old, &new, &diff),
        DiffFormat::Json => serde_json::to_string_pretty(&json(&new, &diff))? + "\n",
    })
}

fn text(old: &Plan, new: &Plan, diff: &Diff) -> String {
    let count =
        |is: fn(&LayerChange) -> bool| diff.layers.iter().filter(|change| is(change)).count();
    let stay = count(|change| *change == LayerChange::Stays);
    let move_ = count(|change| matches!(change, LayerChange::Moves(_)));
    let new_ones = count(|change| *change == LayerChange::New);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} layers of store paths: {stay} stay, {move_} move, {new_ones} new; {} gone",
        new.layers.len(),
        diff.gone.len()
    );
    let _ = writeln!(
        text,
        "to pull: {} by who knows layers by digest (registries, podman, containerd)",
        DecimalBytes(diff.pull.by_digest)
    );
    let _ = writeln!(
        text,
        "         {} by who knows them with all below (Docker's own store)",
        DecimalBytes(diff.pull.by_chain)
    );
    if let Some(floor) = diff.floor {
        let _ = writeln!(
            text,
            "         {} of store paths changed",
            DecimalBytes(floor)
        );
    }
    if !diff.gone.is_empty() || stay < diff.layers.len() {
        text += "\nLayers:\n";
    }
    for (at, (layer, change)) in new.layers.iter().zip(&diff.layers).enumerate() {
        let what = match change {
            LayerChange::Stays => continue,
            LayerChange::Moves(place) if *place == at => "above a change".to_owned(),
            LayerChange::Moves(place) => format!("was {}", place + 1),
            LayerChange::New => "new".to_owned(),
        };
        let size = DecimalBytes(layer.size).to_string();
        let _ = writeln!(
            text,
            "{:>5}  {size:>10}  {what:<14}  {}",
            at + 1,
            names(&layer.paths)
        );
    }
    for &at in &diff.gone {
        let layer = &old.layers[at];
        let size = DecimalBytes(layer.size).to_string();
        let _ = writeln!(
            text,
            "{:>5}  {size:>10}  {:<14}  {}",
            "",
            "gone",
            names(&layer.paths)
        );
    }
    if !diff.paths.is_empty() {
        text += "\nStore paths, and what made them change:\n";
    }
    for change in &diff.paths {
        let size = change
            .size
            .map_or_else(String::new, |size| DecimalBytes(size).to_string());
        let _ = writeln!(
            text,
            "       {size:>10}  {}{}",
            named(change),
            because(change)
        );
    }
    if !diff.dropped.is_empty() {
        text += "\nNo longer there:\n";
        for path in &diff.dropped {
            let _ = writeln!(text, "                   {}", path.name());
        }
    }
    text
}

/// `openssl-3.0.2 (was openssl-3.0.1)`.
fn named(change: &PathChange) -> String {
    let name = change.path.name();
    match &change.before {
        None => format!("{name} (is new)"),
        Some(before) if before.name() == name => name.to_owned(),
        Some(before) => format!("{name} (was {})", before.name()),
    }
}

/// ` because of glibc-2.41 and 2 more`; nothing for what changed by itself.
fn because(change: &PathChange) -> String {
    match change.causes.as_slice() {
        [] => String::new(),
        [only] if *only == change.path => String::new(),
        causes => format!(" because of {}", names(causes)),
    }
}

fn names(paths: &[StorePath]) -> String {
    match paths {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            let (first, second, third) = (first.name(), second.name(), third.name());
            format!("{first} {second} {third} and {} more", rest.len())
        }
        paths => paths
            .iter()
            .map(StorePath::name)
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn json(new: &Plan, diff: &Diff) -> Value {
    let layers = diff.layers.iter().zip(&new.layers).map(|(change, layer)| {
        let (change, was) = match change {
            LayerChange::Stays => ("stays", None),
            LayerChange::Moves(place) => ("moves", Some(place + 1)),
            LayerChange::New => ("new", None),
        };
        json!({ "change": change, "was": was, "size": layer.size, "paths": texts(&layer.paths) })
    });
    let paths = diff.paths.iter().map(|change| {
        json!({
            "path": change.path.as_str(),
            "before": change.before.as_ref().map(StorePath::as_str),
            "size": change.size,
            "causes": texts(&change.causes),
        })
    });
    json!({
        "pull": { "byDigest": diff.pull.by_digest, "byChain": diff.pull.by_chain, "floor": diff.floor },
        "layers": layers.collect::<Vec<_>>(),
        "gone": diff.gone.iter().map(|place| place + 1).collect::<Vec<_>>(),
        "paths": paths.collect::<Vec<_>>(),
        "dropped": texts(&diff.dropped),
    })
}

fn texts(paths: &[StorePath]) -> Vec<&str> {
    paths.iter().map(StorePath::as_str).collect()
}
