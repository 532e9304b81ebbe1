//! How likely layers change: closures as sets of derivations, each with its odds of changing from
//! one release to the next.
//!
//! A derivation changes by itself, and its outputs change together. A layer changes if and only if a derivation in the closure of one of its paths does. Odds are whole
//! numbers, so that their sums do not depend on the order of adding; the chance that one of
//! several derivations changes is `odds / (1 + odds)` of the sum, exact for one and close for many.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::graph::NodeIndex;

use crate::closure::Closure;
use crate::derivation_name::DerivationName;
use crate::history::History;

/// Odds of one: a change as likely as none. So the smallest odds, those of a package that never
/// changed, keep four digits, and the sum of any closure's is below 2^53.
const EVEN: u64 = 1 << 24;

/// Changes and releases without one, in thousandths, that a root is taken to have had before any
/// was seen: two each, since roots are what is being worked on. What is seen soon counts for more.
const ROOT_PRIOR: (u64, u64) = (2_000, 2_000);

/// The same for everything below: about one update of a package in 240 releases. It
/// weighs as much as sixty releases, so that one change that was seen does not make a package a restless
/// one.
const PACKAGE_PRIOR: (u64, u64) = (250, 60_000);

/// Up to this many paths each is told from each other. Of more, the largest are; the rest stand
/// together where they need the same of these. Pairs of groups are weighed, so the time grows with
/// the square.
const MOST_TOLD_APART: usize = 700;

/// A set of derivations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DerivationSet(Vec<u64>);

impl DerivationSet {
    fn none(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, derivation: u32) {
        self.0[derivation as usize / 64] |= 1 << (derivation % 64);
    }

    fn has(&self, derivation: u32) -> bool {
        self.0[derivation as usize / 64] >> (derivation % 64) & 1 == 1
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    pub(crate) fn keep_common(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
    }

    /// Whether nothing of `other` is missing.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        let mut words = self.0.iter().zip(&other.0);
        words.all(|(word, other)| other & !word == 0)
    }
}

/// The derivations of a closure, and which of them are in the closure of each path.
#[derive(Debug)]
pub(crate) struct Risks {
    derivation_of: Vec<u32>,
    below: Vec<DerivationSet>,
    odds: Vec<u64>,
    roots: Vec<bool>,
    /// Whether only large derivations are told apart.
    coarse: bool,
}

impl Risks {
    pub(crate) fn new(
        closure: &Closure,
        history: &History,
        hidden: impl Fn(NodeIndex) -> bool,
    ) -> Self {
        Self::telling_apart(MOST_TOLD_APART, closure, history, hidden)
    }

    /// The same with up to so many paths told from each other.
    pub(crate) fn telling_apart(
        most: usize,
        closure: &Closure,
        history: &History,
        hidden: impl Fn(NodeIndex) -> bool,
    ) -> Self {
        let derivation_of = derivations(closure, most);
        let (odds, roots) = odds(closure, &derivation_of, history, hidden);
        Self {
            below: closures(closure, &derivation_of, odds.len()),
            coarse: derivation_of.len() > most,
            derivation_of,
            odds,
            roots,
        }
    }

    /// Nodes that need the same derivations: they need not be told apart. Each is in one group, and the
    /// order is that of the first in each.
    pub(crate) fn alike(&self, nodes: Vec<NodeIndex>) -> Vec<Vec<NodeIndex>> {
        let mut group_of = BTreeMap::<(u32, &DerivationSet), usize>::new();
        let mut groups: Vec<Vec<NodeIndex>> = Vec::new();
        let nothing = DerivationSet::none(0);
        for node in nodes {
            let below = if self.coarse {
                &nothing
            } else {
                self.below(node)
            };
            let group = *group_of
                .entry((self.derivation_of[node.index()], below))
                .or_insert(groups.len());
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push(node);
        }
        groups
    }

    /// Of what all of these nodes need, the node that needs most itself: the highest.
    pub(crate) fn needed_by_all(&self, nodes: &[NodeIndex]) -> Option<NodeIndex> {
        let (first, others) = nodes.split_first()?;
        let mut common = self.below(*first).clone();
        for &other in others {
            common.keep_common(self.below(other));
        }
        let highest = |node: &NodeIndex| {
            let derivation = self.derivation_of[node.index()];
            (
                self.below(*node).len(),
                std::cmp::Reverse((derivation, *node)),
            )
        };
        (0..self.derivation_of.len())
            .map(NodeIndex::new)
            .filter(|&node| common.has(self.derivation_of[node.index()]))
            .max_by_key(highest)
    }

    /// Whether a derivation is one that is worked on, rather than a package.
    pub(crate) fn is_root(&self, node: NodeIndex) -> bool {
        self.roots[self.derivation_of[node.index()] as usize]
    }

    /// The derivations in a path's closure, its own included.
    pub(crate) fn below(&self, node: NodeIndex) -> &DerivationSet {
        &self.below[node.index()]
    }

    pub(crate) fn none(&self) -> DerivationSet {
        DerivationSet::none(self.odds.len())
    }

    /// The odds of what `more` has and `known` has not.
    pub(crate) fn odds_of_new(&self, known: &DerivationSet, more: &DerivationSet) -> u64 {
        let mut sum = 0;
        for (at, (known, more)) in known.0.iter().zip(&more.0).enumerate() {
            let mut new = more & !known;
            while new != 0 {
                sum += self.odds[at * 64 + new.trailing_zeros() as usize];
                new &= new - 1;
            }
        }
        sum
    }

