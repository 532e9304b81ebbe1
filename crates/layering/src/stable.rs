//! Stable: layers that survive releases. They follow how change spreads through the graph, keep the
//! layout of the previous plan, and put what changes most on top.
//!
//! 1. The previous plan says how often each package changed ([`crate::history`]); with that each
//!    path's closure tells how likely the path changes ([`crate::risk`]).
//! 2. A layer of the previous plan whose paths are all still there need not be pulled again if it stays
//!    as it is, nor, where layers are known by chain, what stands on it.
//! 3. These layers and the other paths are joined where that costs least ([`crate::merge`]): what the
//!    stay of a layer saves is weighed against what it costs that others have no layer of their own.
//!    A few of the layers that there may be are left for later releases.
//! 4. What does not stand in its place yet is put above in a good order ([`crate::order`]).

use std::collections::BTreeSet;

use nix_compat::StorePath;
use petgraph::graph::NodeIndex;

use crate::asked::{Asked, Overlap};
use crate::closure::Closure;
use crate::derivation_name::DerivationName;
use crate::history::History;
use crate::merge::{Group, Kept, merge};
use crate::order::{order, stacked};
use crate::plan::{Plan, Reason};
use crate::request::{PlanError, Request};
use crate::risk::{Risks, chance};

/// One layer in so many is left free for what later releases add. Without any, a new package would
/// have to join a layer, which changes with it, or take the place of one. To leave a few free costs
/// little: the groups that are joined for it are those that cost least to join.
const RESERVE: usize = 16;

/// How many releases a layout is taken to last: what is pulled once to change it is spread over so many.
const LASTS: f64 = 15.0;

/// With fewer layers than this there is none to leave free.
const LEAST_TO_RESERVE: usize = 4;

pub(crate) fn plan(
    closure: &Closure,
    request: &Request,
    shown: &[NodeIndex],
) -> Result<Plan, PlanError> {
    let asked = Asked::new(closure, shown, &request.layers, request.max_store_layers)?;
    let mut history = History::default();
    let mut before = BTreeSet::new();
    if let Some(previous) = &request.previous {
        before = previous.paths().collect();
        let now: BTreeSet<&StorePath> = shown
            .iter()
            .map(|&node| &closure.graph()[node].path)
            .collect();
        let fits = previous.history.is_some() && previous.layers.len() <= request.max_store_layers;
        if fits && before == now && asked.are_in(closure, previous) {
            return Ok(keep_previous(closure, previous));
        }
        history = previous
            .history
            .clone()
            .unwrap_or_default()
            .after(&before, closure);
    }
    let hidden = |node: NodeIndex| request.hidden.contains(&closure.graph()[node].path);
    let planner = Planner {
        closure,
        risks: Risks::new(closure, &history, hidden),
        most: request.max_store_layers,
        min_size: request.min_layer_size,
        asked,
    };
    let mut plan = planner.plan(shown, request.previous.as_ref(), &before);
    plan.history = Some(history);
    Ok(plan)
}

/// The previous plan, with what the closure says of its paths: a file may say anything.
fn keep_previous(closure: &Closure, previous: &Plan) -> Plan {
    let layers = previous.layers.iter().map(|layer| {
        let nodes = layer.paths.iter().filter_map(|path| closure.node(path));
        (nodes.collect(), layer.reason.clone())
    });
    let mut plan = Plan::new(closure, layers);
    for (layer, before) in plan.layers.iter_mut().zip(&previous.layers) {
        layer.chance_per_mille = before.chance_per_mille;
    }
    plan.history = previous.history.clone();
    plan
}

struct Planner<'a> {
    closure: &'a Closure,
    risks: Risks,
    most: usize,
    min_size: u64,
    asked: Asked,
}

struct Layer {
    group: Group,
    reason: Reason,
}

/// What is settled of the layers, and what is not.
struct Draft {
    /// Each layer of the previous plan, unless it cannot stay.
    kept: Vec<Option<Layer>>,
    /// Layers that are not of the previous plan.
    new: Vec<Layer>,
    /// Paths that are in none of these.
    free: BTreeSet<NodeIndex>,
}

/// How many layers of the previous plan, from the lowest, are all there.
fn in_place(kept: &[Option<Layer>]) -> usize {
    kept.iter().take_while(|layer| layer.is_some()).count()
}

