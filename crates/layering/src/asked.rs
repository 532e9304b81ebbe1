//! The layers that a request asks for by patterns.

use std::collections::BTreeSet;

use petgraph::graph::NodeIndex;

use crate::closure::Closure;
use crate::pattern::LayerPattern;
use crate::plan::{Plan, Reason};
use crate::request::PlanError;

/// The layers that are asked for, each path in the first that it matches.
#[derive(Debug)]
pub(crate) struct Asked {
    sets: Vec<Vec<NodeIndex>>,
    position: Vec<Option<usize>>,
}

/// What a layer has in common with those that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// Nothing.
    None,
    /// It is one of them.
    Equal,
    /// Some paths that belong into another one.
    Partial,
}

impl Asked {
    pub(crate) fn new(
        closure: &Closure,
        shown: &[NodeIndex],
        patterns: &[LayerPattern],
        most: usize,
    ) -> Result<Self, PlanError> {
        let mut left: BTreeSet<NodeIndex> = shown.iter().copied().collect();
        let mut asked = Self {
            sets: Vec::new(),
            position: vec![None; closure.len()],
        };
        for (position, pattern) in patterns.iter().enumerate() {
            let nodes: Vec<NodeIndex> = pattern
                .nodes(closure, shown)
                .into_iter()
                .filter(|node| left.remove(node))
                .collect();
            if nodes.is_empty() {
                return Err(PlanError::NothingMatches(pattern.to_string()));
            }
            for node in &nodes {
                asked.position[node.index()] = Some(position);
            }
            asked.sets.push(nodes);
        }
        let needed = patterns.len() + usize::from(!left.is_empty());
        if needed > most {
            return Err(PlanError::TooManyAsked { needed, most });
        }
        Ok(asked)
    }

    /// The paths of each layer, in store path order; none is empty.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &[NodeIndex]> {
        self.sets.iter().map(Vec::as_slice)
    }

    /// Which of the layers a path belongs to.
    pub(crate) fn position(&self, node: NodeIndex) -> Option<usize> {
        self.position[node.index()]
    }

    /// What a layer has in common with these.
    pub(crate) fn overlap(&self, nodes: &[NodeIndex]) -> Overlap {
        let mut positions = nodes.iter().map(|&node| self.position(node));
        let first = positions.next().flatten();
        let same = positions.all(|position| position == first);
        match first {
            None if same => Overlap::None,
            Some(position) if same && self.sets[position].len() == nodes.len() => Overlap::Equal,
            _ => Overlap::Partial,
        }
    }

    /// Whether a plan's layers that were asked for are these, in this order.
    pub(crate) fn are_in(&self, closure: &Closure, plan: &Plan) -> bool {
        let before = plan
            .layers
            .iter()
            .filter(|layer| layer.reason == Reason::Asked);
        let before = before.map(|layer| layer.paths.iter().collect::<BTreeSet<_>>());
        let now = self.sets().map(|nodes| {
            let paths = nodes.iter().map(|&node| &closure.graph()[node].path);
            paths.collect::<BTreeSet<_>>()
        });
        before.eq(now)
    }
}
