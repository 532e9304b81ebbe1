//! The difference of two images, for people and for programs.

use indicatif::DecimalBytes;
use layering::{Diff, LayerChange, PathChange, Plan, PlannedLayer};
use nix_compat::StorePath;
use serde_json::{Value, json};

use crate::output::table::{Column, Table};

/// Which layers stay, move and are new, what is downloaded, and why each path changed.
pub fn text(old: &Plan, new: &Plan, diff: &Diff) -> String {
    let count =
        |is: fn(&LayerChange) -> bool| diff.layers.iter().filter(|change| is(change)).count();
    let stay = count(|change| *change == LayerChange::Stays);
    let move_ = count(|change| matches!(change, LayerChange::Moves(_)));
    let new_ones = count(|change| *change == LayerChange::New);
    let layers = new.layers.len();
    let gone = diff.gone.len();
    let by_digest = DecimalBytes(diff.pull.by_digest);
    let by_chain = DecimalBytes(diff.pull.by_chain);
    let mut text = format!(
        "{layers} layers of store paths: {stay} stay, {move_} move, {new_ones} new; {gone} gone\n\
         download: {by_digest} by digest (registries, podman, containerd)\n          \
         {by_chain} by chain (Docker's own store)\n"
    );
    if let Some(floor) = diff.floor {
        text += &format!("          {} of store paths changed\n", DecimalBytes(floor));
    }
    if !diff.gone.is_empty() || stay < diff.layers.len() {
        text += "\nLayers:\n";
        text += &changed_layers(old, new, diff);
    }
    if !diff.paths.is_empty() {
        text += "\nStore paths, and why they changed:\n";
        let mut table = Table::new(PATH_COLUMNS);
        for change in &diff.paths {
            let size = change.size.map(|size| DecimalBytes(size).to_string());
            let name = named(change) + &because(change);
            table.row(["", &size.unwrap_or_default(), &name]);
        }
        text += &table.text();
    }
    if !diff.dropped.is_empty() {
        text += "\nRemoved store paths:\n";
        let mut table = Table::new(PATH_COLUMNS);
        for path in &diff.dropped {
            table.row(["", "", path.name()]);
        }
        text += &table.text();
    }
    text
}

const NUMBER: Column = Column::right(5);
const SIZE: Column = Column::right(10);
const PATH_COLUMNS: [Column; 3] = [NUMBER, SIZE, Column::last()];

/// A row for each layer that does not stay, with its number in the new image.
fn changed_layers(old: &Plan, new: &Plan, diff: &Diff) -> String {
    let mut table = Table::new([NUMBER, SIZE, Column::left(14), Column::last()]);
    let mut row = |number: &str, layer: &PlannedLayer, what: &str| {
        let size = DecimalBytes(layer.size).to_string();
        table.row([number, &size, what, &names(&layer.paths)]);
    };
    for (at, (layer, change)) in new.layers.iter().zip(&diff.layers).enumerate() {
        let what = match change {
            LayerChange::Stays => continue,
            LayerChange::Moves(place) if *place == at => "above a change".to_owned(),
            LayerChange::Moves(place) => format!("was {}", place + 1),
            LayerChange::New => "new".to_owned(),
        };
        row(&(at + 1).to_string(), layer, &what);
    }
    for &at in &diff.gone {
        row("", &old.layers[at], "gone");
    }
    table.text()
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

/// The names of some paths: of three, and how many more there are.
pub fn names(paths: &[StorePath]) -> String {
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

/// What [`text`] says, for programs.
pub fn json(new: &Plan, diff: &Diff) -> Value {
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
