//! From what was typed to a store, the paths that are meant, and their closure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::conf::Conf;
use image::time::Timestamp;
use layering::{Closure, Plan, Reason, Request, Strategy};
use nix_compat::StorePath;
use serde_json::json;
use stores::Graph;

use crate::args::ImageArgs;
use crate::resolve::image_script;
use crate::resolve::plan_label;
use crate::resolve::store::Store;
use crate::resolve::strategy;
use crate::usage::UsageError;
use crate::{files, platform};

/// The paths that were asked for, and all that they need.
pub struct Wanted {
    /// What was asked for, in order; the closure's roots where nothing was.
    pub roots: Vec<StorePath>,
    /// The closure.
    pub closure: Closure,
    /// Paths of the graph that go into no layer.
    pub hidden: BTreeSet<StorePath>,
}

impl Wanted {
    /// Everything in a closure.
    pub fn all(closure: Closure) -> Self {
        let all = closure.roots();
        Self {
            roots: all
                .iter()
                .map(|&root| closure.graph()[root].path.clone())
                .collect(),
            hidden: BTreeSet::new(),
            closure,
        }
    }
}

/// Resolves PATHs, and reads the closure from `--closure` or from the store.
pub fn wanted(args: &ImageArgs, paths: &[StorePath], store: &Store) -> Result<Wanted> {
    let (infos, hidden) = match &args.closure {
        Some(file) => {
            let bytes = files::read_input(file)?;
            let graph = store
                .with_outlines(|trees| Graph::parse(store.store_dir(), &bytes, trees))
                .with_context(|| format!("--closure {}", file.display()))?;
            (graph.paths, graph.exclude)
        }
        None => (store.closure(paths)?, BTreeSet::new()),
    };
    let closure = Closure::new(infos).context("the closure is not whole")?;
    let roots = if paths.is_empty() {
        let all = closure
            .roots()
            .iter()
            .map(|&root| closure.graph()[root].path.clone());
        all.filter(|path| !hidden.contains(path)).collect()
    } else {
        for path in paths {
            closure
                .get(path)
                .with_context(|| format!("{path} is not in the closure that was given"))?;
        }
        paths.to_vec()
    };
    Ok(Wanted {
        roots,
        closure,
        hidden,
    })
}

/// Store paths for the PATHs of the command line; `./result` where there are none, unless the
/// closure comes from a file.
pub fn paths(args: &ImageArgs, store: &Store) -> Result<Vec<StorePath>> {
    if !args.paths.is_empty() {
        return args.paths.iter().map(|path| store.resolve(path)).collect();
    }
    if args.closure.is_some() {
        return Ok(Vec::new());
    }
    let result = Path::new("./result");
    if fs::symlink_metadata(result).is_err() {
        let usage = "no PATH was given, and there is no ./result; give a store path, or run `nix build` first";
        return Err(UsageError(usage.to_owned()).into());
    }
    Ok(vec![store.resolve(result)?])
}

/// What is asked of the layers of the closure; `base_layers` of the budget are taken by the base
/// image, one by the image's root.
pub fn request(wanted: &Wanted, args: &ImageArgs, base_layers: usize) -> Result<Request> {
    let registry = &args.registry;
    let architecture = platform::architecture(args.settings.arch.as_deref())?;
    let args = &args.layers;
    let strategy = strategy::named(&args.strategy)?;
    let is_pipeline = matches!(strategy, Strategy::Pipeline(_));
    let used = base_layers + 1;
    let max_store_layers = args.max_layers.saturating_sub(used);
    if max_store_layers == 0 && !is_pipeline {
        let usage = format!(
            "--max-layers {}: {base_layers} layers of the base image and 1 of the image's root leave none for store \
             paths; allow {} or more",
            args.max_layers,
            used + 1
        );
        return Err(UsageError(usage).into());
    }
    let previous = match &args.previous {
        Some(source) => {
            let plan = plan_label::open(source, registry, &architecture);
            Some(plan.with_context(|| format!("--previous {source}"))?)
        }
        None => None,
    };
    Ok(Request {
        hidden: wanted.hidden.clone(),
        previous,
        layers: args.own.clone(),
        min_layer_size: args.min_layer_size,
        ..Request::new(strategy, max_store_layers)
    })
}

/// Plans the layers of the closure.
pub fn plan(wanted: &Wanted, request: &Request) -> Result<Plan> {
    let plan = layering::plan(&wanted.closure, request)?;
    if !matches!(request.strategy, Strategy::Pipeline(_)) {
        // A pipeline may leave paths out.
        plan.check(&wanted.closure, &wanted.hidden)?;
    }
    Ok(plan)
}

/// The configuration that describes the image: `--conf`, or that of a PATH which is the result of
/// streamLayeredImage.
pub fn conf(args: &ImageArgs, store: &Store) -> Result<Option<PathBuf>> {
    match &args.conf {
        Some(file) => Ok(Some(file.clone())),
        None => image_script::configuration(args, store),
    }
}

/// The layers of an image that a configuration describes, and the closure of what is in them.
pub fn plan_of_conf(conf: &Path, store: &Store) -> Result<(Closure, Plan)> {
    let context = || format!("{}", conf.display());
    let conf = Conf::parse(&files::read_input(conf)?, Timestamp::now()).with_context(context)?;
    let layers = conf.store_layers.into_iter().map(|layer| layer.paths);
    let layers: Vec<Vec<StorePath>> = layers.collect();
    let infos = store.closure(&layers.concat())?;
    let closure = Closure::new(infos).context("the closure is not whole")?;
    let reason = Reason::Other("configuration".to_owned());
    let known = Plan::of_layers(&closure, &layers, &reason);
    let layers = known.layers.iter().map(|layer| {
        let paths: Vec<&str> = layer.paths.iter().map(StorePath::as_str).collect();
        json!({ "paths": paths, "size": layer.size, "reason": layer.reason.to_string() })
    });
    let carried = plan_label::of_layers(layers.collect(), conf.config.get("Labels"));
    let plan = carried.map_or(known.clone(), |plan| Plan {
        graph: known.graph,
        ..plan
    });
    Ok((closure, plan))
}
