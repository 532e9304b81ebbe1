//! `plan --compare`: the average download after a change, for each strategy.

use anyhow::Result;
use indicatif::DecimalBytes;
use layering::{Costs, Strategy, compare};

use crate::output::table::{Column, Table};
use crate::resolve::plan::Planned;

/// A row for each strategy, and the size of what changed: no strategy can download less.
pub fn table(planned: &Planned) -> Result<String> {
    let request = planned.request();
    let closure = &planned.closure.closure;
    let compared = compare(closure, &request)?;
    let mut rows: Vec<(&str, usize, Costs)> = compared
        .iter()
        .map(|compared| (name(&compared.strategy), compared.layers, compared.costs))
        .collect();
    if planned.is_given() {
        let plan = &planned.plan;
        let costs = Costs::new(closure, &request.hidden, plan);
        rows.push(("as it is", plan.layers.len(), costs));
    }

    let mut head = Table::new([
        Column::left(18),
        Column::left(24),
        Column::left(24).after(0),
        Column::last().after(0),
    ]);
    head.row(["", "the application", "one package", "one that many need"]);
    let mut table = Table::new([
        Column::left(12),
        Column::right(6).after(0),
        Column::right(10),
        Column::right(10).after(1),
        Column::right(10).after(3),
        Column::right(10).after(1),
        Column::right(10).after(3),
        Column::right(10).after(1),
    ]);
    let (digest, chain) = ("by digest", "by chain");
    table.row([
        "strategy", "layers", digest, chain, digest, chain, digest, chain,
    ]);
    let size = |bytes: u64| DecimalBytes(bytes).to_string();
    for (name, layers, costs) in &rows {
        let [app, package, low] = [costs.app, costs.package, costs.low].map(|cost| cost.pull);
        table.row([
            name,
            &layers.to_string(),
            &size(app.by_digest),
            &size(app.by_chain),
            &size(package.by_digest),
            &size(package.by_chain),
            &size(low.by_digest),
            &size(low.by_chain),
        ]);
    }
    if let Some((_, _, costs)) = rows.first() {
        let [app, package, low] =
            [costs.app, costs.package, costs.low].map(|cost| size(cost.floor));
        table.row(["what changed", "", &app, "", &package, "", &low, ""]);
    }
    Ok(format!(
        "Average download after a change of …\n\n{}{}\n{ENGINES}",
        head.text(),
        table.text()
    ))
}

/// Explains the columns.
const ENGINES: &str = "\
By digest: registries, podman and containerd download each changed layer.
By chain: Docker's own store also downloads all layers above it.
";

fn name(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::Popularity => "popularity",
        Strategy::Auto => "auto",
        Strategy::Stable => "stable",
        _ => "pipeline",
    }
}
