//! The table of a fleet's layers: which images have each, and what they take together.

use indicatif::DecimalBytes;
use layering::{FleetCosts, FleetPlan, PlannedLayer};
use nix_compat::StorePath;

use crate::output::console;
use crate::output::plan_table::{per_cent, shortened};
use crate::output::table::{Column, Table};

/// Width if there is no terminal, in columns.
const WIDTH: usize = 100;

/// Minimum width, in columns.
const LEAST_WIDTH: usize = 60;

/// The plan as a table, and what the layers take beside those of each image planned alone.
pub fn table(plan: &FleetPlan, alone: &FleetCosts, is_for_terminal: bool) -> String {
    let terminal = is_for_terminal.then(console::width).flatten();
    let width = terminal.unwrap_or(WIDTH).max(LEAST_WIDTH);
    format!(
        "{}\n{}\n{}",
        layers(plan, width),
        images(plan),
        costs(plan, alone)
    )
}

/// A row for each layer, with a mark for each image that has it. Layers of more images are first.
fn layers(plan: &FleetPlan, width: usize) -> String {
    let rows = plan.shared_layers();
    let marks = plan.images.len().max("IMAGES".len());
    let mut table = Table::new([
        Column::right("100.00 MB".len()),
        Column::right("CHANGES".len()),
        Column::left(marks),
        Column::last(),
    ]);
    let names_width = width.saturating_sub(table.start_of_last()).max(8);
    table.row(["SIZE", "CHANGES", "IMAGES", "STORE PATHS"]);
    for (layer, of) in rows {
        let marks: String = plan
            .images
            .keys()
            .enumerate()
            .map(|(at, _)| if of.contains(&at) { '■' } else { '·' })
            .collect();
        let chance = layer.chance_per_mille.map(per_cent).unwrap_or_default();
        table.row([
            &DecimalBytes(layer.size).to_string(),
            &chance,
            &marks,
            &shortened(&names(layer), names_width),
        ]);
    }
    table.text()
}

fn names(layer: &PlannedLayer) -> String {
    let names: Vec<&str> = layer.paths.iter().map(StorePath::name).collect();
    match names.len() {
        1 => names.concat(),
        many => format!("{many}: {}", names.join(" ")),
    }
}

/// A row for each image, in the order of the marks.
fn images(plan: &FleetPlan) -> String {
    let mut table = Table::new([
        Column::right(plan.images.len().to_string().len().max(1)),
        Column::right("LAYERS".len()),
        Column::right("PATHS".len()),
        Column::right("100.00 MB".len()),
        Column::last(),
    ]);
    table.row(["#", "LAYERS", "PATHS", "SIZE", "IMAGE"]);
    for (at, (name, plan)) in plan.images.iter().enumerate() {
        table.row([
            &(at + 1).to_string(),
            &plan.layers.len().to_string(),
            &plan.paths().count().to_string(),
            &DecimalBytes(plan.size()).to_string(),
            name,
        ]);
    }
    table.text()
}

fn costs(plan: &FleetPlan, alone: &FleetCosts) -> String {
    let together = FleetCosts::new(plan);
    let rows = [
        ("stored in a registry", together.stored, alone.stored),
        (
            "stored by chain (Docker's own store)",
            together.by_chain,
            alone.by_chain,
        ),
        (
            "download after a change of an application",
            together.app,
            alone.app,
        ),
        (
            "download after a change of one package",
            together.package,
            alone.package,
        ),
    ];
    let widest = rows.iter().map(|(what, ..)| what.len()).max();
    let mut table = Table::new([
        Column::left(widest.unwrap_or(0)),
        Column::right(10),
        Column::right("EACH ALONE".len()),
    ]);
    let size = |bytes: u64| DecimalBytes(bytes).to_string();
    table.row(["", "TOGETHER", "EACH ALONE"]);
    table.row([
        "different layers",
        &together.layers.to_string(),
        &alone.layers.to_string(),
    ]);
    for (what, together, alone) in rows {
        table.row([what, &size(together), &size(alone)]);
    }
    table.row(["all store paths", &size(together.floor), ""]);
    table.text()
}
