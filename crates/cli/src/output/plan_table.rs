//! The table of a plan's layers, as wide as the terminal.

use std::cmp::Reverse;

use indicatif::DecimalBytes;
use layering::{Plan, PlannedLayer};

use crate::output::console;
use crate::output::shown;
use crate::output::table::{Column, Table};

/// Width if there is no terminal, in columns.
const WIDTH: usize = 100;

/// Minimum width, in columns. A narrower terminal cuts the lines itself.
const LEAST_WIDTH: usize = 50;

/// Width of the bars if the terminal has room, in columns.
const BAR: usize = 12;

/// Width of the reasons if the terminal has room, in columns.
const REASON: usize = 24;

/// The plan as a table for standard output, or for a file.
pub fn table(plan: &Plan, is_for_terminal: bool) -> String {
    let terminal = is_for_terminal.then(console::width).flatten();
    with_width(plan, terminal.unwrap_or(WIDTH).max(LEAST_WIDTH))
}

/// The plan as a table for a log.
pub fn for_log(plan: &Plan) -> String {
    with_width(plan, WIDTH)
}

fn with_width(plan: &Plan, width: usize) -> String {
    let count = plan.layers.len().to_string().len().max(1);
    let bar = if width < 80 { 0 } else { BAR };
    let reasons = plan.layers.iter().map(reason_of);
    let reason = reasons.map(|text| text.chars().count()).max();
    let most = if width < 100 { REASON / 2 } else { REASON };
    let reason = reason.unwrap_or(0).clamp("WHY".len(), most);
    let has_chances = plan
        .layers
        .iter()
        .any(|layer| layer.chance_per_mille.is_some());
    let largest = plan
        .layers
        .iter()
        .map(|layer| layer.size)
        .max()
        .unwrap_or(0);

    let mut table = Table::new([
        Column::right(count),
        Column::right("100.00 MB".len()),
        Column::left(bar).shown(bar > 0),
        Column::right("CHANGES".len()).shown(has_chances),
        Column::left(reason),
        Column::last(),
    ]);
    let names_width = width.saturating_sub(table.start_of_last()).max(8);
    table.row(["#", "SIZE", "", "CHANGES", "WHY", "STORE PATHS"]);
    let mut first = 0;
    for (at, layer) in plan.layers.iter().enumerate() {
        let chance = layer.chance_per_mille.map(per_cent).unwrap_or_default();
        table.row([
            &(at + 1).to_string(),
            &DecimalBytes(layer.size).to_string(),
            &bar_of(layer.size, largest, bar),
            &chance,
            &shortened(&reason_of(layer), reason),
            &shortened(&names(plan, layer, first), names_width),
        ]);
        first += layer.paths.len();
    }
    let layers = plan.layers.len();
    let size = DecimalBytes(plan.size());
    table.text() + &format!("{layers} layers of store paths, {first} paths, {size}\n")
}

/// Why the layer is one. The text may come from the label of a previous image.
fn reason_of(layer: &PlannedLayer) -> String {
    shown::line(&layer.reason.to_string())
}

/// The names in a layer, the largest first; `first` is the number of its first path in the plan.
fn names(plan: &Plan, layer: &PlannedLayer, first: usize) -> String {
    let mut names: Vec<(u64, &str)> = layer
        .paths
        .iter()
        .zip(first..)
        .map(|(path, at)| {
            let size = plan.graph.as_ref().and_then(|graph| graph.sizes().get(at));
            (size.copied().unwrap_or(0), path.name())
        })
        .collect();
    names.sort_by_key(|&(size, name)| (Reverse(size), name));
    let all: Vec<&str> = names.into_iter().map(|(_, name)| name).collect();
    match all.len() {
        1 => all.concat(),
        many => format!("{many}: {}", all.join(" ")),
    }
}

/// `2.5 %`, `31 %`.
pub(super) fn per_cent(per_mille: u16) -> String {
    match per_mille {
        0..100 => format!("{}.{} %", per_mille / 10, per_mille % 10),
        _ => format!("{} %", (per_mille + 5) / 10),
    }
}

/// A bar in steps of an eighth of a column; one step at least if the layer is not empty.
fn bar_of(size: u64, largest: u64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if columns == 0 || size == 0 {
        return String::new();
    }
    let eighths = u128::from(size) * (columns as u128 * 8) / u128::from(largest.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0).max(1);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// The text, cut with `…` where it is longer.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start: String = text.chars().take(most.saturating_sub(1)).collect();
    start.trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let path = |name: &str| format!("/nix/store/{}-{name}", "a".repeat(32));
        let many: Vec<String> = (0..40)
            .map(|at| path(&format!("package{at}-1.0")))
            .collect();
        let json = serde_json::json!({ "layers": [
            { "paths": [path("glibc-2.40")], "size": 30_000_000, "reason": "large", "chancePerMille": 25 },
            { "paths": many, "size": 40, "reason": "changes with a-package-with-a-long-name" },
            { "paths": [path("app-1")], "size": 15_000_000, "reason": "root", "chancePerMille": 990 },
        ]});
        Plan::from_json(&json.to_string()).unwrap()
    }

    #[test]
    fn a_row_for_each_layer() {
        let rows = "\
#       SIZE                CHANGES  WHY                       STORE PATHS
1   30.00 MB  ████████████    2.5 %  large                     glibc-2.40
2       40 B  ▏                      changes with a-package-…  40: package0-1.0 package1-1.0 packag…
3   15.00 MB  ██████           99 %  root                      app-1
3 layers of store paths, 42 paths, 45.00 MB
";
        assert_eq!(with_width(&plan(), 100), rows);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in LEAST_WIDTH..200 {
            let text = with_width(&plan(), width);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(
                widest.is_some_and(|widest| widest <= width),
                "{width}:\n{text}"
            );
        }
    }
}
