//! `plan`: shows which store paths would go into which layer.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context, Result};
use indicatif::HumanBytes;
use layering::Plan;

use crate::args::{ImageArgs, PlanArgs, PlanFormat};
use crate::console::{self, say};
use crate::place::Place;
use crate::store::{self, Store};
use crate::{base, image_input, input};

/// Runs the command.
pub fn run(args: &PlanArgs) -> Result<()> {
    let store = Store::open(&args.image.store)?;
    if let Some(warning) = store::warning(&args.image.store, &store) {
        say!("warning: {warning}");
    }
    let plan = match input::conf(&args.image, &store)? {
        Some(conf) => input::plan_of_conf(&conf, &store)?,
        None => plan(&args.image, &store)?,
    };
    let text = match args.format {
        PlanFormat::Table => table(&plan),
        PlanFormat::Json => serde_json::to_string_pretty(&plan)? + "\n",
        PlanFormat::Layers => serde_json::to_string_pretty(&plan.to_layers_json())? + "\n",
    };
    match &args.output {
        Some(path) => {
            let place = Place::create(path)?;
            place
                .file()?
                .write_all(text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            place.finish()
        }
        None => console::print(text),
    }
}

fn plan(args: &ImageArgs, store: &Store) -> Result<Plan> {
    let paths = input::paths(args, store)?;
    let wanted = input::wanted(args, &paths, store)?;
    let architecture = image_input::architecture(&args.settings)?;
    let base = base::open(&args.settings, &args.registry, &architecture)?;
    let of_base = base.map_or(0, |base| base.layers.len());
    input::plan(&wanted, &args.layers, of_base)
}

/// The plan for people.
pub fn table(plan: &Plan) -> String {
    let mut text = String::new();
    for (index, layer) in plan.layers.iter().enumerate() {
        let names: Vec<&str> = layer.paths.iter().map(|path| path.name()).collect();
        // Writing to a string does not fail.
        let size = HumanBytes(layer.size).to_string();
        let _ = writeln!(text, "{:>4} {size:>12}  {}", index + 1, names.join(" "));
    }
    let _ = writeln!(
        text,
        "{} store layers, {}",
        plan.layers.len(),
        HumanBytes(plan.size())
    );
    text
}
