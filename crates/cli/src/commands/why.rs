//! `why`: why a store path is in the closure, and in which layer.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use indicatif::DecimalBytes;
use nix_compat::StorePath;

use crate::args::WhyArgs;
use crate::output::console;
use crate::resolve::plan::Planned;
use crate::resolve::store::Store;

/// Runs the command.
pub fn run(args: &WhyArgs) -> Result<()> {
    let mut settings = args.image.settings()?;
    settings.store.warn = console::warnings(false);
    let store = Store::open(&settings.store)?;
    let planned = Planned::new(&settings, &store)?;
    let matching = matching(&planned, &args.what, &store)?;
    let explained: Vec<String> = matching
        .iter()
        .map(|path| explain(&planned, path))
        .collect();
    console::print_lines(&explained.join("\n"))
}

/// The store paths that are asked about: one path, or all with a name.
fn matching(planned: &Planned, what: &str, store: &Store) -> Result<Vec<StorePath>> {
    let rooted = &planned.closure;
    if what.contains('/') {
        let path = store.resolve(what.as_ref())?;
        if rooted.closure.node(&path).is_none() {
            bail!("{path} is not in the closure");
        }
        return Ok(vec![path]);
    }
    let paths = rooted.closure.paths().map(|info| &info.path);
    let named = |path: &&StorePath| {
        let version = path
            .name()
            .strip_prefix(what)
            .map(|rest| rest.strip_prefix('-'));
        let is_version =
            matches!(version, Some(Some(rest)) if rest.starts_with(|c: char| c.is_ascii_digit()));
        path.name() == what || path.base_name() == what || is_version
    };
    let mut paths: Vec<StorePath> = paths
        .filter(|path| !rooted.hidden.contains(path))
        .filter(named)
        .cloned()
        .collect();
    paths.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
    if paths.is_empty() {
        bail!("no path of the closure is named `{what}`; `plan` shows the names");
    }
    Ok(paths)
}

/// The chain of references from a root, one line each, and the layer.
fn explain(planned: &Planned, path: &StorePath) -> String {
    let rooted = &planned.closure;
    let chain = layering::why(&rooted.closure, &rooted.hidden, path);
    let mut text = String::new();
    for (depth, path) in chain.iter().flatten().enumerate() {
        let branch = if depth == 0 { "" } else { "└ " };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:indent$}{branch}{path}",
            "",
            indent = 2 * depth.saturating_sub(1)
        );
    }
    if chain.is_none() {
        let _ = writeln!(text, "{path}\nonly holds the closure together");
    }
    let layers = &planned.plan.layers;
    match layers.iter().position(|layer| layer.paths.contains(path)) {
        Some(at) => {
            let layer = &layers[at];
            let company = match layer.paths.len() {
                1 => "alone".to_owned(),
                2 => "with one other path".to_owned(),
                many => format!("with {} other paths", many - 1),
            };
            let _ = writeln!(
                text,
                "layer {} of {}: {}; {company}, {}",
                at + 1,
                layers.len(),
                layer.reason,
                DecimalBytes(layer.size)
            );
        }
        None => text += "in no layer\n",
    }
    text
}
