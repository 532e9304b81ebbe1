//! Limits that an image or a release must keep, so that CI fails when one grows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use indicatif::DecimalBytes;
use layering::{Closure, Diff, FleetDiff, PathChange, Plan};
use nix_compat::StorePath;

use crate::resolve::byte_size::byte_size;

/// How many paths or packages are named for a limit that is exceeded.
const NAMED: usize = 5;

/// The most that an image may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanBudget {
    /// Bytes of all store paths.
    size: Option<u64>,
    /// Bytes of the store paths in any layer.
    layer: Option<u64>,
    /// Store paths.
    closure: Option<u64>,
}

/// The most that a release may cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffBudget {
    /// Bytes that are pulled by digest.
    pull: Option<u64>,
}

/// Sets the limits in `KEY=VALUE,…`.
fn parse(
    text: &str,
    mut set: impl FnMut(&str, &str) -> Result<bool, String>,
) -> Result<(), String> {
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("`{part}` is not KEY=VALUE"))?;
        if !set(key.trim(), value.trim()).map_err(|why| format!("`{part}`: {why}"))? {
            return Err(format!("`{part}` is given twice"));
        }
    }
    Ok(())
}

impl FromStr for PlanBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut budget = Self::default();
        parse(text, |key, value| {
            let (limit, value) = match key {
                "size" => (&mut budget.size, byte_size(value)?),
                "layer" => (&mut budget.layer, byte_size(value)?),
                "closure" => {
                    let paths = value.parse();
                    let paths = paths.map_err(|_| "expected a number of store paths")?;
                    (&mut budget.closure, paths)
                }
                _ => return Err("expected one of size, layer and closure".to_owned()),
            };
            Ok(limit.replace(value).is_none())
        })?;
        Ok(budget)
    }
}

impl FromStr for DiffBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut budget = Self::default();
        parse(text, |key, value| match key {
            "pull" => Ok(budget.pull.replace(byte_size(value)?).is_none()),
            _ => Err("expected pull".to_owned()),
        })?;
        Ok(budget)
    }
}

/// What exceeds a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// The limits, and what there is: one line.
    pub what: String,
    /// What takes most, and why it is there: a line each.
    pub why: Vec<String>,
}

impl Exceeded {
    fn new(what: &[String], why: Vec<String>) -> Option<Self> {
        let what = what.join(", ");
        (!what.is_empty()).then_some(Self { what, why })
    }
}

fn bytes(what: &str, is: u64, limit: Option<u64>) -> Option<String> {
    let limit = limit.filter(|&limit| is > limit)?;
    let (is, limit) = (DecimalBytes(is), DecimalBytes(limit));
    Some(format!("{what} {is} of {limit}"))
}

impl PlanBudget {
    /// What of a plan exceeds the budget. With a previous plan, the paths that are new since are named,
    /// else all, the largest first, each with a shortest chain of references from a root.
    pub fn exceeded(
        &self,
        closure: &Closure,
        hidden: &BTreeSet<StorePath>,
        plan: &Plan,
        previous: Option<&Plan>,
    ) -> Option<Exceeded> {
        let largest = plan.layers.iter().enumerate();
        let largest = largest.max_by_key(|(at, layer)| (layer.size, Reverse(*at)));
        let paths = plan.paths().count() as u64;
        let over = |&limit: &u64| paths > limit;
        let what: Vec<String> = [
            bytes("size", plan.size(), self.size),
            largest.and_then(|(at, layer)| {
                bytes(&format!("layer {}", at + 1), layer.size, self.layer)
            }),
            self.closure
                .filter(over)
                .map(|limit| format!("closure {paths} store paths of {limit}")),
        ]
        .into_iter()
        .flatten()
        .collect();

        let layer_alone = what.len() == 1 && what[0].starts_with("layer ");
        let before: BTreeSet<&StorePath> = previous.into_iter().flat_map(Plan::paths).collect();
        let candidates = match largest {
            Some((_, layer)) if layer_alone => layer.paths.iter().collect(),
            _ => plan.paths().collect::<Vec<_>>(),
        };
        let size = |path: &StorePath| closure.get(path).map_or(0, |info| info.nar_size);
        let mut named: Vec<&StorePath> = candidates.clone();
        named.retain(|path| !before.contains(path));
        let what_they_are = if before.is_empty() {
            "largest"
        } else if named.is_empty() {
            named = candidates;
            "largest, none is new"
        } else {
            "largest of those that are new"
        };
        named.sort_by_key(|path| (Reverse(size(path)), path.name(), path.hash()));
        let mut why = vec![format!("store paths, the {what_they_are}:")];
        why.extend(named.into_iter().take(NAMED).map(|path| {
            let chain = layering::why(closure, hidden, path).unwrap_or_default();
            let chain: Vec<&str> = chain.iter().map(StorePath::name).collect();
            format!("{}  {}", DecimalBytes(size(path)), chain.join(" → "))
        }));
        Exceeded::new(&what, why)
    }
}

