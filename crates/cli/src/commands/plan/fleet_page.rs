//! The plan of a fleet as a self-contained page for a browser.

use std::collections::BTreeMap;

use anyhow::Result;
use layering::FleetPlan;
use nix_compat::StorePath;
use serde_json::{Value, json};

use super::page::{Page, STYLE};

const FLEET_STYLE: &str = include_str!("fleet_page.css");
const SCRIPT: &str = include_str!("fleet_page.js");

const FIGURE: &str = r#"  <section aria-label="Images and their layers, by size">
    <div id="fleet"></div>
    <p id="legend"><span>one image</span><i></i><span>all images</span></p>
  </section>"#;

const TABLE: &str = r#"    <table class="fleet">
      <thead>
        <tr><th class="number">Size</th><th class="number">Changes</th><th>Images</th><th>Store paths</th></tr>
      </thead>"#;

/// The page: each image is a column of its layers, the lowest at the bottom.
pub fn page(plan: &FleetPlan) -> Result<String> {
    let page = Page {
        title: "Layers of a fleet",
        style: &format!("{STYLE}{FLEET_STYLE}"),
        figure: FIGURE,
        table: TABLE,
        data: data(plan),
        script: SCRIPT,
    };
    page.html()
}

/// The different layers, and for each image their places in that list. Images that share most from
/// the bottom stand side by side.
fn data(plan: &FleetPlan) -> Value {
    let rows = plan.shared_layers();
    let place_of: BTreeMap<&[StorePath], usize> = rows
        .iter()
        .zip(0..)
        .map(|((layer, _), place)| (&layer.paths[..], place))
        .collect();
    let mut images: Vec<(Vec<usize>, &String)> = plan
        .images
        .iter()
        .map(|(name, plan)| {
            let layers = plan.layers.iter();
            (
                layers.map(|layer| place_of[&layer.paths[..]]).collect(),
                name,
            )
        })
        .collect();
    images.sort();
    let mut sizes = BTreeMap::<&StorePath, u64>::new();
    for plan in plan.images.values() {
        let known = plan.graph.iter().flat_map(|graph| graph.sizes());
        sizes.extend(plan.paths().zip(known.copied()));
    }
    let layers = rows.iter().map(|(layer, _)| {
        let paths = layer.paths.iter().map(|path| {
            json!({ "path": path.as_str(), "name": path.name(), "size": sizes.get(path).copied().unwrap_or(0) })
        });
        json!({
            "size": layer.size,
            "why": layer.reason.to_string(),
            "chance": layer.chance_per_mille,
            "paths": paths.collect::<Vec<_>>(),
        })
    });
    let layers: Vec<Value> = layers.collect();
    let images = images
        .into_iter()
        .map(|(layers, name)| json!({ "name": name, "layers": layers }));
    json!({ "images": images.collect::<Vec<_>>(), "layers": layers })
}
