//! Closures: store paths with everything that they refer to, as a graph.

use std::collections::VecDeque;

use nix_compat::{PathInfo, StorePath};
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

/// Store paths and the references between them. Every reference is there, and none leads back to
/// where it came from.
///
/// Nodes stand in the order of their store paths, edges lead from a user to what it refers to. A
/// path's reference to itself is in its [`PathInfo`] but is not an edge.
#[derive(Debug, Clone)]
pub struct Closure {
    graph: DiGraph<PathInfo, ()>,
    roots: Vec<NodeIndex>,
    dependencies_first: Vec<NodeIndex>,
}

/// Why path infos make no closure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClosureError {
    /// A path refers to one that is not listed.
    #[error(
        "{user} refers to {reference}, which is not in the closure; list it with all its references (`-r`)"
    )]
    MissingReference {
        /// The path that refers.
        user: StorePath,
        /// What it refers to.
        reference: StorePath,
    },
    /// Paths refer to each other in a circle, which Nix never makes.
    #[error("these store paths refer to each other in a circle: {}", shown_cycle(.0))]
    Cycle(Vec<StorePath>),
    /// One path is listed twice, with other sizes, hashes or references.
    #[error("{0} is listed twice, with differing information; which one is true?")]
    Conflict(StorePath),
    /// The sizes of all paths together are no 64-bit number.
    #[error("the sizes of the store paths add up to more than 2^64 bytes: {0} or another is wrong")]
    Size(StorePath),
}

impl Closure {
    /// Makes the graph.
    ///
    /// # Errors
    ///
    /// A reference that is not listed, a circle of references, two differing entries for one path,
    /// or sizes that cannot be.
    pub fn new(mut infos: Vec<PathInfo>) -> Result<Self, ClosureError> {
        infos.sort_by(|a, b| a.path.cmp(&b.path));
        infos.dedup();
        if let Some(pair) = infos.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(ClosureError::Conflict(pair[0].path.clone()));
        }
        let mut total = 0u64;
        for info in &infos {
            total = total
                .checked_add(info.nar_size)
                .ok_or_else(|| ClosureError::Size(info.path.clone()))?;
        }

        let edges = edges(&infos)?;
        let mut graph = DiGraph::with_capacity(infos.len(), edges.len());
        for info in infos {
            graph.add_node(info);
        }
        for (user, reference) in edges {
            graph.add_edge(user, reference, ());
        }

        let mut dependencies_first = petgraph::algo::toposort(&graph, None)
            .map_err(|cycle| ClosureError::Cycle(cycle_through(&graph, cycle.node_id())))?;
        dependencies_first.reverse();
        Ok(Self {
            roots: graph.externals(Direction::Incoming).collect(),
            graph,
            dependencies_first,
        })
    }

    /// The graph: an edge leads from a path to one that it refers to.
    pub fn graph(&self) -> &DiGraph<PathInfo, ()> {
        &self.graph
    }

    /// The paths that no other one refers to, in store path order.
    pub fn roots(&self) -> &[NodeIndex] {
        &self.roots
    }

    /// All nodes, each after everything that it refers to.
    pub fn dependencies_first(&self) -> &[NodeIndex] {
        &self.dependencies_first
    }

    /// All store paths with what is known of them, in store path order.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &PathInfo> {
        self.graph.raw_nodes().iter().map(|node| &node.weight)
    }

    /// The node of a store path.
    pub fn node(&self, path: &StorePath) -> Option<NodeIndex> {
        self.graph
            .raw_nodes()
            .binary_search_by(|node| node.weight.path.cmp(path))
            .ok()
            .map(NodeIndex::new)
    }

    /// What is known of a store path.
    pub fn get(&self, path: &StorePath) -> Option<&PathInfo> {
        self.node(path).map(|node| &self.graph[node])
    }

    /// Number of store paths.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Whether there is no store path at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The NAR sizes of all store paths together, in bytes.
    pub fn size(&self) -> u64 {
        self.paths().map(|info| info.nar_size).sum()
    }
}

fn edges(infos: &[PathInfo]) -> Result<Vec<(NodeIndex, NodeIndex)>, ClosureError> {
    let mut edges = Vec::new();
    for (user, info) in infos.iter().enumerate() {
        let start = edges.len();
        for reference in &info.references {
            let at = infos
                .binary_search_by(|other| other.path.cmp(reference))
                .map_err(|_| ClosureError::MissingReference {
                    user: info.path.clone(),
                    reference: reference.clone(),
                })?;
            if at != user {
                edges.push((NodeIndex::new(user), NodeIndex::new(at)));
            }
        }
        edges[start..].sort();
    }
    edges.dedup();
    Ok(edges)
}