/// Takes out the layers of the previous plan that may be joined with others: those that are not asked
/// for. What stands on a layer in its place is pulled again by chain if it goes.
fn take_unasked(kept: &mut [Option<Layer>]) -> Vec<Group> {
    let in_place = in_place(kept);
    let mut above = 0;
    let mut groups = Vec::new();
    for (place, slot) in kept.iter_mut().enumerate().rev() {
        let Some(layer) = slot.take_if(|layer| layer.reason != Reason::Asked) else {
            continue;
        };
        let mut group = layer.group;
        if place < in_place {
            above += group.size;
        }
        let by_chain = if place < in_place { above } else { 0 };
        let saves = (group.size + by_chain) as f64 / LASTS;
        group.kept = Some(Kept { place, saves });
        groups.push(group);
    }
    groups.reverse();
    groups
}

impl Planner<'_> {
    fn plan(
        &self,
        shown: &[NodeIndex],
        previous: Option<&Plan>,
        before: &BTreeSet<&StorePath>,
    ) -> Plan {
        let Draft {
            mut kept,
            mut new,
            free,
        } = self.anchor(shown, previous);
        let broken = kept.iter().filter(|layer| layer.is_none()).count();
        let below = in_place(&kept);
        let mut groups = take_unasked(&mut kept);
        let asked = new.len() + kept.iter().flatten().count();

        let free = self.by_name(free);
        let room = self.most.saturating_sub(asked + groups.len());
        let budget = groups.len() + self.budget(room, broken, &free, before);
        let alike = self.risks.alike(free).into_iter();
        groups.extend(alike.map(|nodes| self.group(nodes)));
        if previous.is_some() {
            self.expect_stack(&mut groups, below);
        }
        let most = budget.min(self.most - asked).max(1);
        for group in merge(&self.risks, groups, most, self.min_size) {
            if let Some(Kept { place, .. }) = group.kept {
                let reason = Reason::Kept;
                kept[place] = Some(Layer { group, reason });
            } else {
                let reason = self.reason(&group);
                new.push(self.layer(self.by_name(group.nodes), reason));
            }
        }

        let mut layers = self.stack(kept, new);
        self.put_asked_in_order(&mut layers);
        let chances: Vec<f64> = layers.iter().map(|layer| layer.group.chance).collect();
        let layers = layers
            .into_iter()
            .map(|layer| (layer.group.nodes, layer.reason));
        let mut plan = Plan::new(self.closure, layers);
        for (layer, chance) in plan.layers.iter_mut().zip(chances) {
            layer.chance_per_mille = Some((chance * 1_000.0).round() as u16);
        }
        plan
    }

    /// What the previous plan and the request settle.
    fn anchor(&self, shown: &[NodeIndex], previous: Option<&Plan>) -> Draft {
        let layers = previous.map_or(&[][..], |plan| &plan.layers);
        let kept: Vec<Option<Layer>> = layers
            .iter()
            .map(|layer| self.keep(shown, &layer.paths))
            .collect();
        let mut free: BTreeSet<NodeIndex> = shown.iter().copied().collect();
        for node in kept.iter().flatten().flat_map(|layer| &layer.group.nodes) {
            free.remove(node);
        }
        let mut new = Vec::new();
        for nodes in self.asked.sets() {
            if nodes.iter().any(|node| free.contains(node)) {
                nodes.iter().for_each(|node| _ = free.remove(node));
                new.push(self.layer(self.by_name(nodes.iter().copied()), Reason::Asked));
            }
        }
        Draft { kept, new, free }
    }

    /// Notes how often each group, or what is below it, is expected to change. The first groups are the
    /// layers of the previous plan, and those with a place lower than `in_place` stand where they stood.
    fn expect_stack(&self, groups: &mut [Group], in_place: usize) {
        let stands = |group: &Group| group.kept.is_some_and(|kept| kept.place < in_place);
        let standing = groups.iter().take_while(|group| stands(group)).count();
        let (standing, others) = groups.split_at_mut(standing);
        let mut below = self.risks.none();
        for group in standing {
            below.add(&group.derivations);
            group.stacked = chance(self.risks.odds_of(&below));
        }
        let refs: Vec<&Group> = others.iter().collect();
        let chances = stacked(&self.risks, &below, &refs);
        for (group, stacked) in others.iter_mut().zip(chances) {
            group.stacked = stacked;
        }
    }

    fn group(&self, nodes: Vec<NodeIndex>) -> Group {
        let graph = self.closure.graph();
        let size = nodes.iter().map(|&node| graph[node].nar_size).sum();
        Group::new(&self.risks, nodes, size)
    }

    fn layer(&self, nodes: Vec<NodeIndex>, reason: Reason) -> Layer {
        Layer {
            group: self.group(nodes),
            reason,
        }
    }

    /// By name, and by hash only where names are equal: a hash says nothing, and is another one
    /// after each rebuild.
    fn by_name(&self, nodes: impl IntoIterator<Item = NodeIndex>) -> Vec<NodeIndex> {
        let mut nodes: Vec<NodeIndex> = nodes.into_iter().collect();
        nodes.sort_by_cached_key(|&node| {
            let path = &self.closure.graph()[node].path;
            (path.name(), path.hash())
        });
        nodes
    }

    /// A layer of the previous plan, if all its paths are still there, and no other layer is asked
    /// for that has some of them.
    fn keep(&self, shown: &[NodeIndex], paths: &[StorePath]) -> Option<Layer> {
        let nodes = paths
            .iter()
            .map(|path| {
                self.closure
                    .node(path)
                    .filter(|node| shown.binary_search(node).is_ok())
            })
            .collect::<Option<Vec<NodeIndex>>>()?;
        let reason = match self.asked.overlap(&nodes) {
            _ if nodes.is_empty() => return None,
            Overlap::None => Reason::Kept,
            Overlap::Equal => Reason::Asked,
            Overlap::Partial => return None,
        };
        Some(self.layer(nodes, reason))
    }

    /// How many layers the free paths may have. New packages may use what is left for later.
    fn budget(
        &self,
        room: usize,
        broken: usize,
        free: &[NodeIndex],
        before: &BTreeSet<&StorePath>,
    ) -> usize {
        let packages: BTreeSet<&str> = before.iter().map(|path| package(path)).collect();
        let is_added = |node: &&NodeIndex| {
            let name = package(&self.closure.graph()[**node].path);
            !packages.is_empty() && !packages.contains(name)
        };
        let added = free.iter().filter(is_added).count();
        let reserve = match self.most {
            0..LEAST_TO_RESERVE => 0,
            most => (most / RESERVE).max(1),
        };
        let unreserved = room.saturating_sub(reserve);
        unreserved.max(broken + added).min(room)
    }

    /// Layers in their order: those of the previous plan up to the first that could not stay, and
    /// above them the others.
    fn stack(&self, kept: Vec<Option<Layer>>, new: Vec<Layer>) -> Vec<Layer> {
        let in_place = in_place(&kept);
        let mut kept = kept.into_iter();
        let mut layers: Vec<Layer> = kept.by_ref().take(in_place).flatten().collect();
        let mut below = self.risks.none();
        for layer in &layers {
            below.add(&layer.group.derivations);
        }
        let mut rest: Vec<Layer> = kept.flatten().chain(new).collect();
        rest.sort_by(|a, b| self.name(&a.group).cmp(&self.name(&b.group)));
        let groups: Vec<&Group> = rest.iter().map(|layer| &layer.group).collect();
        let order = order(&self.risks, &below, &groups);
        let mut rest: Vec<Option<Layer>> = rest.into_iter().map(Some).collect();
        layers.extend(order.into_iter().filter_map(|at| rest[at].take()));
        layers
    }

    /// What tells groups apart: the name and hash of the first path.
    fn name(&self, group: &Group) -> Option<(&str, &str)> {
        let first = group.nodes.first()?;
        let path = &self.closure.graph()[*first].path;
        Some((path.name(), path.hash()))
    }

    /// Layers that are asked for take each other's places until they are in the order asked for.
    fn put_asked_in_order(&self, layers: &mut [Layer]) {
        let asked = |layer: &Layer| {
            let first = layer.group.nodes.first()?;
            self.asked.position(*first)
        };
        let places: Vec<usize> = (0..layers.len())
            .filter(|&at| asked(&layers[at]).is_some())
            .collect();
        for place in 0..places.len() {
            let wanted = (place..places.len()).min_by_key(|&at| asked(&layers[places[at]]));
            if let Some(wanted) = wanted {
                layers.swap(places[place], places[wanted]);
            }
        }
    }

    fn reason(&self, group: &Group) -> Reason {
        if group.nodes.iter().any(|&node| self.risks.is_root(node)) {
            return Reason::Root;
        }
        let package = |node: NodeIndex| package(&self.closure.graph()[node].path);
        let packages: BTreeSet<&str> = group.nodes.iter().map(|&node| package(node)).collect();
        if packages.len() == 1 {
            return Reason::Large;
        }
        match self.risks.needed_by_all(&group.nodes) {
            Some(node) => Reason::ChangesWith(package(node).to_owned()),
            None => Reason::Small,
        }
    }
}

fn package(path: &StorePath) -> &str {
    DerivationName::parse(path.name()).package
}

#[cfg(test)]
mod tests;
