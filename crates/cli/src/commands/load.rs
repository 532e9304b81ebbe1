//! `load`: sends an image to container engines, without the layers that each of them already has.

use std::panic::resume_unwind;
use std::sync::{Arc, Weak};
use std::thread::{self, Builder};

use anyhow::{Context, Error, Result, anyhow};
use engine::{Choice, Destination, Engine, Loaded, Options, Surroundings};
use image::layer_cache::LayerCache;
use image::{Compression, LayerTable, Spool, hash_doubtful_layers, hash_unknown_layers};
use oci::reference::check_name;

use crate::args::LoadArgs;
use crate::jobs::jobs;
use crate::output::console::{self, say};
use crate::output::learned;
use crate::output::load_progress::{LoadProgress, print_summary};
use crate::output::made_twice;
use crate::resolve::image::ResolvedImage;
use crate::resolve::layer_table::layer_table;
use crate::signals;

/// Runs the command.
pub fn run(args: &LoadArgs) -> Result<()> {
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(args.quiet);
    // What was typed wrong is told before what is missing on this machine.
    let input = ResolvedImage::new(&settings)?;
    for name in &input.image.repo_tags {
        check_name(name).context("the image cannot be loaded")?;
    }
    let nodes = open(&args.to);
    if !args.quiet {
        introduce(&nodes, &input.warnings);
    }
    let engines: Vec<_> = nodes
        .iter()
        .filter_map(|node| node.engine.as_ref().ok().map(Arc::downgrade))
        .collect();
    signals::before_stop(move || {
        thread::scope(|scope| {
            for engine in engines.iter().filter_map(Weak::upgrade) {
                let same = Arc::clone(&engine);
                if Builder::new()
                    .spawn_scoped(scope, move || same.abandon())
                    .is_err()
                {
                    engine.abandon();
                }
            }
        });
    })?;
    let mut cache = args.cache.settings().open();
    let spool = Spool::new(args.spool.spool_size);
    // What one of several engines was sent is there for the others.
    let spool = if nodes.len() > 1 {
        spool.shared()
    } else {
        spool
    };
    let options = Options {
        jobs: jobs(args.jobs),
        verify: args.verify,
        spool: &spool,
    };
    let job = Job {
        input: &input,
        options,
        quiet: args.quiet,
    };
    let results = job.load(nodes, &mut cache);
    signals::let_stop();
    made_twice::tell(&spool, args.quiet);
    let results = results?;
    report(&input.image.repo_tags, results, args.quiet)
}

/// An engine that is loaded into, or why there is none.
struct Node {
    name: String,
    engine: Result<Arc<Engine>>,
}

/// Opens the destinations; without one, the engine that the environment names or that is found.
fn open(destinations: &[Destination]) -> Vec<Node> {
    let surroundings = Surroundings::of_process();
    let any = [Destination::Engine(Choice::Any)];
    let destinations = if destinations.is_empty() {
        &any
    } else {
        destinations
    };
    let mut nodes = Vec::new();
    for (index, destination) in destinations.iter().enumerate() {
        if destinations[..index].contains(destination) {
            continue;
        }
        match destination.open(&surroundings) {
            Ok(opened) => nodes.extend(opened.into_iter().map(|node| Node {
                name: node.name,
                engine: node.engine.map(Arc::new).map_err(Error::from),
            })),
            Err(error) => nodes.push(Node {
                name: destination.to_string(),
                engine: Err(error.into()),
            }),
        }
    }
    nodes
}

/// Tells which engines are loaded into, and what is to be known before.
fn introduce(nodes: &[Node], warnings: &[String]) {
    for warning in warnings {
        say!("warning: {warning}");
    }
    for engine in nodes.iter().filter_map(|node| node.engine.as_ref().ok()) {
        if let Some(warning) = engine.warning() {
            say!("warning: {warning}");
        }
        say!("loading into {}", engine.name());
    }
}

