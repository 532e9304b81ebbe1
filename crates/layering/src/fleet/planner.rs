//! From a fleet to its plan.

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::StorePath;
use petgraph::graph::NodeIndex;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::anchor::Anchor;
use super::chains::Chains;
use super::fleet_plan::FleetPlan;
use super::members::Members;
use super::request::{Fleet, FleetError, FleetImage};
use super::share::{Piece, Sharing};
use super::union::Union;
use crate::derivation_name::DerivationName;
use crate::history::History;
use crate::merge::Group;
use crate::plan::{Plan, Reason};
use crate::planning::plan;
use crate::request::{PlanError, Request, Strategy};
use crate::risk::Risks;

/// One layer in so many is left free for what later releases add.
const RESERVE: usize = 16;

/// With fewer layers than this there is none to leave free.
const LEAST_TO_RESERVE: usize = 4;

/// Up to this many paths of all images each is told from each other ([`Risks::telling_apart`]).
const MOST_TOLD_APART: usize = 4_096;

/// Plans the layers of a fleet. A layer holds only paths that each image that has it needs.
///
/// # Errors
///
/// An image has store paths and may have no layer, or two images tell different things of a path.
pub fn plan_fleet(fleet: &Fleet) -> Result<FleetPlan, FleetError> {
    let union = Union::new(fleet)?;
    for ((name, image), shown) in fleet.images.iter().zip(&union.shown) {
        if image.max_store_layers == 0 && !shown.is_empty() {
            return Err(FleetError::NoLayers {
                image: name.clone(),
                paths: shown.len(),
            });
        }
    }
    let anchor = Anchor::new(fleet, &union);
    let history = history(fleet, &union, &anchor);
    let hidden = |node: NodeIndex| union.needed_by[node.index()].is_empty();
    let planner = Planner {
        fleet,
        risks: Risks::telling_apart(MOST_TOLD_APART, &union.closure, &history, hidden),
        union,
        anchor,
    };
    Ok(FleetPlan {
        images: planner.plans(),
        history: Some(history),
    })
}

/// The plans of a fleet's images where each is planned alone, as a first release.
///
/// # Errors
///
/// An image has store paths and may have no layer.
pub fn plan_each(fleet: &Fleet) -> Result<FleetPlan, PlanError> {
    let images: Vec<(&String, &FleetImage)> = fleet.images.iter().collect();
    let images = images.into_par_iter().map(|(name, image)| {
        let request = Request {
            hidden: image.hidden.clone(),
            min_layer_size: fleet.min_layer_size,
            ..Request::new(Strategy::Stable, image.max_store_layers)
        };
        Ok::<_, PlanError>((name.clone(), plan(&image.closure, &request)?))
    });
    Ok(FleetPlan {
        images: images.collect::<Result<_, _>>()?,
        history: None,
    })
}

/// The fleet's history, with this release if anything changed.
fn history(fleet: &Fleet, union: &Union, anchor: &Anchor) -> History {
    let Some(previous) = &fleet.previous else {
        return History::default();
    };
    let history = previous.any_history();
    let is_same =
        anchor.frozen.len() == fleet.images.len() && fleet.images.keys().eq(previous.images.keys());
    if is_same {
        return history;
    }
    history.after(&previous.paths(), &union.closure)
}

struct Planner<'a> {
    fleet: &'a Fleet,
    union: Union,
    anchor: Anchor,
    risks: Risks,
}

