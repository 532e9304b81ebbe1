//! How likely layers change: closures as sets of sources, each with its odds of changing from one
//! release to the next.
//!
//! A source is what changes by itself: a derivation, whose outputs change together. A layer
//! changes if and only if a source in the closure of one of its paths does. Odds are whole
//! numbers, so that their sums do not depend on the order of adding; the chance that one of
//! several sources changes is `odds / (1 + odds)` of the sum, exact for one and close for many.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::graph::NodeIndex;

use crate::Closure;
use crate::history::History;
use crate::source::SourceName;

/// Odds of one: a change as likely as none.
const EVEN: u64 = 1 << 24;

/// Changes and releases without one, in thousandths, that a root is taken to have had before any
/// was seen. Roots are what is being worked on.
const ROOT_PRIOR: (u64, u64) = (1_000, 1_000);

/// The same for everything below: about one update of a package in two hundred releases.
const PACKAGE_PRIOR: (u64, u64) = (100, 20_000);

/// Up to this many paths each is told from each other. Of more, the largest are; the rest stand
/// together where they need the same of these.
const MOST_TOLD_APART: usize = 700;

/// A set of sources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sources(Vec<u64>);

impl Sources {
    fn none(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, source: u32) {
        self.0[source as usize / 64] |= 1 << (source % 64);
    }

