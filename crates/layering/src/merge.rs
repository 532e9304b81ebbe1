//! Which paths share a layer: the two groups that cost least together are joined, until nothing is
//! gained.

use std::cmp::Ordering;

use petgraph::graph::NodeIndex;

use crate::risk::{DerivationSet, Risks, chance};

/// Paths that are to be one layer.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) nodes: Vec<NodeIndex>,
    /// Bytes.
    pub(crate) size: u64,
    /// What it changes with.
    pub(crate) derivations: DerivationSet,
    pub(crate) odds: u64,
    /// Of a change from one release to the next.
    pub(crate) chance: f64,
    /// Of a change in it or in what is expected to be below it; 0 where the order plays no part.
    pub(crate) stacked: f64,
    /// While it is a layer of the previous plan.
    pub(crate) kept: Option<Kept>,
}

/// A layer of the previous plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// Its place in that plan.
    pub(crate) place: usize,
    /// Bytes in each release that its stay saves: what is pulled once if it goes, spread over the
    /// releases that layers last.
    pub(crate) saves: f64,
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
            chance: chance(odds),
            stacked: 0.0,
            kept: None,
        }
    }

    pub(crate) fn join(&mut self, risks: &Risks, other: Self) {
        self.odds += risks.odds_of_new(&self.derivations, &other.derivations);
        self.chance = chance(self.odds);
        self.stacked = self.stacked.max(other.stacked);
        self.kept = None;
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
    /// Bytes in each release: those of the one that are pulled because the other changed, by digest and
    /// by chain, and what the stay of layers of the previous plan would save, less what a request for
    /// one more layer costs.
    bytes: f64,
}

impl Cost {
    fn new(risks: &Risks, a: &Group, b: &Group, min_size: u64) -> Self {
        // Of one set inside the other, which is common, nothing has to be added up this way round.
        let (more, less) = if a.odds < b.odds { (b, a) } else { (a, b) };
        let odds = more.odds + risks.odds_of_new(&more.derivations, &less.derivations);
        Self::at_chance(chance(odds), a, b, min_size)
    }

    /// What it is at least, whatever the groups have in common: together they change no less often than
    /// the one that changes more often.
    fn at_least(a: &Group, b: &Group, min_size: u64) -> Self {
        Self::at_chance(a.chance.max(b.chance), a, b, min_size)
    }

    /// The cost if the two together change with this chance. It never falls when the chance rises, not
    /// by a rounding either: each step keeps the order of what goes into it.
    fn at_chance(together: f64, a: &Group, b: &Group, min_size: u64) -> Self {
        let top = a.stacked.max(b.stacked);
        let pulled = |group: &Group| {
            let by_digest = together - group.chance;
            let by_chain = top - group.stacked;
            group.size as f64 * (by_digest + by_chain)
        };
        let saved = |group: &Group| group.kept.map_or(0.0, |kept| kept.saves);
        let small = |group: &Group| group.kept.is_none() && group.size < min_size;
        let requests = a.chance + b.chance - together;
        Self {
            small: small(a) || small(b),
            bytes: pulled(a) + pulled(b) + (saved(a) + saved(b)) - min_size as f64 * requests,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let small_first = other.small.cmp(&self.small);
        small_first.then(self.bytes.total_cmp(&other.bytes))
    }
}

/// What is known of a group's best partner among those behind it.
#[derive(Debug, Clone, Copy)]
struct Best {
    /// What the pair costs. No partner behind the group costs less.
    cost: Cost,
    /// The first partner of that cost. None where the one that was known has changed, or is gone: then
    /// the cost is a bound, and the partner is looked for if the bound is the least of all.
    partner: Option<usize>,
}

impl Best {
    /// Whether a pair of this cost comes before the known one.
    fn is_after(&self, cost: Cost, partner: usize) -> bool {
        let by_cost = cost.compare(&self.cost);
        by_cost
            .then(partner.cmp(&self.partner.unwrap_or(0)))
            .is_lt()
    }
}

/// Joins groups until there are no more than `most`, none is smaller than `min_size` bytes (unless
/// it is the only one, or a layer of the previous plan), and no two are better off as one. Of equal pairs, the first is joined.
///
/// To weigh all pairs anew in each round would make the time grow with the cube of the groups. What is
/// known of each group's best partner is kept from round to round, and no pair is weighed that can be
/// told to be no better by sizes and chances alone.
pub(crate) fn merge(risks: &Risks, groups: Vec<Group>, most: usize, min_size: u64) -> Vec<Group> {
    let mut left = groups.len();
    let mut groups: Vec<Option<Group>> = groups.into_iter().map(Some).collect();
    let cheapest = |groups: &[Option<Group>], at: usize| cheapest(risks, groups, at, min_size);
    let mut best: Vec<Option<Best>> = (0..groups.len()).map(|at| cheapest(&groups, at)).collect();
    loop {
        let pairs = best.iter().enumerate();
        let next = pairs
            .filter_map(|(at, best)| Some((at, best.as_ref()?)))
            .min_by(|(_, a), (_, b)| a.cost.compare(&b.cost));
        let Some((at, &Best { cost, partner })) = next else {
            break;
        };
        let Some(other) = partner else {
            best[at] = cheapest(&groups, at);
            continue;
        };
        if left <= most && !cost.small && cost.bytes >= 0.0 {
            break;
        }
        best[other] = None;
        if let (Some(joined), Some(other)) = (groups[other].take(), &mut groups[at]) {
            other.join(risks, joined);
            left -= 1;
        }
        best[at] = cheapest(&groups, at);
        let Some(joined) = &groups[at] else { continue };
        for (user, best) in best.iter_mut().enumerate() {
            let (Some(group), Some(known)) = (&groups[user], best) else {
                continue;
            };
            if user != at && (known.partner == Some(at) || known.partner == Some(other)) {
                known.partner = None;
            }
            if user < at && known.is_after(Cost::at_least(group, joined, min_size), at) {
                let cost = Cost::new(risks, group, joined, min_size);
                if known.is_after(cost, at) {
                    let partner = Some(at);
                    *known = Best { cost, partner };
                }
            }
        }
    }
    groups.into_iter().flatten().collect()
}

fn cheapest(risks: &Risks, groups: &[Option<Group>], at: usize, min_size: u64) -> Option<Best> {
    let group = groups[at].as_ref()?;
    let mut best: Option<Best> = None;
    for (other, partner) in groups.iter().enumerate().skip(at + 1) {
        let Some(partner) = partner else { continue };
        let is_better = |cost: Cost| best.is_none_or(|best| best.is_after(cost, other));
        if is_better(Cost::at_least(group, partner, min_size)) {
            let cost = Cost::new(risks, group, partner, min_size);
            if is_better(cost) {
                let partner = Some(other);
                best = Some(Best { cost, partner });
            }
        }
    }
    best
}
