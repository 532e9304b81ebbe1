//! How a path and its layer are shown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indicatif::DecimalBytes;
use layering::{Closure, PlannedLayer};
use nix_compat::StorePath;

/// The chain of references from a root, one line each.
pub fn chain(closure: &Closure, hidden: &BTreeSet<StorePath>, path: &StorePath) -> String {
    let Some(chain) = layering::why(closure, hidden, path) else {
        return format!("{path}\nonly holds the closure together\n");
    };
    let mut text = String::new();
    for (depth, path) in chain.iter().enumerate() {
        let branch = if depth == 0 { "" } else { "└ " };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:indent$}{branch}{path}",
            "",
            indent = 2 * depth.saturating_sub(1)
        );
    }
    text
}

/// Why the layer is one, and what else is in it.
pub fn layer(layer: &PlannedLayer) -> String {
    let company = match layer.paths.len() {
        1 => "alone".to_owned(),
        2 => "with one other path".to_owned(),
        many => format!("with {} other paths", many - 1),
    };
    format!("{}; {company}, {}", layer.reason, DecimalBytes(layer.size))
}
