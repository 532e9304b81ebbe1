//! The difference of two plans of a fleet, for people and for programs.

use indicatif::DecimalBytes;
use layering::{FleetDiff, FleetPlan, ImageDiff, LayerChange, PackageChange};
use nix_compat::StorePath;
use serde_json::{Map, Value, json};

use super::one_image;
use crate::output::table::{Column, Table};

/// How many packages are named that move the same layers.
const NAMED: usize = 3;

/// What each image and all of them download, and which packages move which images.
pub fn text(diff: &FleetDiff) -> String {
    let mut text = "What a machine with one image downloads:\n".to_owned() + &images(diff);
    text += &format!(
        "\nA machine with all images, each layer once: {} by digest, {} by chain (Docker's own store)\n",
        DecimalBytes(diff.pull.by_digest),
        DecimalBytes(diff.pull.by_chain)
    );
    if let Some(floor) = diff.floor {
        text += &format!("Store paths that no image had: {}\n", DecimalBytes(floor));
    }
    if !diff.packages.is_empty() {
        text += "\nPackages that changed, and the images that download layers for them:\n";
        text += &packages(diff);
    }
    text
}

/// A row for each image that there is or was.
fn images(diff: &FleetDiff) -> String {
    let mut table = Table::new([
        Column::right("NEW LAYERS".len()),
        Column::right("BY DIGEST".len() + 1),
        Column::right("BY CHAIN".len() + 2),
        Column::last(),
    ]);
    table.row(["NEW LAYERS", "BY DIGEST", "BY CHAIN", "IMAGE"]);
    for (name, image) in &diff.images {
        let pull = image.diff.pull;
        let is_new = if image.is_new { " (is new)" } else { "" };
        table.row([
            &format!("{} of {}", new_layers(image), image.diff.layers.len()),
            &DecimalBytes(pull.by_digest).to_string(),
            &DecimalBytes(pull.by_chain).to_string(),
            &format!("{name}{is_new}"),
        ]);
    }
    for name in &diff.gone {
        table.row(["", "", "", &format!("{name} (is gone)")]);
    }
    table.text()
}

fn new_layers(image: &ImageDiff) -> usize {
    let is_new = |change: &&LayerChange| **change == LayerChange::New;
    image.diff.layers.iter().filter(is_new).count()
}

/// A row for the packages that move the same layers, and below it one for each image.
fn packages(diff: &FleetDiff) -> String {
    let mut table = Table::new([Column::right(10), Column::last()]);
    let together = diff
        .packages
        .chunk_by(|a, b| a.size == b.size && a.images == b.images);
    for changes in together {
        let first = &changes[0];
        let named: Vec<String> = changes.iter().take(NAMED).map(named).collect();
        let more = match changes.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = named.join(", ") + &more;
        table.row([&DecimalBytes(first.size).to_string(), &named]);
        for (image, size) in &first.images {
            let size = DecimalBytes(*size).to_string();
            table.row(["", &format!("{size:>10}  {image}")]);
        }
    }
    table.text()
}

/// `openssl-3.0.2 (was openssl-3.0.1)`.
fn named(change: &PackageChange) -> String {
    let names = |paths: &mut dyn Iterator<Item = &StorePath>| {
        let mut paths: Vec<StorePath> = paths.cloned().collect();
        paths.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
        paths.dedup_by(|a, b| a.name() == b.name());
        one_image::names(&paths)
    };
    let now = names(&mut change.paths.iter());
    match names(&mut change.before.iter()) {
        before if before.is_empty() => format!("{now} (is new)"),
        before if before == now => now,
        before => format!("{now} (was {before})"),
    }
}

/// The same, and the whole difference of each image.
pub fn json(new: &FleetPlan, diff: &FleetDiff) -> Value {
    let images: Map<String, Value> = diff
        .images
        .iter()
        .map(|(name, image)| {
            let mut value = one_image::json(&new.images[name], &image.diff);
            value["isNew"] = image.is_new.into();
            (name.clone(), value)
        })
        .collect();
    let packages = diff.packages.iter().map(|change| {
        json!({
            "package": change.package,
            "paths": texts(&change.paths),
            "before": texts(&change.before),
            "pull": change.size,
            "images": change.images,
        })
    });
    json!({
        "pull": { "byDigest": diff.pull.by_digest, "byChain": diff.pull.by_chain, "floor": diff.floor },
        "images": images,
        "gone": diff.gone,
        "packages": packages.collect::<Vec<_>>(),
    })
}

fn texts<'a>(paths: impl IntoIterator<Item = &'a StorePath>) -> Vec<&'a str> {
    paths.into_iter().map(StorePath::as_str).collect()
}
