//! `lock`: prints the plan of an image's layers with the digests of these.

use std::io::Write as _;

use anyhow::{Context, Result};
use image::layer_cache::LayerKey;
use image::{Compression, Image, LayerTable, Spool, StoreLayer, hash_unknown_layers};

use crate::args::LockArgs;
use crate::jobs::jobs;
use crate::output::console::{self, say};
use crate::output::learned;
use crate::output::output_file::OutputFile;
use crate::output::shown;
use crate::resolve::image::ResolvedImage;
use crate::resolve::lock;
use crate::resolve::plan::Planned;

/// Runs the command.
pub fn run(args: &LockArgs) -> Result<()> {
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(false);
    let input = ResolvedImage::new(&settings)?;
    for warning in &input.warnings {
        say!("warning: {warning}");
    }
    let plan = Planned::new(&settings, &input.store)?.plan;
    let output = args.output.as_deref().map(OutputFile::create).transpose()?;
    let text = serde_json::to_string_pretty(&lock::to_json(&plan, &tars(args, &input)?)?)?;
    let text = shown::json(&text) + "\n";
    match (output, &args.output) {
        (Some(output), Some(path)) => {
            let mut file = output.file()?;
            file.write_all(text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            output.finish()
        }
        _ => console::print(text),
    }
}

/// The digests of the layers of store paths. Those that came with the image are not believed, so that
/// a lock has what was hashed on this machine, and no mistake of the lock before.
fn tars(args: &LockArgs, input: &ResolvedImage) -> Result<Vec<Option<(LayerKey, image::TarId)>>> {
    let rules = &input.image.rules;
    let layers = input.image.store_layers.iter().map(|layer| StoreLayer {
        tar: None,
        ..layer.clone()
    });
    let image = Image::of_layers(rules.clone(), layers.collect());
    let mut cache = args.cache.settings().open();
    let table = LayerTable::new(&image, Compression::None)?.with_keys(&input.nar_hashes);
    table.recall(&cache);
    // Each layer is only hashed, so that none has to be kept.
    let spool = Spool::new(0);
    hash_unknown_layers(&table, input.store.trees(), jobs(args.jobs), &spool)?;
    learned::keep(&table, &mut cache, false);
    let tars = image.store_layers.iter().enumerate().map(|(index, layer)| {
        let key = LayerKey::of_paths(rules, &layer.paths, &input.nar_hashes)?;
        Some((key, table.tar(index).value()?))
    });
    Ok(tars.collect())
}