    pub(crate) fn odds_of(&self, derivations: &DerivationSet) -> u64 {
        self.odds_of_new(&self.none(), derivations)
    }
}

/// The chance of a change, from odds. Both are below 2^53 for any closure that fits in memory, so
/// the division is exact to the last bit on any machine.
pub(crate) fn chance(odds: u64) -> f64 {
    odds as f64 / (odds + EVEN) as f64
}

/// The number of each node's derivation. Numbers are in the order of names.
fn derivations(closure: &Closure, most_told_apart: usize) -> Vec<u32> {
    let names: Vec<&str> = closure
        .paths()
        .map(|info| DerivationName::parse(info.path.name()).derivation)
        .collect();
    if names.len() <= most_told_apart {
        return numbered(&names);
    }
    let mut bytes = BTreeMap::<&str, u64>::new();
    for (info, name) in closure.paths().zip(&names) {
        *bytes.entry(name).or_default() += info.nar_size;
    }
    let mut largest_first: Vec<(&str, u64)> = bytes.into_iter().collect();
    largest_first.sort_by_key(|&(name, bytes)| (std::cmp::Reverse(bytes), name));
    let mut most = most_told_apart / 2;
    loop {
        let large: BTreeSet<&str> = largest_first
            .iter()
            .take(most)
            .map(|&(name, _)| name)
            .collect();
        let (of_node, count) = told_apart_by(closure, &names, &large);
        if count <= most_told_apart || most == 0 {
            return of_node;
        }
        most /= 2;
    }
}

/// Derivations where only the large ones are told apart: the others by which large ones they need.
fn told_apart_by(closure: &Closure, names: &[&str], large: &BTreeSet<&str>) -> (Vec<u32>, usize) {
    let number_of: BTreeMap<&str, u32> = (0..).zip(large).map(|(at, &name)| (name, at)).collect();
    let of_large: Vec<u32> = names
        .iter()
        .map(|name| number_of.get(name).copied().unwrap_or(u32::MAX))
        .collect();
    let below = closures(closure, &of_large, large.len());
    // What a group of small ones is called: the first name in it.
    let mut called = BTreeMap::<(u32, &DerivationSet), &str>::new();
    for (at, name) in names.iter().enumerate() {
        let called = called.entry((of_large[at], &below[at])).or_insert(name);
        *called = (*called).min(name);
    }
    // A large derivation whose outputs need different things is one all the same.
    let keys: Vec<(&str, Option<&DerivationSet>)> = names
        .iter()
        .enumerate()
        .map(|(at, &name)| {
            if of_large[at] == u32::MAX {
                (called[&(u32::MAX, &below[at])], Some(&below[at]))
            } else {
                (name, None)
            }
        })
        .collect();
    let numbers = numbered(&keys);
    let count = numbers.iter().max().map_or(0, |&most| most as usize + 1);
    (numbers, count)
}

/// Equal items get equal numbers, in the order of the items.
fn numbered<T: Ord>(items: &[T]) -> Vec<u32> {
    let mut numbers: BTreeMap<&T, u32> = items.iter().map(|item| (item, 0)).collect();
    for (at, number) in (0..).zip(numbers.values_mut()) {
        *number = at;
    }
    items.iter().map(|item| numbers[item]).collect()
}

/// The derivations in the closure of each node. A node of derivation `u32::MAX` has none of its own.
fn closures(closure: &Closure, derivation_of: &[u32], count: usize) -> Vec<DerivationSet> {
    let mut below = vec![DerivationSet::none(count); closure.len()];
    for &node in closure.dependencies_first() {
        let mut set = std::mem::replace(&mut below[node.index()], DerivationSet::none(0));
        for reference in closure.graph().neighbors(node) {
            set.add(&below[reference.index()]);
        }
        if derivation_of[node.index()] != u32::MAX {
            set.insert(derivation_of[node.index()]);
        }
        below[node.index()] = set;
    }
    below
}

/// The odds of each derivation, those of all packages in it, and whether it is a root.
fn odds(
    closure: &Closure,
    derivation_of: &[u32],
    history: &History,
    hidden: impl Fn(NodeIndex) -> bool,
) -> (Vec<u64>, Vec<bool>) {
    let graph = closure.graph();
    // Per derivation and package; a package is a root where one path of it is.
    let mut packages = BTreeMap::<(u32, &str), bool>::new();
    for node in graph.node_indices() {
        let package = DerivationName::parse(graph[node].path.name()).package;
        let mut users = graph.neighbors_directed(node, Direction::Incoming);
        let is_root = !hidden(node) && users.all(&hidden);
        *packages
            .entry((derivation_of[node.index()], package))
            .or_default() |= is_root;
    }
    let count = derivation_of
        .iter()
        .max()
        .map_or(0, |&most| most as usize + 1);
    let mut odds = vec![0; count];
    let mut roots = vec![false; count];
    for ((derivation, package), is_root) in packages {
        let (changed, unchanged) = if is_root { ROOT_PRIOR } else { PACKAGE_PRIOR };
        let changes = history.changes(package);
        let others = history.releases() - changes;
        odds[derivation as usize] +=
            (u64::from(changes) * 1_000 + changed) * EVEN / (u64::from(others) * 1_000 + unchanged);
        roots[derivation as usize] |= is_root;
    }
    (odds, roots)
}
