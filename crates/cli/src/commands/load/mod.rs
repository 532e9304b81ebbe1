//! `load`: sends images to container engines, without the layers that each of them already has.

mod nodes;

use std::panic::resume_unwind;
use std::thread::{self, Builder};

use anyhow::{Context, Error, Result, anyhow};
use engine::{Engine, Loaded, Options};
use image::layer_cache::LayerCache;
use image::{
    BlobWriters, Compression, LayerTable, Spool, hash_doubtful_layers, hash_unkeyed_layers,
    hash_unknown_layers,
};
use indicatif::DecimalBytes;
use oci::reference::check_name;

use self::nodes::{Node, Nodes};
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
    let images = settings.for_each_image()?;
    let inputs = images.iter().map(ResolvedImage::new);
    let inputs: Vec<ResolvedImage> = inputs.collect::<Result<_>>()?;
    for name in inputs.iter().flat_map(|input| &input.image.repo_tags) {
        check_name(name).context("the image cannot be loaded")?;
    }
    let mut nodes = Nodes::open(&args.to);
    let is_one_node = nodes.is_one();
    if is_one_node && let Some((_, error)) = nodes.missing.pop() {
        return Err(error);
    }
    if !args.quiet {
        for warning in inputs.iter().flat_map(|input| &input.warnings) {
            say!("warning: {warning}");
        }
        nodes.introduce();
    }
    nodes.leave_nothing_when_stopped()?;
    let mut failures = Failures {
        is_one: is_one_node && inputs.len() == 1,
        names: Vec::new(),
    };
    for (name, error) in nodes.missing.drain(..) {
        failures.add(name, error)?;
    }
    let mut cache = args.cache.settings().open();
    // One after the other: an engine has what the image before shares with the next one.
    for input in &inputs {
        let spool = Spool::new(args.spool.spool_size);
        // What one of several engines was sent is there for the others.
        let spool = if is_one_node { spool } else { spool.shared() };
        let job = Job {
            input,
            options: Options {
                jobs: jobs(args.jobs),
                verify: args.verify,
                spool: &spool,
            },
            compression: args.compression,
            quiet: args.quiet,
            is_one_node,
        };
        let results = job.load(&nodes.there, &mut cache);
        signals::let_stop();
        made_twice::tell(&spool, args.quiet);
        job.report(&nodes.there, results?, inputs.len() == 1, &mut failures)?;
    }
    failures.judge()
}

/// What went wrong with some engines or images, while the others go on.
struct Failures {
    /// Whether there is but one engine and one image.
    is_one: bool,
    names: Vec<String>,
}

impl Failures {
    /// Tells what went wrong.
    ///
    /// # Errors
    ///
    /// It was all that there was to do.
    fn add(&mut self, name: String, error: Error) -> Result<()> {
        if self.is_one {
            return Err(error);
        }
        say!("error: {name}: {error:#}");
        self.names.push(name);
        Ok(())
    }

    /// Fails if something went wrong.
    fn judge(self) -> Result<()> {
        match &self.names[..] {
            [] => Ok(()),
            names => Err(anyhow!("not loaded into {}", names.join(", "))),
        }
    }
}

/// An image that is loaded, and how.
struct Job<'a> {
    input: &'a ResolvedImage,
    options: Options<'a>,
    /// For engines that keep blobs.
    compression: Compression,
    quiet: bool,
    is_one_node: bool,
}

