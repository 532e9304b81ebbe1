//! Which images of a fleet have a store path, why, in which layers, and why not all have these layers.

use std::collections::BTreeMap;

use anyhow::Result;
use layering::{Fleet, FleetPlan, SharedLayer, layers_with, plan_fleet};
use nix_compat::StorePath;

use super::chain;
use super::matching::matching;
use crate::args::WhyArgs;
use crate::resolve::fleet;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::store::Store;

/// What the command prints.
pub fn text(args: &WhyArgs, settings: &ImageSettings, store: &Store) -> Result<String> {
    let fleet = fleet::of_words(settings, &args.fleet, store)?;
    let images = fleet.images.values();
    let closures: Vec<_> = images
        .map(|image| (&image.closure, &image.hidden))
        .collect();
    let matching = matching(&closures, &args.what, store)?;
    let plan = plan_fleet(&fleet)?;
    let explained = matching.iter().map(|path| explain(&fleet, &plan, path));
    Ok(explained.collect::<Vec<_>>().join("\n"))
}

/// The chain of references in each image, then the layers.
fn explain(fleet: &Fleet, plan: &FleetPlan, path: &StorePath) -> String {
    let layers = layers_with(plan, path);
    let places: BTreeMap<&str, usize> = layers
        .iter()
        .flat_map(|shared| shared.places.clone())
        .collect();
    let mut text = format!(
        "{path}\nin {} of {} images\n",
        places.len(),
        fleet.images.len()
    );
    for (name, image) in &fleet.images {
        if image.closure.node(path).is_none() {
            continue;
        }
        let layer = match places.get(&name[..]) {
            Some(place) => format!("layer {} of {}", place + 1, plan.images[name].layers.len()),
            None => "in no layer".to_owned(),
        };
        let chain = chain::chain(&image.closure, &image.hidden, path);
        text += &format!("\n{name}, {layer}:\n{chain}");
    }
    for shared in &layers {
        text += "\n";
        text += &sharing(shared);
    }
    text
}

/// A layer, and why the other images do not have it.
fn sharing(shared: &SharedLayer<'_>) -> String {
    let layer = chain::layer(shared.layer);
    if shared.missing.is_empty() {
        return format!("All images have the layer: {layer}\n");
    }
    let with = names(shared.places.keys());
    let mut text = format!("The layer of {with}: {layer}\n");
    if shared.is_whole() {
        let without = names(shared.missing.keys());
        return text
            + &format!("  the same images need all its paths; none of them is in {without}\n");
    }
    for (image, missing) in &shared.missing {
        text += &match missing.as_slice() {
            [] => format!("  not in {image}, which has all its paths in other layers\n"),
            all if all.len() == shared.layer.paths.len() => {
                format!("  not in {image}, which needs none of its paths\n")
            }
            [first, rest @ ..] => {
                let more = match rest.len() {
                    0 => String::new(),
                    more => format!(" and {more} more of its paths"),
                };
                format!(
                    "  not in {image}, which does not need {}{more}\n",
                    first.name()
                )
            }
        };
    }
    text
}

fn names<'a>(names: impl Iterator<Item = &'a &'a str>) -> String {
    names.copied().collect::<Vec<_>>().join(", ")
}
