//! Popularity: nixpkgs' planner until 25.05. The paths that are met most often on the ways down
//! from the roots get a layer each, the rest share one.
//!
//! The popularity of x is, over all ways from a node above the roots down to a user of x or to x
//! itself (x's *uppers*), how many such ways there are: `Σ paths(y)` over the uppers y of x, where
//! `paths(y)` counts the ways from the top to y. That is what the recursion
//! `S(n)[x] = Σ_c [c = x] + [c above x] · (S(c)[x] + 1)` over the children c of n unfolds to: each
//! step of a way that ends at an upper of x counts once.
//!
//! Counts grow like 2^depth, so they are whole numbers of any length. Which uppers a node has is
//! found for 64 at a time, with one bit for each, in `nodes · (nodes + references) / 64` steps; and
//! a node's sum is that of one user, which has most of its uppers, and the few that are new.

use std::cmp::Ordering;

use petgraph::graph::NodeIndex;

use crate::closure::Closure;
use crate::dag::{Dag, for_uppers};

/// The nodes of parts of a closure in the order of their popularity there, the most popular first.
/// Equal ones stand in the order of `name-store/hash`.
pub(crate) fn order(closure: &Closure, parts: &[Vec<NodeIndex>]) -> Vec<NodeIndex> {
    let scores = Scores::new(&Dag::of_parts(closure, parts));
    let nodes: Vec<NodeIndex> = parts.concat();
    let names: Vec<String> = nodes
        .iter()
        .map(|&node| {
            let path = &closure.graph()[node].path;
            format!("{}-{}/{}", path.name(), path.store_dir(), path.hash())
        })
        .collect();
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by(|&a, &b| {
        let by_score = scores.compare(b, a);
        by_score.then_with(|| names[a].cmp(&names[b]))
    });
    order.into_iter().map(|at| nodes[at]).collect()
}

/// One whole number for each node: `width` words of it, the lowest first.
struct Scores {
    width: usize,
    words: Vec<u64>,
}

impl Scores {
    fn new(dag: &Dag) -> Self {
        let ways = ways_from_top(dag);
        let mut total = vec![0];
        for count in &ways {
            add_growing(&mut total, count);
        }
        // No sum of some of the counts is longer than the sum of all.
        let width = total.len();
        let mut scores = Self {
            width,
            words: vec![0; width * dag.len()],
        };
        let nearest = nearest_users(dag);
        for_uppers(dag, |node, members, uppers| {
            let known = nearest[node as usize].map_or(0, |user| uppers[user as usize]);
            let mut new = uppers[node as usize] & !known;
            let score = &mut scores.words[node as usize * width..][..width];
            while new != 0 {
                let upper = members[new.trailing_zeros() as usize];
                add(score, &ways[upper as usize]);
                new &= new - 1;
            }
        });
        for &node in dag.dependencies_first().iter().rev() {
            if let Some(user) = nearest[node as usize] {
                let of_user = scores.of(user as usize).to_vec();
                add(
                    &mut scores.words[node as usize * width..][..width],
                    &of_user,
                );
            }
        }
        scores
    }

    fn of(&self, node: usize) -> &[u64] {
        &self.words[node * self.width..][..self.width]
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        self.of(a).iter().rev().cmp(self.of(b).iter().rev())
    }
}

/// For each node the user that shares the most uppers with it: the one that has the most.
fn nearest_users(dag: &Dag) -> Vec<Option<u32>> {
    let mut counts = vec![0u32; dag.len()];
    for_uppers(dag, |node, _, uppers| {
        counts[node as usize] += uppers[node as usize].count_ones();
    });
    let most = |node| {
        let users = dag.users(node).iter().copied();
        users.max_by_key(|&user| counts[user as usize])
    };
    (0..dag.len() as u32).map(most).collect()
}

/// How many ways lead from a node above all roots to each node.
fn ways_from_top(dag: &Dag) -> Vec<Vec<u64>> {
    let mut ways = vec![Vec::new(); dag.len()];
    for &node in dag.dependencies_first().iter().rev() {
        let mut count = vec![u64::from(dag.users(node).is_empty())];
        for &user in dag.users(node) {
            add_growing(&mut count, &ways[user as usize]);
        }
        ways[node as usize] = count;
    }
    ways
}

/// Adds to a number that has room for the sum.
fn add(number: &mut [u64], other: &[u64]) {
    let (low, high) = number.split_at_mut(other.len());
    let mut carry = false;
    for (word, &other) in low.iter_mut().zip(other) {
        (*word, carry) = word.carrying_add(other, carry);
    }
    for word in high {
        if !carry {
            break;
        }
        (*word, carry) = word.overflowing_add(1);
    }
}

