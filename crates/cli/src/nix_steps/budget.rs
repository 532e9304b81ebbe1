//! Fails if an image exceeds its budget.

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use super::attributes::{self, Attributes};
use super::plan::{self, PlanAttributes};
use crate::output::budget;
use crate::resolve::budget::PlanBudget;

#[derive(Deserialize)]
struct BudgetAttributes {
    #[serde(flatten)]
    plan: PlanAttributes,
    budget: String,
}

/// Plans the layers, and writes nothing into the output if they keep the budget.
pub fn run() -> Result<()> {
    let attributes: Attributes<BudgetAttributes> = attributes::read()?;
    let BudgetAttributes { plan, budget } = &attributes.values;
    let limits: PlanBudget = budget
        .parse()
        .map_err(|why: String| anyhow!(why))
        .context("budget")?;
    let planned = plan::plan(plan, &attributes.text)?;
    let previous = planned.release.as_ref().map(|release| &release.plan);
    let exceeded = limits.exceeded(&planned.closure, &planned.hidden, &planned.plan, previous);
    budget::check(exceeded)?;
    attributes::write(&attributes.out, "")
}
