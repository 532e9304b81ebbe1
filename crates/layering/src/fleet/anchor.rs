//! What the previous plans settle: images that keep their plan, and layers that are there and that
//! images still need.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::NodeIndex;

use super::members::Members;
use super::request::Fleet;
use super::union::Union;
use crate::plan::Plan;

/// The layers of the previous plans, and who keeps them.
#[derive(Debug)]
pub(crate) struct Anchor {
    /// Each layer whose paths are all still in the fleet, with its paths in their order.
    pub(crate) layers: Vec<Vec<NodeIndex>>,
    /// For each previous plan its layers, the lowest first; `None` for one that is gone.
    pub(crate) chains: Vec<Vec<Option<usize>>>,
    /// For each image, the place in `chains` of the plan that it had.
    pub(crate) chain_of: Vec<Option<usize>>,
    /// For each layer, the images that keep it.
    pub(crate) kept_by: Vec<Members>,
    /// Images whose paths did not change and whose plan is still allowed: it stays as it is.
    pub(crate) frozen: Members,
}

impl Anchor {
    pub(crate) fn new(fleet: &Fleet, union: &Union) -> Self {
        let mut anchor = Self {
            layers: Vec::new(),
            chains: Vec::new(),
            chain_of: Vec::new(),
            kept_by: Vec::new(),
            frozen: Members::none(fleet.images.len()),
        };
        let Some(previous) = &fleet.previous else {
            anchor.chain_of = vec![None; fleet.images.len()];
            return anchor;
        };
        anchor.add_chains(previous.images.values(), union);
        let place = |name: &String| previous.images.keys().position(|other| other == name);
        anchor.chain_of = fleet.images.keys().map(place).collect();

        anchor.kept_by = vec![Members::none(fleet.images.len()); anchor.layers.len()];
        let mut largest_first: Vec<usize> = (0..anchor.layers.len()).collect();
        largest_first.sort_by_cached_key(|&layer| {
            let nodes = &anchor.layers[layer];
            let names = nodes.iter().map(|&node| {
                let path = &union.closure.graph()[node].path;
                (path.name(), path.hash())
            });
            (Reverse(union.size(nodes)), names.collect::<Vec<_>>())
        });
        for (at, (name, image)) in fleet.images.iter().enumerate() {
            let plan = previous.images.get(name);
            if plan.is_some_and(|plan| is_unchanged(union, at, plan, image.max_store_layers)) {
                anchor.frozen.insert(at);
            }
            let own = anchor.chain_of[at].map_or(&[][..], |chain| &anchor.chains[chain]);
            let own = own.iter().flatten().copied();
            let candidates: Vec<usize> = own.chain(largest_first.iter().copied()).collect();
            anchor.take(union, at, candidates);
        }
        anchor
    }

    /// Gives each layer of some plans a number, the same for the same paths in the same order.
    fn add_chains<'a>(&mut self, plans: impl Iterator<Item = &'a Plan>, union: &Union) {
        let mut numbers = BTreeMap::<Vec<NodeIndex>, usize>::new();
        for plan in plans {
            let layers = plan.layers.iter().map(|layer| {
                let nodes = layer.paths.iter().map(|path| union.closure.node(path));
                let nodes: Vec<NodeIndex> = nodes.collect::<Option<_>>()?;
                if nodes.is_empty() {
                    return None;
                }
                Some(*numbers.entry(nodes).or_insert_with_key(|nodes| {
                    self.layers.push(nodes.clone());
                    self.layers.len() - 1
                }))
            });
            self.chains.push(layers.collect());
        }
    }

    /// An image keeps those of the layers that it needs whole, and that hold nothing that it has
    /// already.
    fn take(&mut self, union: &Union, image: usize, candidates: Vec<usize>) {
        let mut taken = BTreeSet::new();
        for layer in candidates {
            let nodes = &self.layers[layer];
            let fits = |node: &NodeIndex| union.needs(image, *node) && !taken.contains(node);
            if nodes.iter().all(fits) {
                taken.extend(nodes.iter().copied());
                self.kept_by[layer].insert(image);
            }
        }
    }
}

fn is_unchanged(union: &Union, image: usize, plan: &Plan, most: usize) -> bool {
    let before = plan.paths().map(|path| union.closure.node(path));
    let before: Option<BTreeSet<NodeIndex>> = before.collect();
    plan.history.is_some()
        && plan.layers.len() <= most
        && before.is_some_and(|before| before.iter().eq(&union.shown[image]))
}
