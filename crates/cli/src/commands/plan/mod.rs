//! `plan`: shows which store paths go into which layer.

mod compare;
mod fleet;
mod fleet_page;
mod page;

use std::io::Write as _;

use anyhow::{Context, Result};

use crate::args::{PlanArgs, PlanFormat};
use crate::output::budget;
use crate::output::console::{self, say};
use crate::output::output_file::OutputFile;
use crate::output::plan_table;
use crate::output::shown;
use crate::resolve::budget::Exceeded;
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
    let (text, exceeded) = if args.fleet.is_empty() {
        let planned = Planned::new(&settings, &store)?;
        (text(args, &planned)?, exceeded(args, &planned))
    } else {
        (fleet::text(args, &settings, &store)?, None)
    };
    write(args, &text)?;
    budget::check(exceeded)
}

/// What of the plan exceeds the budget.
fn exceeded(args: &PlanArgs, planned: &Planned) -> Option<Exceeded> {
    let Planned { closure, plan, .. } = planned;
    let previous = planned.request().previous;
    let budget = args.budget.as_ref()?;
    budget.exceeded(&closure.closure, &closure.hidden, plan, previous.as_ref())
}

fn write(args: &PlanArgs, text: &str) -> Result<()> {
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

fn text(args: &PlanArgs, planned: &Planned) -> Result<String> {
    let plan = &planned.plan;
    if args.compare {
        return compare::table(planned);
    }
    Ok(match args.format {
        PlanFormat::Table => plan_table::table(plan, args.output.is_none()),
        PlanFormat::Json => shown::json(&serde_json::to_string_pretty(plan)?) + "\n",
        PlanFormat::Layers => serde_json::to_string_pretty(&plan.to_layers_json())? + "\n",
        PlanFormat::Dot => shown::lines(&layering::dot(&planned.closure.closure, plan)),
        PlanFormat::Html => page::page(plan, &planned.title())?,
    })
}
