//! The store paths that are asked about.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use layering::Closure;
use nix_compat::StorePath;

use crate::resolve::store::Store;

/// One path, or all with a name, of some closures with what each hides.
///
/// # Errors
///
/// There is none.
pub fn matching(
    closures: &[(&Closure, &BTreeSet<StorePath>)],
    what: &str,
    store: &Store,
) -> Result<Vec<StorePath>> {
    let the_closure = match closures.len() {
        1 => "the closure",
        _ => "any of the closures",
    };
    if what.contains('/') {
        let path = store.resolve(what.as_ref())?;
        let mut closures = closures.iter();
        if closures.all(|(closure, _)| closure.node(&path).is_none()) {
            bail!("{path} is not in {the_closure}");
        }
        return Ok(vec![path]);
    }
    let named = |path: &&StorePath| {
        let version = path
            .name()
            .strip_prefix(what)
            .map(|rest| rest.strip_prefix('-'));
        let is_version =
            matches!(version, Some(Some(rest)) if rest.starts_with(|c: char| c.is_ascii_digit()));
        path.name() == what || path.base_name() == what || is_version
    };
    let paths = closures.iter().flat_map(|(closure, hidden)| {
        let paths = closure.paths().map(|info| &info.path);
        paths.filter(|path| !hidden.contains(path))
    });
    let mut paths: Vec<StorePath> = paths.filter(named).cloned().collect();
    paths.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
    paths.dedup();
    if paths.is_empty() {
        bail!("no path of {the_closure} is named `{what}`; `plan` shows the names");
    }
    Ok(paths)
}
