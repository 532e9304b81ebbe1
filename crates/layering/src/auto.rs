//! Auto: nixpkgs' planner since 25.11. The largest paths are *primaries*; paths that the same
//! primaries need, seen from below, share a layer.
//!
//! Primaries are taken one after the other, the largest first. With each, the paths below it pass
//! from the set of primaries S that they had to another one that depends on S alone: the users of
//! the new primary P leave it, since they need the path through P, and P joins it unless a
//! dependency of P is in it. So a step moves groups of paths, not paths. The step that would make
//! more sets than there may be layers is not done and ends it all.

use std::collections::{BTreeMap, HashMap};

use petgraph::graph::NodeIndex;

use crate::closure::Closure;
use crate::dag::{Dag, Walk};
use crate::plan::Reason;

/// Layers of all paths that are not hidden. Hidden ones take part, so that there may be fewer
/// layers than `most`.
///
/// Layers are in the order of what their closures hold together, the smallest first. Where those
/// are equal, nixpkgs' order is that of Python's hashing; here it is that of the names in them.
pub(crate) fn layers(
    closure: &Closure,
    most: usize,
    hidden: impl Fn(NodeIndex) -> bool,
) -> Vec<(Vec<NodeIndex>, Reason)> {
    let nodes: Vec<NodeIndex> = closure.graph().node_indices().collect();
    let dag = Dag::of_parts(closure, std::slice::from_ref(&nodes));
    let info = |node: u32| &closure.graph()[nodes[node as usize]];
    let mut walk = Walk::new(&dag);

    let mut layers = Vec::new();
    for (primaries, members) in groups(closure, &dag, most) {
        let reason = match primaries.len() {
            0 => Reason::Rest,
            1 => Reason::Large,
            _ => Reason::Shared,
        };
        let closure_size: u64 = walk
            .reach(members.iter().copied(), |node| dag.references(node))
            .iter()
            .map(|&node| info(node).nar_size)
            .sum();
        let mut members: Vec<u32> = members
            .into_iter()
            .filter(|&node| !hidden(nodes[node as usize]))
            .collect();
        members.sort_by_key(|&node| {
            let path = &info(node).path;
            (path.name(), path.hash())
        });
        if !members.is_empty() {
            layers.push((closure_size, members, reason));
        }
    }
    layers.sort_by_cached_key(|(closure_size, members, _)| {
        let names: Vec<&str> = members.iter().map(|&node| info(node).path.name()).collect();
        let hashes: Vec<&str> = members.iter().map(|&node| info(node).path.hash()).collect();
        (*closure_size, names, hashes)
    });
    layers
        .into_iter()
        .map(|(_, members, reason)| {
            let members = members.iter().map(|&node| nodes[node as usize]).collect();
            (members, reason)
        })
        .collect()
}

/// The sets of primaries that there are in the end, with the nodes of each.
fn groups(closure: &Closure, dag: &Dag, most: usize) -> BTreeMap<Vec<u32>, Vec<u32>> {
    let size = |node: u32| closure.graph()[NodeIndex::new(node as usize)].nar_size;
    let mut largest_first: Vec<u32> = (0..dag.len() as u32).collect();
    largest_first.sort_by_key(|&node| std::cmp::Reverse((size(node), node)));

    let mut sets = Sets::new(dag.len());
    let mut below = Walk::new(dag);
    let mut above = Walk::new(dag);
    for primary in largest_first {
        let dependencies = below.reach([primary], |node| dag.references(node)).to_vec();
        above.reach([primary], |node| dag.users(node));
        if !sets.take(primary, &dependencies, &below, &above, most) {
            break;
        }
    }
    let mut groups = BTreeMap::<_, Vec<u32>>::new();
    for (node, &set) in sets.set_of.iter().enumerate() {
        let primaries = sets.primaries[set as usize].clone();
        groups.entry(primaries).or_default().push(node as u32);
    }
    groups
}

/// Which set of primaries each node has. Each set is kept once, under a number.
struct Sets {
    set_of: Vec<u32>,
    primaries: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, u32>,
    /// How many nodes have each set.
    members: Vec<usize>,
    /// How many sets some node has.
    used: usize,
}

impl Sets {
    fn new(nodes: usize) -> Self {
        Self {
            set_of: vec![0; nodes],
            primaries: vec![Vec::new()],
            numbers: HashMap::from([(Vec::new(), 0)]),
            members: vec![nodes],
            used: usize::from(nodes > 0),
        }
    }