/// What is loaded, and how.
struct Job<'a> {
    input: &'a ResolvedImage,
    options: Options<'a>,
    quiet: bool,
}

impl Job<'_> {
    /// Loads into all nodes at once. What came of it is told for each of them by its name.
    ///
    /// # Errors
    ///
    /// The image cannot be made.
    fn load(
        &self,
        nodes: Vec<Node>,
        cache: &mut LayerCache,
    ) -> Result<Vec<(String, Result<Loaded>)>> {
        if nodes.iter().all(|node| node.engine.is_err()) {
            let failed = nodes.into_iter();
            return Ok(failed
                .filter_map(|node| Some((node.name, Err(node.engine.err()?))))
                .collect());
        }
        let table = layer_table(self.input, Compression::None, cache)?;
        if let [
            Node {
                name,
                engine: Ok(engine),
            },
        ] = &nodes[..]
        {
            let loaded = self.load_into(engine, None, &table);
            learned::keep(&table, cache, self.quiet);
            return Ok(vec![(name.clone(), loaded)]);
        }
        // Once for all nodes.
        let trees = self.input.store.trees();
        let Options { jobs, spool, .. } = self.options;
        let hashed = if self.options.verify {
            hash_doubtful_layers(&table, trees, jobs, spool)
        } else {
            hash_unknown_layers(&table, trees, jobs, spool)
        };
        learned::keep(&table, cache, self.quiet);
        hashed?;
        let tables: Vec<LayerTable<'_>> = nodes.iter().map(|_| table.fork()).collect();
        let results = thread::scope(|scope| {
            let load = |(node, table): (Node, _)| {
                let engine = match node.engine {
                    Ok(engine) => engine,
                    Err(error) => return (node.name, Err(error)),
                };
                let loaded = self.load_into(&engine, Some(&node.name), table);
                (node.name, loaded)
            };
            let threads = nodes.into_iter().zip(&tables).map(|(node, table)| {
                let name = node.name.clone();
                let thread = Builder::new().spawn_scoped(scope, move || load((node, table)));
                (name, thread)
            });
            let threads: Vec<_> = threads.collect();
            let results = threads.into_iter().map(|(name, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(error) => (name, Err(engine::Error::Thread(error).into())),
            });
            results.collect()
        });
        for table in &tables {
            learned::keep(table, cache, self.quiet);
        }
        Ok(results)
    }

    fn load_into(
        &self,
        engine: &Engine,
        name: Option<&str>,
        table: &LayerTable<'_>,
    ) -> Result<Loaded> {
        let progress = LoadProgress::new(self.quiet, name);
        let trees = self.input.store.trees();
        let loaded = engine.load(table, trees, self.options, &progress);
        progress.clear();
        loaded.map_err(|error| {
            let error = Error::from(error);
            match self.input.too_many_layers() {
                Some(why) if format!("{error:#}").contains("max depth exceeded") => {
                    error.context(why)
                }
                _ => error,
            }
        })
    }
}

/// Prints what came of it, and the image's ID if any node has it now.
///
/// # Errors
///
/// A node does not have it.
fn report(names: &[String], results: Vec<(String, Result<Loaded>)>, quiet: bool) -> Result<()> {
    let id = results
        .iter()
        .find_map(|(_, result)| result.as_ref().ok().map(|loaded| loaded.image_id));
    if !quiet && id.is_some() {
        for name in names {
            say!("{name}");
        }
    }
    let is_alone = results.len() == 1;
    let mut failed = Vec::new();
    for (node, result) in results {
        match result {
            Ok(_) if quiet => {}
            Ok(loaded) => print_summary(Some(&*node).filter(|_| !is_alone), &loaded),
            Err(error) if is_alone => return Err(error),
            Err(error) => {
                say!("error: {node}: {error:#}");
                failed.push(node);
            }
        }
    }
    if let Some(id) = id {
        console::print(format!("{id}\n"))?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(anyhow!(
        "the image was not loaded into {}",
        failed.join(", ")
    ))
}