impl Planner<'_> {
    fn plans(&self) -> BTreeMap<String, Plan> {
        let planned = self.planned();
        let pieces = self.pieces(&planned);
        let chains = Chains::of(&self.union, &self.risks, &self.anchor, &pieces, &planned);
        let described: Vec<(Reason, u16)> =
            pieces.iter().map(|piece| self.describe(piece)).collect();
        let images = self.fleet.images.iter().enumerate();
        let plans = images.map(|(at, (name, image))| {
            let previous = self.fleet.previous.as_ref();
            let previous = previous.and_then(|plan| plan.images.get(name));
            let plan = match previous {
                Some(previous) if self.anchor.frozen.has(at) => unchanged(image, previous),
                _ => {
                    let layers = chains[at]
                        .iter()
                        .map(|&piece| (&pieces[piece], &described[piece]));
                    self.plan(image, previous, layers)
                }
            };
            (name.clone(), plan)
        });
        plans.collect()
    }

    /// The images whose plan does not just stay.
    fn planned(&self) -> Members {
        let mut planned = Members::none(self.fleet.images.len());
        let images = 0..self.fleet.images.len();
        for image in images.filter(|&image| !self.anchor.frozen.has(image)) {
            planned.insert(image);
        }
        planned
    }

    /// The layers of the images that are planned.
    fn pieces(&self, planned: &Members) -> Vec<Piece> {
        let mut kept = Vec::new();
        let mut missing: Vec<Members> = self
            .union
            .needed_by
            .iter()
            .map(|all| all.and(planned))
            .collect();
        for (layer, nodes) in self.anchor.layers.iter().enumerate() {
            let by = &self.anchor.kept_by[layer];
            let members = by.and(planned);
            if members.is_empty() {
                continue;
            }
            for node in nodes {
                let missing = &mut missing[node.index()];
                *missing = missing.without(&members);
            }
            kept.push(Piece {
                group: Group::new(&self.risks, nodes.clone(), self.union.size(nodes)),
                elsewhere: members != *by,
                members,
                kept: Some(layer),
            });
        }
        let most = self.most(&missing);
        let mut free = BTreeMap::<Members, Vec<NodeIndex>>::new();
        for (at, members) in missing.into_iter().enumerate() {
            if !members.is_empty() {
                free.entry(members).or_default().push(NodeIndex::new(at));
            }
        }
        let sharing = Sharing {
            union: &self.union,
            risks: &self.risks,
            most: &most,
            min_size: self.fleet.min_layer_size,
        };
        let free = sharing.of_free(free, &kept);
        sharing.join(kept.into_iter().chain(free).collect())
    }

    /// How many layers each image may have now. A few are left free, and what comes in place of layers
    /// that could not stay, and new packages, may take them. `missing` are the images that need each
    /// path anew.
    fn most(&self, missing: &[Members]) -> Vec<usize> {
        let graph = self.union.closure.graph();
        let package = |path: &'_ StorePath| DerivationName::parse(path.name()).package.to_owned();
        let previous = self.fleet.previous.as_ref();
        let images = self.fleet.images.iter().enumerate();
        let most = images.map(
            |(
                image,
                (
                    name,
                    FleetImage {
                        max_store_layers: most,
                        ..
                    },
                ),
            )| {
                let kept = self
                    .anchor
                    .kept_by
                    .iter()
                    .filter(|by| by.has(image))
                    .count();
                let broken = self.anchor.chain_of[image].map_or(0, |chain| {
                    let layers = self.anchor.chains[chain].iter();
                    let is_kept = |layer: &usize| self.anchor.kept_by[*layer].has(image);
                    layers
                        .filter(|layer| !layer.as_ref().is_some_and(is_kept))
                        .count()
                });
                let before = previous.and_then(|plan| plan.images.get(name));
                let added = before.map_or(0, |before| {
                    let packages: BTreeSet<String> = before.paths().map(package).collect();
                    let is_added = |node: &&NodeIndex| {
                        missing[node.index()].has(image)
                            && !packages.contains(&package(&graph[**node].path))
                    };
                    self.union.shown[image].iter().filter(is_added).count()
                });
                let reserve = match most {
                    0..LEAST_TO_RESERVE => 0,
                    most => (most / RESERVE).max(1),
                };
                let room = most.saturating_sub(kept);
                let unreserved = room.saturating_sub(reserve);
                (kept + unreserved.max(broken + added).min(room)).clamp(1, (*most).max(1))
            },
        );
        most.collect()
    }

    fn plan<'b>(
        &self,
        image: &FleetImage,
        previous: Option<&Plan>,
        layers: impl Iterator<Item = (&'b Piece, &'b (Reason, u16))>,
    ) -> Plan {
        let graph = self.union.closure.graph();
        let layers: Vec<_> = layers.collect();
        let in_image = |node: &NodeIndex| image.closure.node(&graph[*node].path);
        let with_reasons = layers.iter().map(|(piece, (reason, _))| {
            let nodes = piece.group.nodes.iter().filter_map(in_image).collect();
            (nodes, reason.clone())
        });
        let mut plan = Plan::new(&image.closure, with_reasons);
        for (layer, (_, (_, chance))) in plan.layers.iter_mut().zip(&layers) {
            layer.chance_per_mille = Some(*chance);
        }
        let before: BTreeSet<&StorePath> = previous.iter().flat_map(|plan| plan.paths()).collect();
        let history = previous
            .and_then(|plan| plan.history.clone())
            .unwrap_or_default();
        plan.history = Some(match previous {
            Some(_) => history.after(&before, &image.closure),
            None => history,
        });
        plan
    }

    /// Why a layer is one, and its chance of changing in thousandths.
    fn describe(&self, piece: &Piece) -> (Reason, u16) {
        let chance = (piece.group.chance * 1_000.0).round() as u16;
        if piece.kept.is_some() {
            return (Reason::Kept, chance);
        }
        let nodes = &piece.group.nodes;
        if nodes.iter().any(|&node| self.risks.is_root(node)) {
            return (Reason::Root, chance);
        }
        let package = |node: NodeIndex| {
            let name = self.union.closure.graph()[node].path.name();
            DerivationName::parse(name).package
        };
        let packages: BTreeSet<&str> = nodes.iter().map(|&node| package(node)).collect();
        let reason = match self.risks.needed_by_all(nodes) {
            _ if packages.len() == 1 => Reason::Large,
            Some(node) => Reason::ChangesWith(package(node).to_owned()),
            None => Reason::Small,
        };
        (reason, chance)
    }
}

/// A plan as it was, with what the closure says of its paths: a file may say anything.
fn unchanged(image: &FleetImage, previous: &Plan) -> Plan {
    let layers = previous.layers.iter().map(|layer| {
        let nodes = layer
            .paths
            .iter()
            .filter_map(|path| image.closure.node(path));
        (nodes.collect(), layer.reason.clone())
    });
    let mut plan = Plan::new(&image.closure, layers);
    for (layer, before) in plan.layers.iter_mut().zip(&previous.layers) {
        layer.chance_per_mille = before.chance_per_mille;
    }
    plan.history.clone_from(&previous.history);
    plan
}