    /// Makes a node a primary, unless that makes more sets than `most`.
    fn take(
        &mut self,
        primary: u32,
        dependencies: &[u32],
        below: &Walk,
        above: &Walk,
        most: usize,
    ) -> bool {
        let mut next = HashMap::new();
        let mut moves = Vec::with_capacity(dependencies.len());
        for &node in dependencies {
            let old = self.set_of[node as usize];
            let new = if node == primary {
                self.number(vec![primary])
            } else {
                *next.entry(old).or_insert_with(|| {
                    let mut set = self.primaries[old as usize].clone();
                    set.retain(|&other| !above.reached(other));
                    if !set.iter().any(|&other| below.reached(other)) {
                        let at = set.partition_point(|&other| other < primary);
                        set.insert(at, primary);
                    }
                    self.number(set)
                })
            };
            moves.push((node, old, new));
        }
        for &(node, old, new) in &moves {
            self.put(node, old, new);
        }
        if self.used > most {
            for (node, old, new) in moves {
                self.put(node, new, old);
            }
            return false;
        }
        true
    }

    fn number(&mut self, set: Vec<u32>) -> u32 {
        let fresh = self.primaries.len() as u32;
        let number = *self.numbers.entry(set.clone()).or_insert(fresh);
        if number == fresh {
            self.primaries.push(set);
            self.members.push(0);
        }
        number
    }

    fn put(&mut self, node: u32, from: u32, to: u32) {
        self.set_of[node as usize] = to;
        self.members[from as usize] -= 1;
        self.used -= usize::from(self.members[from as usize] == 0);
        self.used += usize::from(self.members[to as usize] == 0);
        self.members[to as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{closure, numbered};

    fn names(closure: &Closure, most: usize) -> Vec<Vec<&str>> {
        let hidden =
            |node: NodeIndex| ["conf", "cust"].contains(&closure.graph()[node].path.name());
        layers(closure, most, hidden)
            .iter()
            .map(|(nodes, _)| {
                nodes
                    .iter()
                    .map(|&node| closure.graph()[node].path.name())
                    .collect()
            })
            .collect()
    }

    #[test]
    fn layers_of_the_format_description() {
        let closure = closure(&[
            ("app", 10, &["lib1", "python", "data"]),
            ("python", 500, &["glibc", "openssl"]),
            ("lib1", 100, &["glibc"]),
            ("openssl", 80, &["glibc"]),
            ("glibc", 300, &["libgcc"]),
            ("libgcc", 5, &[]),
            ("data", 40, &[]),
            ("conf", 1, &["app"]),
            ("cust", 20, &["app", "openssl"]),
        ]);
        assert_eq!(
            names(&closure, 2),
            [
                vec!["glibc", "libgcc", "openssl", "python"],
                vec!["app", "data", "lib1"]
            ]
        );
        let six = [
            vec!["data"],
            vec!["glibc", "libgcc"],
            vec!["openssl"],
            vec!["lib1"],
            vec!["python"],
            vec!["app"],
        ];
        for most in [6, 7, 8] {
            assert_eq!(names(&closure, most), six);
        }
        assert_eq!(names(&closure, 9).len(), 7);
    }

    /// The sets of primaries that the closed form gives: with the k largest paths as primaries, a
    /// path has the lowest of those that need it; k is the largest for which no fewer were too many.
    fn closed_form(closure: &Closure, most: usize) -> BTreeSet<BTreeSet<usize>> {
        let len = closure.len();
        let mut needs = vec![vec![false; len]; len];
        for &node in closure.dependencies_first() {
            needs[node.index()][node.index()] = true;
            for below in closure.graph().neighbors(node) {
                let further = needs[below.index()].clone();
                for (need, further) in needs[node.index()].iter_mut().zip(further) {
                    *need |= further;
                }
            }
        }
        let mut largest: Vec<usize> = (0..len).collect();
        largest.sort_by_key(|&at| (closure.graph()[NodeIndex::new(at)].nar_size, at));
        largest.reverse();
        let groups = |count: usize| {
            let mut groups = BTreeMap::<Vec<usize>, BTreeSet<usize>>::new();
            for at in 0..len {
                let over: Vec<usize> = largest[..count]
                    .iter()
                    .copied()
                    .filter(|&p| needs[p][at])
                    .collect();
                let mut lowest: Vec<usize> = over
                    .iter()
                    .copied()
                    .filter(|&p| !over.iter().any(|&other| other != p && needs[p][other]))
                    .collect();
                lowest.sort_unstable();
                groups.entry(lowest).or_default().insert(at);
            }
            groups
        };
        let fits = |count: &usize| groups(*count).len() <= most;
        let count = (1..=len).take_while(fits).last().unwrap_or(0);
        groups(count).into_values().collect()
    }

    proptest! {
        #[test]
        fn steps_over_groups_give_the_closed_form(
            entries in proptest::collection::vec((0u64..30, proptest::collection::vec(0usize..99, 0..4)), 1..20),
            most in 1usize..20,
        ) {
            let closure = numbered(&entries);
            let ours: BTreeSet<BTreeSet<usize>> = layers(&closure, most, |_| false)
                .into_iter()
                .map(|(nodes, _)| nodes.into_iter().map(NodeIndex::index).collect())
                .collect();
            prop_assert_eq!(ours, closed_form(&closure, most));
        }
    }
}