impl Job<'_> {
    /// Loads into all nodes at once; gives what came of it for each of them.
    ///
    /// # Errors
    ///
    /// The image cannot be made.
    fn load(&self, nodes: &[Node], cache: &mut LayerCache) -> Result<Vec<Result<Loaded>>> {
        if let ([node], true) = (nodes, self.is_one_node) {
            let table = self.table(self.is_compressed_for(node), cache)?;
            let loaded = self.load_into(&node.engine, None, &table);
            learned::keep(&table, cache, self.quiet);
            return Ok(vec![loaded]);
        }
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        // Once for all nodes that take the same.
        let mut bases: [Option<LayerTable<'_>>; 2] = [None, None];
        for node in nodes {
            let is_compressed = self.is_compressed_for(node);
            let base = &mut bases[usize::from(is_compressed)];
            if base.is_none() {
                let table = self.table(is_compressed, cache)?;
                let learned = self.learn(&table);
                learned::keep(&table, cache, self.quiet);
                learned?;
                *base = Some(table);
            }
        }
        let base = |node: &Node| bases[usize::from(self.is_compressed_for(node))].as_ref();
        let tables = nodes.iter().filter_map(base).map(LayerTable::fork);
        let tables: Vec<LayerTable<'_>> = tables.collect();
        let results = thread::scope(|scope| {
            let threads = nodes.iter().zip(&tables).map(|(node, table)| {
                let load = move || self.load_into(&node.engine, Some(&node.name), table);
                Builder::new().spawn_scoped(scope, load)
            });
            let threads: Vec<_> = threads.collect();
            let results = threads.into_iter().map(|thread| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(error) => Err(engine::Error::Thread(error).into()),
            });
            results.collect()
        });
        for table in &tables {
            learned::keep(table, cache, self.quiet);
        }
        Ok(results)
    }

    fn is_compressed_for(&self, node: &Node) -> bool {
        self.compression != Compression::None && node.engine.keeps_blobs()
    }

    /// The layers as an engine takes them.
    fn table(&self, is_compressed: bool, cache: &LayerCache) -> Result<LayerTable<'_>> {
        if !is_compressed {
            return layer_table(self.input, Compression::None, cache);
        }
        let table = layer_table(self.input, self.compression, cache)?;
        // What a layer without a key is remembered by is its tar.
        hash_unkeyed_layers(&table, self.input.store.trees(), self.options.jobs)?;
        table.recall(cache);
        Ok(table)
    }

    /// Learns what is not known of any layer, or not for sure.
    fn learn(&self, table: &LayerTable<'_>) -> Result<()> {
        let trees = self.input.store.trees();
        let Options { jobs, spool, .. } = self.options;
        if self.options.verify {
            hash_doubtful_layers(table, trees, jobs, spool)?;
        } else if table.compression() == Compression::None {
            hash_unknown_layers(table, trees, jobs, spool)?;
        }
        let unknown = (0..table.len()).filter(|index| table.blob(*index).is_none());
        let unknown: Vec<usize> = unknown.collect();
        Ok(BlobWriters::new(table, trees, jobs).make(&unknown)?)
    }

    fn load_into(
        &self,
        engine: &Engine,
        name: Option<&str>,
        table: &LayerTable<'_>,
    ) -> Result<Loaded> {
        self.input.check_layers(engine.layer_limit())?;
        let progress = LoadProgress::new(self.quiet, name);
        let trees = self.input.store.trees();
        let loaded = engine.load(table, trees, self.options, &progress);
        progress.clear();
        let loaded = loaded?;
        if table.compression() == Compression::None && engine.pushes_blobs() && !self.quiet {
            tell_of_push(&loaded);
        }
        Ok(loaded)
    }

    /// Prints what came of it, and the image's ID if any node has it now.
    ///
    /// # Errors
    ///
    /// The only node does not have the only image.
    fn report(
        &self,
        nodes: &[Node],
        results: Vec<Result<Loaded>>,
        is_one_image: bool,
        failures: &mut Failures,
    ) -> Result<()> {
        let names = &self.input.image.repo_tags;
        let mut loaded = results.iter().filter_map(|result| result.as_ref().ok());
        let id = loaded.next().map(|loaded| loaded.image_id);
        if !self.quiet && id.is_some() {
            for name in names {
                say!("{name}");
            }
        }
        for (node, result) in nodes.iter().zip(results) {
            let name = Some(node.name.as_str()).filter(|_| !self.is_one_node);
            match result {
                Ok(_) if self.quiet => {}
                Ok(loaded) => print_summary(name, &loaded),
                Err(error) => {
                    let image = names.first().filter(|_| !is_one_image);
                    let name = [name, image.map(String::as_str)];
                    let name: Vec<&str> = name.into_iter().flatten().collect();
                    failures.add(name.join(": "), error)?;
                }
            }
        }
        match id {
            Some(id) => console::print(format!("{id}\n")),
            None => Ok(()),
        }
    }
}

/// Tells what `docker push` would make of an image whose layers are not compressed.
fn tell_of_push(loaded: &Loaded) {
    say!(
        "note: `docker push` would send this image without compression, {}; push it with `stream-layered push`, \
         or load it with `--compression gzip`",
        DecimalBytes(loaded.bytes)
    );
}
