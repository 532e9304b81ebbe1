//! Operations that split a graph into named parts.

use std::collections::BTreeSet;

use petgraph::graph::NodeIndex;

use super::operation::PathSpec;
use super::value::{Graph, Value};
use crate::closure::Closure;
use crate::dag::{Dag, Walk};

/// A graph under small numbers.
struct Numbered<'a> {
    closure: &'a Closure,
    nodes: Vec<NodeIndex>,
    dag: Dag,
}

impl<'a> Numbered<'a> {
    fn new(closure: &'a Closure, graph: &Graph) -> Self {
        Self {
            closure,
            nodes: graph.nodes().collect(),
            dag: Dag::of_parts(closure, &graph.0),
        }
    }

    fn all(&self) -> std::ops::Range<u32> {
        0..self.nodes.len() as u32
    }

    fn named(&self, paths: &BTreeSet<String>) -> Vec<u32> {
        let path = |at: u32| &self.closure.graph()[self.nodes[at as usize]].path;
        self.all()
            .filter(|&at| paths.contains(path(at).as_str()))
            .collect()
    }

    /// The part of a graph whose numbers are wanted.
    fn part(&self, graph: &Graph, wanted: impl Fn(u32) -> bool) -> Graph {
        let numbers = self.all().filter(|&at| wanted(at));
        let nodes: BTreeSet<NodeIndex> = numbers.map(|at| self.nodes[at as usize]).collect();
        graph.retain(|node| nodes.contains(&node))
    }
}

/// `main`: what is needed through the given paths alone, `common`: what they need and others too,
/// `rest`: the others. Parts that would be empty are not there.
pub(super) fn paths(closure: &Closure, graph: &Graph, specs: &[PathSpec]) -> Value {
    let numbered = Numbered::new(closure, graph);
    let dag = &numbered.dag;
    let mut chosen = vec![false; dag.len()];
    for spec in specs {
        match spec {
            PathSpec::Paths(paths) => {
                for at in numbered.named(paths) {
                    chosen[at as usize] = true;
                }
            }
            PathSpec::ChildrenOf(paths) => {
                for at in numbered.named(paths) {
                    for &child in dag.references(at) {
                        chosen[child as usize] = true;
                    }
                }
            }
        }
    }
    let is_chosen = |at: &u32| chosen[*at as usize];
    let roots: Vec<u32> = numbered
        .all()
        .filter(|&at| dag.users(at).is_empty())
        .collect();
    let whole = |name| Value::Parts(vec![(name, Value::Graph(graph.clone()))]);
    if !numbered.all().any(|at| is_chosen(&at)) {
        return whole("rest");
    }
    if let [root] = roots[..]
        && is_chosen(&root)
    {
        return whole("main");
    }
    let mut needed = Walk::new(dag);
    needed.reach(numbered.all().filter(is_chosen), |at| dag.references(at));
    let mut otherwise = Walk::new(dag);
    otherwise.reach_but(
        roots.into_iter().filter(|root| !is_chosen(root)),
        |at| dag.references(at),
        |at| is_chosen(&at),
    );
    let parts = [
        ("main", true, false),
        ("common", true, true),
        ("rest", false, true),
    ];
    let part = |needs, others| {
        numbered.part(graph, |at| {
            needed.reached(at) == needs && otherwise.reached(at) == others
        })
    };
    let parts = parts.map(|(name, needs, others)| (name, part(needs, others)));
    let there = parts.into_iter().filter(|(_, part)| !part.0.is_empty());
    Value::Parts(
        there
            .map(|(name, part)| (name, Value::Graph(part)))
            .collect(),
    )
}

/// `main`: the given paths and all that they need, `rest`: the others.
pub(super) fn with_dependencies(
    closure: &Closure,
    graph: &Graph,
    paths: &BTreeSet<String>,
) -> Value {
    subcomponent(closure, graph, paths, Dag::references)
}

/// `main`: the given paths and all that need them, `rest`: the others.
pub(super) fn with_users(closure: &Closure, graph: &Graph, paths: &BTreeSet<String>) -> Value {
    subcomponent(closure, graph, paths, Dag::users)
}

fn subcomponent(
    closure: &Closure,
    graph: &Graph,
    paths: &BTreeSet<String>,
    next: for<'a> fn(&'a Dag, u32) -> &'a [u32],
) -> Value {
    let numbered = Numbered::new(closure, graph);
    let mut walk = Walk::new(&numbered.dag);
    walk.reach(numbered.named(paths), |at| next(&numbered.dag, at));
    let part = |reached| Value::Graph(numbered.part(graph, |at| walk.reached(at) == reached));
    Value::Parts(vec![("main", part(true)), ("rest", part(false))])
}
