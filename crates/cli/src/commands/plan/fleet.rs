//! `plan --fleet`: the layers of several images that are planned together.

use anyhow::{Context, Result};
use layering::{FleetCosts, FleetPlan, plan_each, plan_fleet};

use super::fleet_page;
use crate::args::{PlanArgs, PlanFormat};
use crate::output::fleet_table;
use crate::output::shown;
use crate::resolve::fleet;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::store::Store;
use crate::usage::UsageError;

/// What the command prints.
pub fn text(args: &PlanArgs, settings: &ImageSettings, store: &Store) -> Result<String> {
    let fleet = fleet::of_words(settings, &args.fleet, store)?;
    let plan: FleetPlan = plan_fleet(&fleet)?;
    let checked = fleet.check(&plan);
    checked
        .map_err(|(image, error)| anyhow::Error::new(error).context(format!("image {image}")))?;
    Ok(match args.format {
        PlanFormat::Table => {
            let alone = plan_each(&fleet).context("each image alone")?;
            fleet_table::table(&plan, &FleetCosts::new(&alone), args.output.is_none())
        }
        PlanFormat::Json => shown::json(&serde_json::to_string_pretty(&plan)?) + "\n",
        PlanFormat::Html => fleet_page::page(&plan)?,
        PlanFormat::Layers | PlanFormat::Dot => {
            let usage = "a fleet is printed as table, json or html";
            return Err(UsageError(usage.to_owned()).into());
        }
    })
}