/// Adds to a number, which becomes longer where the sum is.
fn add_growing(number: &mut Vec<u64>, other: &[u64]) {
    number.resize(number.len().max(other.len()) + 1, 0);
    add(number, other);
    while number.len() > 1 && number.last() == Some(&0) {
        number.pop();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{closure, numbered};

    /// The recursion as nixpkgs has it, on small graphs.
    fn recursive(closure: &Closure) -> BTreeMap<NodeIndex, u64> {
        fn below(closure: &Closure, children: &[NodeIndex]) -> BTreeMap<NodeIndex, u64> {
            let mut counts = BTreeMap::new();
            for &child in children {
                *counts.entry(child).or_insert(0) += 1;
                let grandchildren: Vec<_> = closure.graph().neighbors(child).collect();
                for (node, count) in below(closure, &grandchildren) {
                    *counts.entry(node).or_insert(0) += count + 1;
                }
            }
            counts
        }
        below(closure, closure.roots())
    }

    fn scores(closure: &Closure) -> Scores {
        let nodes: Vec<_> = closure.graph().node_indices().collect();
        Scores::new(&Dag::of_parts(closure, &[nodes]))
    }

    fn names(closure: &Closure) -> Vec<&str> {
        let nodes: Vec<_> = closure.graph().node_indices().collect();
        let order = order(closure, &[nodes]).into_iter();
        order
            .map(|node| closure.graph()[node].path.name())
            .collect()
    }

    #[test]
    fn counts_of_the_format_description() {
        let closure = closure(&[
            ("A", 1, &["B", "G"]),
            ("B", 1, &["C", "E"]),
            ("C", 1, &["D", "E"]),
            ("D", 1, &["F"]),
            ("E", 1, &["F"]),
            ("F", 1, &[]),
            ("G", 1, &[]),
        ]);
        let scores = scores(&closure);
        let mut counts: Vec<_> = closure
            .graph()
            .node_indices()
            .map(|node| (closure.graph()[node].path.name(), scores.of(node.index())))
            .collect();
        counts.sort();
        let expected = [1u64, 2, 3, 4, 5, 9, 2].map(|count| [count]);
        let expected: Vec<_> = ["A", "B", "C", "D", "E", "F", "G"]
            .into_iter()
            .zip(expected.iter().map(|count| &count[..]))
            .collect();
        assert_eq!(counts, expected);
    }

    #[test]
    fn ties_stand_in_the_order_of_name_then_store_and_hash() {
        let closure = closure(&[("lib", 1, &[]), ("lib-a", 1, &[]), ("lib+b", 1, &[])]);
        assert_eq!(names(&closure), ["lib+b", "lib", "lib-a"]);
    }

    #[test]
    fn counts_longer_than_any_machine_word_stay_exact() {
        // 400 diamonds: the ways double at each. `x` and `y` differ by one in some 2^400.
        let mut entries = vec![("top".to_owned(), vec!["l0".to_owned(), "r0".to_owned()])];
        for at in 0..400 {
            entries.push((format!("l{at}"), vec![format!("m{at}")]));
            entries.push((format!("r{at}"), vec![format!("m{at}")]));
            let below = [format!("l{}", at + 1), format!("r{}", at + 1)];
            let leaves = ["x".to_owned(), "y".to_owned()];
            entries.push((
                format!("m{at}"),
                if at < 399 { below } else { leaves }.to_vec(),
            ));
        }
        entries.push(("x".to_owned(), vec![]));
        entries.push(("y".to_owned(), vec![]));
        entries.push(("other".to_owned(), vec!["y".to_owned()]));
        let entries: Vec<(&str, Vec<&str>)> = entries
            .iter()
            .map(|(name, below)| (name.as_str(), below.iter().map(String::as_str).collect()))
            .collect();
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, below)| (*name, 1, &below[..]))
            .collect();
        let closure = closure(&entries);
        let names = names(&closure);
        assert_eq!(&names[..3], ["y", "x", "m399"]);
        assert_eq!(&names[names.len() - 2..], ["other", "top"]);
    }

    #[test]
    fn more_uppers_than_a_word_has_bits() {
        let users: Vec<String> = (0..200).map(|at| format!("user{at}")).collect();
        let mut entries: Vec<(&str, u64, &[&str])> = vec![("lib", 1, &[])];
        entries.extend(users.iter().map(|user| (user.as_str(), 1, &["lib"][..])));
        let closure = closure(&entries);
        let lib = closure.node(&crate::testing::path("lib")).unwrap();
        // One way to each user, and one through each user to lib.
        assert_eq!(scores(&closure).of(lib.index()), [400]);
    }

    proptest! {
        #[test]
        fn sums_over_uppers_are_the_recursion(
            entries in proptest::collection::vec((0u64..9, proptest::collection::vec(0usize..99, 0..4)), 1..14),
        ) {
            let closure = numbered(&entries);
            let scores = scores(&closure);
            for (node, count) in recursive(&closure) {
                prop_assert_eq!(scores.of(node.index()), [count]);
            }
        }
    }
}
