//! The references among a plan's paths, in a form that is small beside the plan itself.

use std::collections::HashMap;

use nix_compat::StorePath;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::closure::Closure;

/// What a plan says of its paths: sizes, and which refers to which. Paths have numbers, counted
/// from 0 through all layers, the lowest first.
///
/// In JSON it is one text for each path: its NAR size, then the numbers of what it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanGraph {
    sizes: Vec<u64>,
    /// Each list is sorted.
    references: Vec<Vec<u32>>,
}

impl PlanGraph {
    /// The part of a closure that a plan holds.
    pub(crate) fn new<'a>(
        closure: &Closure,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Self {
        let paths: Vec<_> = paths.into_iter().collect();
        let nodes = paths.iter().map(|path| closure.node(path));
        let nodes: Vec<_> = nodes.collect();
        let numbers: HashMap<_, u32> = nodes.iter().flatten().copied().zip(0..).collect();
        let graph = closure.graph();
        let references = |node| {
            let references = graph.neighbors(node);
            let mut numbers: Vec<u32> = references
                .filter_map(|reference| numbers.get(&reference).copied())
                .collect();
            numbers.sort_unstable();
            numbers
        };
        Self {
            sizes: nodes
                .iter()
                .map(|node| node.map_or(0, |node| graph[node].nar_size))
                .collect(),
            references: nodes
                .iter()
                .map(|node| node.map(references).unwrap_or_default())
                .collect(),
        }
    }

    /// A graph of these sizes and references. `None` if a reference leads to no path, or a path needs
    /// itself.
    pub(crate) fn of(paths: Vec<(u64, Vec<u32>)>) -> Option<Self> {
        let (sizes, mut references): (Vec<u64>, Vec<Vec<u32>>) = paths.into_iter().unzip();
        for references in &mut references {
            references.sort_unstable();
        }
        let graph = Self { sizes, references };
        let mut all = graph.references.iter().flatten();
        let in_bounds = all.all(|&reference| (reference as usize) < graph.sizes.len());
        (in_bounds && graph.dependencies_first().is_some()).then_some(graph)
    }

    /// The NAR size of each path, in bytes.
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// The numbers of what each path refers to, sorted; its own is not among them.
    pub fn references(&self) -> &[Vec<u32>] {
        &self.references
    }

    /// The numbers of all paths, each after everything that it refers to.
    pub(crate) fn dependencies_first(&self) -> Option<Vec<u32>> {
        let mut users = vec![Vec::new(); self.references.len()];
        let mut missing: Vec<usize> = self.references.iter().map(Vec::len).collect();
        for (user, references) in (0..).zip(&self.references) {
            for &reference in references {
                users[reference as usize].push(user);
            }
        }
        let ready = (0..).zip(&missing).filter(|&(_, &missing)| missing == 0);
        let mut order: Vec<u32> = ready.map(|(at, _)| at).collect();
        let mut at = 0;
        while let Some(&node) = order.get(at) {
            at += 1;
            for &user in &users[node as usize] {
                missing[user as usize] -= 1;
                if missing[user as usize] == 0 {
                    order.push(user);
                }
            }
        }
        (order.len() == self.references.len()).then_some(order)
    }

    /// Reads the JSON for a plan of this many paths.
    pub fn from_json(value: &Value, paths: usize) -> Option<Self> {
        let texts = value.as_array().filter(|texts| texts.len() == paths)?;
        let path = |text: &Value| {
            let mut numbers = text.as_str()?.split(' ');
            let size = numbers.next()?.parse().ok()?;
            let references = numbers.map(|number| number.parse().ok());
            Some((size, references.collect::<Option<_>>()?))
        };
        Self::of(texts.iter().map(path).collect::<Option<_>>()?)
    }
}

impl Serialize for PlanGraph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = self.sizes.iter().zip(&self.references);
        serializer.collect_seq(texts.map(|(size, references)| {
            references
                .iter()
                .fold(size.to_string(), |text, number| format!("{text} {number}"))
        }))
    }
}
