//! `diff`: what a machine that has the old image, or the old images of a fleet, downloads for the new
//! ones, and why.

mod fleet;
mod one_image;

use anyhow::Result;
use layering::{Diff, FleetDiff};
use serde_json::Value;

use crate::args::{DiffArgs, DiffFormat};
use crate::output::budget;
use crate::output::console;
use crate::output::shown;
use crate::platform;
use crate::resolve::plan_source::{AnyPlan, PlanSource};
use crate::usage::UsageError;

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<()> {
    let platform = platform::platform(args.arch.as_ref())?;
    let registry = args.registry.settings();
    let open = |source: &PlanSource| source.open_any(&registry, &platform);
    let budget = args.budget.as_ref();
    match (open(&args.old)?, open(&args.new)?) {
        (AnyPlan::Image(old), AnyPlan::Image(new)) => {
            let diff = Diff::new(&old, &new);
            print(
                args.format,
                || one_image::text(&old, &new, &diff),
                || one_image::json(&new, &diff),
            )?;
            budget::check(budget.and_then(|budget| budget.exceeded(&diff)))
        }
        (AnyPlan::Fleet(old), AnyPlan::Fleet(new)) => {
            let diff = FleetDiff::new(&old, &new);
            print(
                args.format,
                || fleet::text(&diff),
                || fleet::json(&new, &diff),
            )?;
            budget::check(budget.and_then(|budget| budget.exceeded_by_fleet(&diff)))
        }
        (AnyPlan::Fleet(_), AnyPlan::Image(_)) => Err(one_fleet(&args.old, &args.new).into()),
        (AnyPlan::Image(_), AnyPlan::Fleet(_)) => Err(one_fleet(&args.new, &args.old).into()),
    }
}

fn one_fleet(fleet: &PlanSource, image: &PlanSource) -> UsageError {
    UsageError(format!(
        "{fleet} is the plan of a fleet, and {image} is one image; give two plans of `plan --fleet … --format json`, \
         or two images"
    ))
}

fn print(
    format: DiffFormat,
    text: impl FnOnce() -> String,
    json: impl FnOnce() -> Value,
) -> Result<()> {
    match format {
        DiffFormat::Text => console::print_lines(&text()),
        DiffFormat::Json => {
            let json = serde_json::to_string_pretty(&json())? + "\n";
            console::print(shown::json(&json))
        }
    }
}
