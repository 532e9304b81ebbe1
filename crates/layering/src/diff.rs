//! The difference of two plans: what a machine that has the old image pulls, and why.

use std::collections::{BTreeSet, HashMap, HashSet};

use nix_compat::StorePath;

use crate::derivation_name::DerivationName;
use crate::plan::Plan;

/// What changes from one plan to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// What happens to each layer of the new plan, the lowest first.
    pub layers: Vec<LayerChange>,
    /// Places of the old plan's layers that the new one does not have, from 0.
    pub gone: Vec<usize>,
    /// What is pulled.
    pub pull: Pull,
    /// Bytes of the paths that are new, whatever the layers: the minimum that any plan pulls. Known
    /// where the new plan tells the sizes of its paths.
    pub floor: Option<u64>,
    /// The paths that the old plan does not have, in the new plan's order.
    pub paths: Vec<PathChange>,
    /// The paths that the new plan does not have, but for those that others of the same package
    /// replace.
    pub dropped: Vec<StorePath>,
}

/// Bytes of layers that are pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pull {
    /// By digest, as registries, containerd and podman identify layers.
    pub by_digest: u64,
    /// By chain, a layer together with all below it, as Docker's classic store and unpacked containerd
    /// snapshots identify layers.
    pub by_chain: u64,
}

/// What happens to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerChange {
    /// It and all layers below it are unchanged: it is not pulled.
    Stays,
    /// The old plan has it at this place, counted from 0, above other layers: it is pulled by chain.
    Moves(usize),
    /// The old plan does not have it: it is pulled.
    New,
}

/// A path that was not there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange {
    /// The path.
    pub path: StorePath,
    /// The path of the same package that it replaces.
    pub before: Option<StorePath>,
    /// NAR size in bytes, where the plan tells it.
    pub size: Option<u64>,
    /// The lowest changed paths below it, which made it change; itself where nothing below it
    /// changed. Empty where the plan does not tell what refers to what.
    pub causes: Vec<StorePath>,
}

impl Diff {
    /// What changes from `old` to `new`.
    pub fn new(old: &Plan, new: &Plan) -> Self {
        let mut pull = Pull::default();
        let mut in_place = true;
        let places: HashMap<&[StorePath], usize> = paths_of(old).zip(0..).collect();
        let mut layers = Vec::with_capacity(new.layers.len());
        for (at, layer) in new.layers.iter().enumerate() {
            in_place &= old.layers.get(at).map(|old| &old.paths) == Some(&layer.paths);
            let change = match places.get(&layer.paths[..]) {
                Some(_) if in_place => LayerChange::Stays,
                Some(&place) => LayerChange::Moves(place),
                None => LayerChange::New,
            };
            if change != LayerChange::Stays {
                pull.by_chain = pull.by_chain.saturating_add(layer.size);
            }
            if change == LayerChange::New {
                pull.by_digest = pull.by_digest.saturating_add(layer.size);
            }
            layers.push(change);
        }
        let still: HashSet<&[StorePath]> = paths_of(new).collect();
        let gone = paths_of(old)
            .zip(0..)
            .filter(|(paths, _)| !still.contains(paths));
        let paths = changed_paths(old, new);
        let replaced: BTreeSet<&StorePath> = paths
            .iter()
            .filter_map(|path| path.before.as_ref())
            .collect();
        let there: BTreeSet<&StorePath> = new.paths().collect();
        let is_dropped = |path: &&StorePath| !there.contains(path) && !replaced.contains(path);
        let mut sizes = paths.iter().map(|path| path.size);
        Self {
            layers,
            gone: gone.map(|(_, place)| place).collect(),
            pull,
            floor: sizes.try_fold(0u64, |sum, size| Some(sum.saturating_add(size?))),
            dropped: old.paths().filter(is_dropped).cloned().collect(),
            paths,
        }
    }
}

fn paths_of(plan: &Plan) -> impl Iterator<Item = &[StorePath]> {
    plan.layers.iter().map(|layer| &layer.paths[..])
}

fn changed_paths(old: &Plan, new: &Plan) -> Vec<PathChange> {
    let before: HashSet<&StorePath> = old.paths().collect();
    let is_new: Vec<bool> = new.paths().map(|path| !before.contains(path)).collect();
    let causes = causes(new, &is_new);
    let mut replaced = Replaced::new(old, new);
    let paths = new.paths().enumerate().filter(|&(at, _)| is_new[at]);
    paths
        .map(|(at, path)| PathChange {
            path: path.clone(),
            before: replaced.by(path),
            size: new.graph.as_ref().map(|graph| graph.sizes()[at]),
            causes: causes[at].clone(),
        })
        .collect()
}

/// The lowest new paths below each new path.
fn causes(plan: &Plan, is_new: &[bool]) -> Vec<Vec<StorePath>> {
    let mut causes = vec![BTreeSet::new(); is_new.len()];
    let graph = plan.graph.as_ref();
    let order = graph.and_then(|graph| Some((graph, graph.dependencies_first()?)));
    if let Some((graph, order)) = order {
        for node in order {
            let node = node as usize;
            if !is_new[node] {
                continue;
            }
            let references = &graph.references()[node];
            let below = references
                .iter()
                .flat_map(|&reference| &causes[reference as usize]);
            let mut below: BTreeSet<usize> = below.copied().collect();
            if below.is_empty() {
                below.insert(node);
            }
            causes[node] = below;
        }
    }
    let paths: Vec<&StorePath> = plan.paths().collect();
    let named = |causes: BTreeSet<usize>| causes.into_iter().map(|at| paths[at].clone()).collect();
    causes.into_iter().map(named).collect()
}

