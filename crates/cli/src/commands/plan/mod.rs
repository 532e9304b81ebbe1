//! `plan`: shows which store paths go into which layer.

mod compare;
mod fleet;
mod page;

use std::io::Write as _;

use anyhow::{Context, Result};

use crate::args::{PlanArgs, PlanFormat};
use crate::output::console::{self, say};
use crate::output::output_file::OutputFile;
use crate::output::plan_table;
use crate::output::shown;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::plan::Planned;
use crate::resolve::store::Store;

/// Runs the command.
pub fn run(args: &PlanArgs) -> Result<()> {
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(false);
    let store = Store::open(&settings.store)?;
    if let Some(warning) = settings.store.warning(&store) {
        say!("warning: {warning}");
    }
    let text = if args.fleet.is_empty() {
        text(args, &settings, &store)?
    } else {
        fleet::text(args, &settings, &store)?
    };
    match &args.output {
        Some(path) => {
            let output = OutputFile::create(path)?;
            output
                .file()?
                .write_all(text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            output.finish()
        }
        None => console::print(text),
    }
}

fn text(args: &PlanArgs, settings: &ImageSettings, store: &Store) -> Result<String> {
    let planned = Planned::new(settings, store)?;
    let plan = &planned.plan;
    if args.compare {
        return compare::table(&planned);
    }
    Ok(match args.format {
        PlanFormat::Table => plan_table::table(plan, args.output.is_none()),
        PlanFormat::Json => shown::json(&serde_json::to_string_pretty(plan)?) + "\n",
        PlanFormat::Layers => serde_json::to_string_pretty(&plan.to_layers_json())? + "\n",
        PlanFormat::Dot => shown::lines(&layering::dot(&planned.closure.closure, plan)),
        PlanFormat::Html => page::page(plan, &planned.title())?,
    })
}
