//! `plan`: shows which store paths go into which layer, and what layers would cost.

mod compare;
mod page;

use std::io::Write as _;

use anyhow::{Context, Result};
use layering::{Closure, Plan, Request, Strategy};

use crate::args::{ImageArgs, PlanArgs, PlanFormat};
use crate::output::console::{self, say};
use crate::output::output_file::OutputFile;
use crate::output::plan_table;
use crate::platform;
use crate::resolve::closure::{self, Wanted};
use crate::resolve::source;
use crate::resolve::store::{self, Store};

/// Runs the command.
pub fn run(args: &PlanArgs) -> Result<()> {
    let store = Store::open(&args.image.store)?;
    if let Some(warning) = store::warning(&args.image.store, &store) {
        say!("warning: {warning}");
    }
    let planned = Planned::new(&args.image, &store)?;
    let Planned { wanted, plan, .. } = &planned;
    let text = if args.compare {
        compare::table(&planned)?
    } else {
        match args.format {
            PlanFormat::Table => plan_table::table(plan, args.output.is_none()),
            PlanFormat::Json => serde_json::to_string_pretty(plan)? + "\n",
            PlanFormat::Layers => serde_json::to_string_pretty(&plan.to_layers_json())? + "\n",
            PlanFormat::Dot => layering::dot(&wanted.closure, plan),
            PlanFormat::Html => page::page(plan, &planned.title())?,
        }
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

/// What is shown.
pub struct Planned {
    /// The closure.
    pub wanted: Wanted,
    /// What was asked of the plan; nothing where a configuration says what the layers are.
    pub request: Option<Request>,
    /// The layers.
    pub plan: Plan,
}

impl Planned {
    /// Plans an image's layers, or takes those of its configuration.
    pub fn new(args: &ImageArgs, store: &Store) -> Result<Self> {
        if let Some(conf) = closure::conf(args, store)? {
            let (closure, plan) = closure::plan_of_conf(&conf, store)?;
            let wanted = Wanted::all(closure);
            return Ok(Self {
                wanted,
                request: None,
                plan,
            });
        }
        let paths = closure::paths(args, store)?;
        let wanted = closure::wanted(args, &paths, store)?;
        let architecture = platform::architecture(args.settings.arch.as_deref())?;
        let base = source::base(&args.settings, &args.registry, &architecture)?;
        let of_base = base.map_or(0, |base| base.layers.len());
        let request = closure::request(&wanted, args, of_base)?;
        Ok(Self {
            plan: closure::plan(&wanted, &request)?,
            request: Some(request),
            wanted,
        })
    }

    /// What others would be asked for the same paths.
    fn request(&self) -> Request {
        let of_conf = || Request::new(Strategy::Stable, self.plan.layers.len().max(1));
        self.request.clone().unwrap_or_else(of_conf)
    }

    fn closure(&self) -> &Closure {
        &self.wanted.closure
    }

    /// The names of what was asked for.
    fn title(&self) -> String {
        let names: Vec<&str> = self.wanted.roots.iter().map(|root| root.name()).collect();
        match names.as_slice() {
            [] => "store paths".to_owned(),
            [first, second, third, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second}, {third} and {} more", rest.len())
            }
            _ => names.join(", "),
        }
    }
}