/// The old paths that are gone, by what tells which new one takes the place of each.
struct Replaced<'a> {
    by_name: HashMap<&'a str, Vec<&'a StorePath>>,
    by_package: HashMap<&'a str, Vec<&'a StorePath>>,
}

impl<'a> Replaced<'a> {
    fn new(old: &'a Plan, new: &Plan) -> Self {
        let there: HashSet<&StorePath> = new.paths().collect();
        let names: HashSet<&str> = new.paths().map(StorePath::name).collect();
        let mut replaced = Self {
            by_name: HashMap::new(),
            by_package: HashMap::new(),
        };
        for path in old.paths().filter(|path| !there.contains(path)) {
            replaced.by_name.entry(path.name()).or_default().push(path);
            if !names.contains(path.name()) {
                let package = DerivationName::parse(path.name()).package;
                replaced.by_package.entry(package).or_default().push(path);
            }
        }
        replaced
    }

    /// The old path of the same name, else the only one of the same package.
    fn by(&mut self, path: &StorePath) -> Option<StorePath> {
        if let Some(old) = self.by_name.get_mut(path.name()) {
            return old.pop().cloned();
        }
        let package = DerivationName::parse(path.name()).package;
        match self.by_package.get(package).map(Vec::as_slice) {
            Some([only]) => Some((*only).clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closure::Closure;
    use crate::plan::Reason;
    use crate::planning::plan;
    use crate::request::{Request, Strategy};
    use crate::testing::{closure, path};

    fn old_and_new() -> (Closure, Closure) {
        let old = closure(&[
            ("libc-1", 100_000, &[]),
            ("fonts-1", 300_000, &[]),
            ("ssl-1.0", 200_000, &["libc-1"]),
            ("extra-1", 90_000, &["libc-1"]),
            ("app-1", 150_000, &["ssl-1.0", "extra-1"]),
        ]);
        let new = closure(&[
            ("libc-1", 100_000, &[]),
            ("fonts-1", 300_000, &[]),
            ("ssl-1.1", 210_000, &["libc-1"]),
            ("jq-1", 80_000, &["libc-1"]),
            ("app-2", 150_000, &["ssl-1.1", "jq-1"]),
        ]);
        (old, new)
    }

    fn layers(closure: &Closure, layers: &[&[&str]]) -> Plan {
        let node = |name: &&str| closure.node(&path(name)).unwrap();
        let layers = layers.iter().map(|names| {
            let nodes = names.iter().map(node).collect();
            (nodes, Reason::Rest)
        });
        Plan::new(closure, layers)
    }

    #[test]
    fn what_is_pulled_and_why() {
        let (old, new) = old_and_new();
        let old = layers(
            &old,
            &[
                &["libc-1"],
                &["ssl-1.0"],
                &["fonts-1"],
                &["extra-1", "app-1"],
            ],
        );
        let new = layers(
            &new,
            &[
                &["libc-1"],
                &["ssl-1.1"],
                &["fonts-1"],
                &["jq-1"],
                &["app-2"],
            ],
        );
        let diff = Diff::new(&old, &new);
        use LayerChange::{Moves, New, Stays};
        assert_eq!(diff.layers, [Stays, New, Moves(2), New, New]);
        assert_eq!(diff.gone, [1, 3]);
        let by_digest = 210_000 + 80_000 + 150_000;
        assert_eq!(
            diff.pull,
            Pull {
                by_digest,
                by_chain: by_digest + 300_000
            }
        );
        assert_eq!(diff.floor, Some(by_digest));
        assert_eq!(diff.dropped, [path("extra-1")]);
        let changes: Vec<_> = diff
            .paths
            .iter()
            .map(|change| {
                (
                    change.path.name(),
                    change.before.as_ref().map(StorePath::name),
                    change
                        .causes
                        .iter()
                        .map(StorePath::name)
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(
            changes,
            [
                ("ssl-1.1", Some("ssl-1.0"), vec!["ssl-1.1"]),
                ("jq-1", None, vec!["jq-1"]),
                ("app-2", Some("app-1"), vec!["ssl-1.1", "jq-1"]),
            ]
        );
    }

    #[test]
    fn the_same_plan_pulls_nothing() {
        let (old, _) = old_and_new();
        let plan = plan(&old, &Request::new(Strategy::Stable, 5)).unwrap();
        let diff = Diff::new(&plan, &plan);
        assert!(diff.layers.iter().all(|layer| *layer == LayerChange::Stays));
        assert_eq!((diff.pull, diff.floor), (Pull::default(), Some(0)));
        assert!(diff.gone.is_empty() && diff.paths.is_empty() && diff.dropped.is_empty());
    }

    #[test]
    fn without_sizes_and_references_the_layers_tell_what_they_can() {
        let (old, new) = old_and_new();
        let plans =
            [&old, &new].map(|closure| plan(closure, &Request::new(Strategy::Auto, 4)).unwrap());
        let bare = Plan {
            graph: None,
            ..plans[1].clone()
        };
        let diff = Diff::new(&plans[0], &bare);
        assert_eq!(diff.floor, None);
        assert_eq!(diff.paths.len(), 3);
        assert!(
            diff.paths
                .iter()
                .all(|change| change.causes.is_empty() && change.size.is_none())
        );
        assert_eq!(diff.pull, Diff::new(&plans[0], &plans[1]).pull);
    }
}
