//! What is kept of layers' digests at the end of a run, and what is said about those that were wrong.

use image::layer_cache::LayerCache;
use image::{LayerTable, Witness};

use crate::output::console::say;

/// Keeps what was made. Tells what was remembered wrongly, and why nothing can be kept.
pub fn keep(table: &LayerTable<'_>, cache: &mut LayerCache, quiet: bool) {
    let kept = table.keep(cache);
    if quiet {
        return;
    }
    let file = cache.file().map(|file| file.display().to_string());
    for (witness, text) in [
        (
            Witness::Cache,
            format!(
                "the layer cache {} was wrong about LAYERS, or the files have changed since; it is corrected",
                file.unwrap_or_default()
            ),
        ),
        (
            Witness::Registry,
            "an image in the registry has wrong annotations for LAYERS; they are not followed"
                .to_owned(),
        ),
    ] {
        let disproved = table.disproved();
        let wrong = disproved.iter().filter(|(_, said_by)| *said_by == witness);
        let wrong: Vec<String> = wrong.map(|(index, _)| (index + 1).to_string()).collect();
        if !wrong.is_empty() {
            let plural = if wrong.len() == 1 { "" } else { "s" };
            let layers = format!("layer{plural} {}", wrong.join(", "));
            say!("warning: {}", text.replace("LAYERS", &layers));
        }
    }
    if let Err(error) = kept {
        say!("warning: the digests of this image's layers are not cached: {error}");
    }
}
