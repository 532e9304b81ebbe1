//! Why a store path is in an image, and in which layer.

use anyhow::Result;
use nix_compat::StorePath;

use super::chain;
use super::matching::matching;
use crate::args::WhyArgs;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::plan::Planned;
use crate::resolve::store::Store;

/// What the command prints.
pub fn text(args: &WhyArgs, settings: &ImageSettings, store: &Store) -> Result<String> {
    let planned = Planned::new(settings, store)?;
    let rooted = &planned.closure;
    let matching = matching(&[(&rooted.closure, &rooted.hidden)], &args.what, store)?;
    let explained = matching.iter().map(|path| explain(&planned, path));
    Ok(explained.collect::<Vec<_>>().join("\n"))
}

/// The chain of references from a root, and the layer.
fn explain(planned: &Planned, path: &StorePath) -> String {
    let rooted = &planned.closure;
    let layers = &planned.plan.layers;
    let in_layer = match layers.iter().position(|layer| layer.paths.contains(path)) {
        Some(at) => {
            let layer = chain::layer(&layers[at]);
            format!("layer {} of {}: {layer}", at + 1, layers.len())
        }
        None => "in no layer".to_owned(),
    };
    chain::chain(&rooted.closure, &rooted.hidden, path) + &in_layer + "\n"
}