    fn has(&self, source: u32) -> bool {
        self.0[source as usize / 64] >> (source % 64) & 1 == 1
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

/// The sources of a closure, and which of them are in the closure of each path.
#[derive(Debug)]
pub(crate) struct Risks {
    source_of: Vec<u32>,
    below: Vec<Sources>,
    odds: Vec<u64>,
    roots: Vec<bool>,
}

impl Risks {
    pub(crate) fn new(
        closure: &Closure,
        history: &History,
        hidden: impl Fn(NodeIndex) -> bool,
    ) -> Self {
        let source_of = sources(closure);
        let (odds, roots) = odds(closure, &source_of, history, hidden);
        Self {
            below: closures(closure, &source_of, odds.len()),
            source_of,
            odds,
            roots,
        }
    }

    /// Nodes that need the same sources: they need not be told apart. Each is in one group, and the
    /// order is that of the first in each.
    pub(crate) fn alike(&self, nodes: Vec<NodeIndex>) -> Vec<Vec<NodeIndex>> {
        let mut group_of = BTreeMap::<(u32, &Sources), usize>::new();
        let mut groups: Vec<Vec<NodeIndex>> = Vec::new();
        let coarse = self.source_of.len() > MOST_TOLD_APART;
        let nothing = Sources::none(0);
        for node in nodes {
            let below = if coarse { &nothing } else { self.below(node) };
            let group = *group_of
                .entry((self.source_of[node.index()], below))
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
            let source = self.source_of[node.index()];
            (self.below(*node).len(), std::cmp::Reverse((source, *node)))
        };
        (0..self.source_of.len())
            .map(NodeIndex::new)
            .filter(|&node| common.has(self.source_of[node.index()]))
            .max_by_key(highest)
    }

    /// Whether a source is one that is worked on, rather than a package.
    pub(crate) fn is_root(&self, node: NodeIndex) -> bool {
        self.roots[self.source_of[node.index()] as usize]
    }

    /// The sources in a path's closure, its own included.
    pub(crate) fn below(&self, node: NodeIndex) -> &Sources {
        &self.below[node.index()]
    }

    pub(crate) fn none(&self) -> Sources {
        Sources::none(self.odds.len())
    }

    /// The odds of what `more` has and `known` has not.
    pub(crate) fn odds_of_new(&self, known: &Sources, more: &Sources) -> u64 {
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

    pub(crate) fn odds_of(&self, sources: &Sources) -> u64 {
        self.odds_of_new(&self.none(), sources)
    }
}

/// The chance of a change, from odds. Both are below 2^53 for any closure that fits in memory, so
/// the division is exact to the last bit on any machine.
pub(crate) fn chance(odds: u64) -> f64 {
    odds as f64 / (odds + EVEN) as f64
}

/// The number of each node's source. Numbers are in the order of names.
fn sources(closure: &Closure) -> Vec<u32> {
    let names: Vec<&str> = closure
        .paths()
        .map(|info| SourceName::parse(info.path.name()).source)
        .collect();
    if names.len() <= MOST_TOLD_APART {
        return numbered(&names);
    }
    let mut bytes = BTreeMap::<&str, u64>::new();
    for (info, name) in closure.paths().zip(&names) {
        *bytes.entry(name).or_default() += info.nar_size;
    }
    let mut largest_first: Vec<(&str, u64)> = bytes.into_iter().collect();
    largest_first.sort_by_key(|&(name, bytes)| (std::cmp::Reverse(bytes), name));
    let mut most = MOST_TOLD_APART / 2;
    loop {
        let large: BTreeSet<&str> = largest_first
            .iter()
            .take(most)
            .map(|&(name, _)| name)
            .collect();
        let (of_node, count) = told_apart_by(closure, &names, &large);
        if count <= MOST_TOLD_APART || most == 0 {
            return of_node;
        }
        most /= 2;
    }
}

/// Sources where only the large ones are told apart: the others by which large ones they need.
fn told_apart_by(closure: &Closure, names: &[&str], large: &BTreeSet<&str>) -> (Vec<u32>, usize) {
    let number_of: BTreeMap<&str, u32> = (0..).zip(large).map(|(at, &name)| (name, at)).collect();
    let of_large: Vec<u32> = names
        .iter()
        .map(|name| number_of.get(name).copied().unwrap_or(u32::MAX))
        .collect();
    let below = closures(closure, &of_large, large.len());
    // What a group of small ones is called: the first name in it.
    let mut called = BTreeMap::<(u32, &Sources), &str>::new();
    for (at, name) in names.iter().enumerate() {
        let called = called.entry((of_large[at], &below[at])).or_insert(name);
        *called = (*called).min(name);
    }
    // A large source whose outputs need different things is one all the same.
    let keys: Vec<(&str, Option<&Sources>)> = names
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

/// The sources in the closure of each node. A node of source `u32::MAX` has none of its own.
fn closures(closure: &Closure, source_of: &[u32], count: usize) -> Vec<Sources> {
    let mut below = vec![Sources::none(count); closure.len()];
    for &node in closure.dependencies_first() {
        let mut set = std::mem::replace(&mut below[node.index()], Sources::none(0));
        for reference in closure.graph().neighbors(node) {
            set.add(&below[reference.index()]);
        }
        if source_of[node.index()] != u32::MAX {
            set.insert(source_of[node.index()]);
        }
        below[node.index()] = set;
    }
    below
}

/// The odds of each source, those of all packages in it, and whether it is a root.
fn odds(
    closure: &Closure,
    source_of: &[u32],
    history: &History,
    hidden: impl Fn(NodeIndex) -> bool,
) -> (Vec<u64>, Vec<bool>) {
    let graph = closure.graph();
    // Per source and package; a package is a root where one path of it is.
    let mut packages = BTreeMap::<(u32, &str), bool>::new();
    for node in graph.node_indices() {
        let package = SourceName::parse(graph[node].path.name()).package;
        let mut users = graph.neighbors_directed(node, Direction::Incoming);
        let is_root = !hidden(node) && users.all(&hidden);
        *packages
            .entry((source_of[node.index()], package))
            .or_default() |= is_root;
    }
    for &root in closure.roots() {
        let package = SourceName::parse(graph[root].path.name()).package;
        *packages
            .entry((source_of[root.index()], package))
            .or_default() |= !hidden(root);
    }
    let count = source_of.iter().max().map_or(0, |&most| most as usize + 1);
    let mut odds = vec![0; count];
    let mut roots = vec![false; count];
    for ((source, package), is_root) in packages {
        let (changed, unchanged) = if is_root { ROOT_PRIOR } else { PACKAGE_PRIOR };
        let changes = history.changes(package);
        let others = history.releases() - changes;
        odds[source as usize] +=
            (u64::from(changes) * 1_000 + changed) * EVEN / (u64::from(others) * 1_000 + unchanged);
        roots[source as usize] |= is_root;
    }
    (odds, roots)
}
