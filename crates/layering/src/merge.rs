//! Which paths share a layer: the two groups that cost least together are joined, until nothing is
//! gained.

use std::cmp::Ordering;

use petgraph::graph::NodeIndex;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};

use crate::risk::{DerivationSet, Risks, chance};

/// With fewer groups than this, one thread has weighed them before others are awake.
const FEW: usize = 64;

/// Paths that are to be one layer.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) nodes: Vec<NodeIndex>,
    /// Bytes.
    pub(crate) size: u64,
    /// What it changes with.
    pub(crate) derivations: DerivationSet,
    pub(crate) odds: u64,
}

impl Group {
    pub(crate) fn new(risks: &Risks, nodes: Vec<NodeIndex>, size: u64) -> Self {
        let mut derivations = risks.none();
        for &node in &nodes {
            derivations.add(risks.below(node));
        }
        let odds = risks.odds_of(&derivations);
        Self {
            nodes,
            size,
            derivations,
            odds,
        }
    }

    pub(crate) fn chance(&self) -> f64 {
        chance(self.odds)
    }

    fn join(&mut self, risks: &Risks, other: Self) {
        self.odds += risks.odds_of_new(&self.derivations, &other.derivations);
        self.derivations.add(&other.derivations);
        self.size += other.size;
        self.nodes.extend(other.nodes);
    }
}

/// What two groups cost as one layer, compared with two.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Whether one is too small to be a layer, so that they are joined at any price.
    small: bool,
    /// Bytes in each release: those of the one that are pulled because the other changed, less
    /// what a request for one more layer costs.
    bytes: f64,
}

impl Cost {
    fn new(risks: &Risks, a: &Group, b: &Group, min_size: u64) -> Self {
        let together = chance(a.odds + risks.odds_of_new(&a.derivations, &b.derivations));
        let (alone_a, alone_b) = (a.chance(), b.chance());
        let pulled = a.size as f64 * (together - alone_a) + b.size as f64 * (together - alone_b);
        let requests = alone_a + alone_b - together;
        Self {
            small: a.size.min(b.size) < min_size,
            bytes: pulled - min_size as f64 * requests,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let small_first = other.small.cmp(&self.small);
        small_first.then(self.bytes.total_cmp(&other.bytes))
    }
}

/// Joins groups until there are no more than `most`, none is smaller than `min_size` bytes (unless
/// it is the only one), and no two are better off as one. Of equal pairs, the first is joined.
pub(crate) fn merge(risks: &Risks, groups: Vec<Group>, most: usize, min_size: u64) -> Vec<Group> {
    let mut left = groups.len();
    let mut groups: Vec<Option<Group>> = groups.into_iter().map(Some).collect();
    let cheapest = |groups: &[Option<Group>], at: usize| cheapest(risks, groups, at, min_size);
    // For each group the best partner behind it, kept from round to round: to weigh all pairs anew
    // in each would make the time grow with the cube of the groups, not with the square.
    let mut best: Vec<_> = (0..groups.len()).map(|at| cheapest(&groups, at)).collect();
    loop {
        let pairs = best.iter().enumerate();
        let next = pairs
            .filter_map(|(at, best)| best.map(|(cost, other): (Cost, usize)| (cost, at, other)))
            .min_by(|a, b| a.0.compare(&b.0));
        let Some((cost, at, other)) = next else { break };
        if left <= most && !cost.small && cost.bytes >= 0.0 {
            break;
        }
        best[other] = None;
        if let (Some(joined), Some(other)) = (groups[other].take(), &mut groups[at]) {
            other.join(risks, joined);
            left -= 1;
        }
        let Some(joined) = &groups[at] else { continue };
        let update = |(user, best): (usize, &mut Option<(Cost, usize)>)| {
            let Some(group) = &groups[user] else { return };
            match *best {
                _ if user == at => *best = cheapest(&groups, user),
                Some((_, partner)) if partner == at || partner == other => {
                    *best = cheapest(&groups, user);
                }
                known if user < at => {
                    let cost = Cost::new(risks, group, joined, min_size);
                    let better = known.is_none_or(|(known, partner)| {
                        cost.compare(&known).then(at.cmp(&partner)).is_lt()
                    });
                    if better {
                        *best = Some((cost, at));
                    }
                }
                _ => {}
            }
        };
        if best.len() < FEW {
            best.iter_mut().enumerate().for_each(update);
        } else {
            best.par_iter_mut().enumerate().for_each(update);
        }
    }
    groups.into_iter().flatten().collect()
}

fn cheapest(
    risks: &Risks,
    groups: &[Option<Group>],
    at: usize,
    min_size: u64,
) -> Option<(Cost, usize)> {
    let group = groups[at].as_ref()?;
    (at + 1..groups.len())
        .filter_map(|other| {
            let cost = Cost::new(risks, group, groups[other].as_ref()?, min_size);
            Some((cost, other))
        })
        .min_by(|a, b| a.0.compare(&b.0))
}
