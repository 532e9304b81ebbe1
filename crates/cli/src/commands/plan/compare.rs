//! `plan --compare`: what each strategy's layers would cost when something changes.

use std::fmt::Write as _;

use anyhow::Result;
use indicatif::DecimalBytes;
use layering::{Cost, Costs, Strategy, compare};

use crate::resolve::plan::Planned;

/// One line a strategy, and the floor below which none can go.
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

    let mut text = format!(
        "What is pulled, on an average, when something changes:\n\n\
         {:18}  {:<24}{:<24}{}\n\
         {:<11} {:>6}",
        "", "the application", "one package", "one that many need", "strategy", "layers"
    );
    text += &format!("  {:>10} {:>10} ", "by digest", "by chain").repeat(3);
    text.truncate(text.trim_end().len());
    text += "\n";
    for (name, layers, costs) in &rows {
        let _ = write!(text, "{name:<11} {layers:>6}");
        for Cost { pull, .. } in [costs.app, costs.package, costs.low] {
            let by_digest = DecimalBytes(pull.by_digest).to_string();
            let by_chain = DecimalBytes(pull.by_chain).to_string();
            let _ = write!(text, "  {by_digest:>10} {by_chain:>10} ");
        }
        text.truncate(text.trim_end().len());
        text += "\n";
    }
    if let Some((_, _, costs)) = rows.first() {
        let _ = write!(text, "{:<18}", "what changed");
        for cost in [costs.app, costs.package, costs.low] {
            let floor = DecimalBytes(cost.floor).to_string();
            let _ = write!(text, "  {floor:>10} {:>10} ", "");
        }
        text.truncate(text.trim_end().len());
        text += "\n";
    }
    text += "\nRegistries, podman and containerd know layers by digest; Docker's own store by chain: \
             with all layers below.\n";
    Ok(text)
}

fn name(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::Popularity => "popularity",
        Strategy::Auto => "auto",
        Strategy::Stable => "stable",
        _ => "pipeline",
    }
}