impl DiffBudget {
    /// What of a release exceeds the budget, and which packages changed by themselves, those first for
    /// which most is pulled.
    pub fn exceeded(&self, diff: &Diff) -> Option<Exceeded> {
        let what = bytes("pull", diff.pull.by_digest, self.pull)?;
        let mut because = BTreeMap::<&str, (u64, usize)>::new();
        for change in &diff.paths {
            let entry = because.entry(cause(change)).or_default();
            entry.0 += change.size.unwrap_or(0);
            entry.1 += 1;
        }
        let mut because: Vec<(&str, (u64, usize))> = because.into_iter().collect();
        because.sort_by_key(|&(name, (size, paths))| (Reverse((size, paths)), name));
        let mut why = vec!["store paths that changed, by what made them change:".to_owned()];
        why.extend(
            because
                .into_iter()
                .take(NAMED)
                .map(|(name, (size, paths))| {
                    let paths = match paths {
                        1 => "1 path".to_owned(),
                        many => format!("{many} paths"),
                    };
                    format!("{}  {name}: {paths}", DecimalBytes(size))
                }),
        );
        Exceeded::new(&[what], why)
    }

    /// What of a fleet's release exceeds the budget, for all images together, each layer once; and which
    /// packages move most.
    pub fn exceeded_by_fleet(&self, diff: &FleetDiff) -> Option<Exceeded> {
        let what = bytes("pull", diff.pull.by_digest, self.pull)?;
        let mut why = vec!["layers that are downloaded, by what changed or is new:".to_owned()];
        why.extend(diff.packages.iter().take(NAMED).map(|change| {
            let images: Vec<&str> = change.images.keys().map(String::as_str).collect();
            let size = DecimalBytes(change.size);
            format!("{size}  {}: in {}", change.package, images.join(", "))
        }));
        let new_images = diff.images.iter().filter(|(_, image)| image.is_new);
        why.extend(new_images.map(|(name, image)| {
            let size = DecimalBytes(image.diff.pull.by_digest);
            format!("{size}  {name}: the image is new")
        }));
        Exceeded::new(&[what], why)
    }
}

/// What made a path change: the first of what changed below it, or itself.
fn cause(change: &PathChange) -> &str {
    change.causes.first().unwrap_or(&change.path).name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_keys_and_units() {
        let budget: PlanBudget = "size=200MB, layer=60MiB,closure=400".parse().unwrap();
        assert_eq!(budget.size, Some(200_000_000));
        assert_eq!(budget.layer, Some(60 << 20));
        assert_eq!(budget.closure, Some(400));
        for text in [
            "",
            "size",
            "size=",
            "size=1,size=2",
            "pull=1",
            "closure=1MB",
            "size=1,",
        ] {
            assert!(text.parse::<PlanBudget>().is_err(), "{text}");
        }
        assert_eq!(
            "pull=5MB".parse(),
            Ok(DiffBudget {
                pull: Some(5_000_000)
            })
        );
        assert!("size=5MB".parse::<DiffBudget>().is_err());
    }
}