/// A shortest circle through a node that lies on one.
fn cycle_through(graph: &DiGraph<PathInfo, ()>, node: NodeIndex) -> Vec<StorePath> {
    let mut came_from = vec![None; graph.node_count()];
    let mut queue = VecDeque::from([node]);
    while let Some(at) = queue.pop_front() {
        for next in graph.neighbors(at) {
            if came_from[next.index()].is_none() {
                came_from[next.index()] = Some(at);
                queue.push_back(next);
            }
        }
    }
    let mut nodes = vec![node];
    let mut at = node;
    while let Some(user) = came_from[at.index()].filter(|&user| user != node) {
        nodes.push(user);
        at = user;
    }
    nodes[1..].reverse();
    nodes
        .into_iter()
        .map(|node| graph[node].path.clone())
        .collect()
}

fn shown_cycle(paths: &[StorePath]) -> String {
    const MOST: usize = 8;
    let mut text = String::new();
    for path in paths.iter().take(MOST) {
        text += path.as_str();
        text += " -> ";
    }
    if paths.len() > MOST {
        text += &format!("… ({} more) -> ", paths.len() - MOST);
    }
    text + paths.first().map_or("", StorePath::as_str)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{closure, info, path};

    #[test]
    fn nodes_edges_and_roots() {
        let closure = closure(&[
            ("lib", 30, &["lib"]),
            ("app", 10, &["lib", "data"]),
            ("data", 5, &[]),
        ]);
        let paths: Vec<_> = closure.paths().map(|info| info.path.clone()).collect();
        assert!(paths.is_sorted());
        assert_eq!(
            closure.graph().edge_count(),
            2,
            "lib's reference to itself is not an edge"
        );
        assert_eq!(closure.roots(), [closure.node(&path("app")).unwrap()]);
        assert_eq!((closure.len(), closure.size()), (3, 45));
        assert_eq!(closure.get(&path("lib")).unwrap().nar_size, 30);
        assert!(closure.get(&path("other")).is_none());
    }

    #[test]
    fn each_fault_has_its_own_line() {
        let (user, reference) = (path("a"), path("b"));
        let cases = [
            (
                vec![info("a", 1, &["b"])],
                ClosureError::MissingReference { user, reference },
            ),
            (
                vec![info("a", 1, &[]), info("a", 2, &[])],
                ClosureError::Conflict(path("a")),
            ),
        ];
        for (infos, error) in cases {
            assert_eq!(error.to_string().lines().count(), 1);
            assert_eq!(Closure::new(infos).unwrap_err(), error);
        }
        let doubled = Closure::new(vec![info("a", 1, &[]), info("a", 1, &[])]).unwrap();
        assert_eq!(doubled.len(), 1, "the same entry twice is one");
        let huge = vec![info("a", u64::MAX, &[]), info("b", 1, &[])];
        assert!(matches!(Closure::new(huge), Err(ClosureError::Size(_))));
    }

    #[test]
    fn a_circle_is_named_in_its_order() {
        let infos = vec![
            info("app", 1, &["a"]),
            info("a", 1, &["b"]),
            info("b", 1, &["c", "leaf"]),
            info("c", 1, &["a"]),
            info("leaf", 1, &[]),
        ];
        let Err(ClosureError::Cycle(circle)) = Closure::new(infos) else {
            panic!("a circle is not a closure");
        };
        let start = circle.iter().position(|p| *p == path("a")).unwrap();
        let turned: Vec<_> = circle.iter().cycle().skip(start).take(3).cloned().collect();
        assert_eq!(circle.len(), 3);
        assert_eq!(turned, [path("a"), path("b"), path("c")]);
        let line = ClosureError::Cycle(turned).to_string();
        assert!(
            line.ends_with(&format!("{} -> {}", path("c"), path("a"))),
            "{line}"
        );
    }

    proptest! {
        #[test]
        fn any_list_gives_a_closure_or_an_error(
            lists in proptest::collection::vec(proptest::collection::vec(0usize..9, 0..4), 0..9),
        ) {
            let names: Vec<String> = (0..9).map(|at| at.to_string()).collect();
            let infos = lists
                .iter()
                .zip(&names)
                .map(|(references, name)| {
                    let references: Vec<_> = references.iter().map(|&r| names[r].as_str()).collect();
                    info(name, 1, &references)
                })
                .collect();
            if let Ok(closure) = Closure::new(infos) {
                let mut seen = vec![false; closure.len()];
                for &node in closure.dependencies_first() {
                    prop_assert!(closure.graph().neighbors(node).all(|below| seen[below.index()]));
                    seen[node.index()] = true;
                }
                prop_assert!(seen.iter().all(|&seen| seen));
            }
        }
    }
}
