//! The order of layers: those that rarely change are at the bottom.
//!
//! Where layers are identified by chain, a change in one costs all those above it. With B the
//! derivations of a layer and of all below it, an order costs `Σ size · chance(B)` in each release.

use crate::merge::Group;
use crate::risk::{DerivationSet, Risks, chance};

/// Up to this many layers, the choice of the next one looks at what it makes free. That takes the
/// cube of their number.
const MOST_TO_LOOK_AHEAD: usize = 200;

/// Rounds of moves end by themselves, sooner but for costs too close to tell apart.
const MOST_ROUNDS: usize = 30;

/// A move has to gain this part of what it changes: less may be a rounding, and moves could go to
/// and fro for ever.
const LEAST_GAIN: f64 = 1e-9;

/// The order of groups above layers that have the derivations `below`, the lowest first.
pub(crate) fn order(risks: &Risks, below: &DerivationSet, groups: &[&Group]) -> Vec<usize> {
    let mut order = greedy(risks, below, groups);
    for _ in 0..MOST_ROUNDS {
        let mut moved = false;
        for group in 0..groups.len() {
            moved |= move_one(risks, below, groups, &mut order, group);
        }
        if !moved {
            break;
        }
    }
    order
}

/// For each group, in an order that is about as good, the chance that it or something below it changes.
pub(crate) fn stacked(risks: &Risks, below: &DerivationSet, groups: &[&Group]) -> Vec<f64> {
    let order = if groups.len() <= MOST_TO_LOOK_AHEAD {
        order(risks, below, groups)
    } else {
        greedy(risks, below, groups)
    };
    let mut known = below.clone();
    let mut odds = risks.odds_of(&known);
    let mut stacked = vec![0.0; groups.len()];
    for at in order {
        odds += risks.odds_of_new(&known, &groups[at].derivations);
        known.add(&groups[at].derivations);
        stacked[at] = chance(odds);
    }
    stacked
}

/// Next is always the layer whose derivations bring the least chance for the bytes that can then
/// stand: its own, and those of all layers that need no other derivation.
fn greedy(risks: &Risks, below: &DerivationSet, groups: &[&Group]) -> Vec<usize> {
    let look_ahead = groups.len() <= MOST_TO_LOOK_AHEAD;
    let mut known = below.clone();
    let mut odds = risks.odds_of(&known);
    let mut left: Vec<usize> = (0..groups.len()).collect();
    let mut order = Vec::with_capacity(groups.len());
    while !left.is_empty() {
        let cost = |&at: &usize| {
            let more = risks.odds_of_new(&known, &groups[at].derivations);
            let mut then = known.clone();
            then.add(&groups[at].derivations);
            let bytes: u64 = left
                .iter()
                .filter(|&&other| {
                    other == at || look_ahead && then.holds(&groups[other].derivations)
                })
                .map(|&other| groups[other].size)
                .sum();
            (chance(odds + more) - chance(odds)) / bytes.max(1) as f64
        };
        let costs = left.iter().map(cost).enumerate();
        let Some((next, _)) = costs.min_by(|a, b| a.1.total_cmp(&b.1)) else {
            break;
        };
        let next = left.remove(next);
        odds += risks.odds_of_new(&known, &groups[next].derivations);
        known.add(&groups[next].derivations);
        order.push(next);
        left.retain(|&at| {
            let free = known.holds(&groups[at].derivations);
            if free {
                order.push(at);
            }
            !free
        });
    }
    order
}

/// Moves a layer to where the whole order is cheapest, and says whether that was elsewhere.
fn move_one(
    risks: &Risks,
    below: &DerivationSet,
    groups: &[&Group],
    order: &mut Vec<usize>,
    group: usize,
) -> bool {
    let Some(from) = order.iter().position(|&at| at == group) else {
        return false;
    };
    order.remove(from);
    let moving = groups[group];
    let mut known = below.clone();
    let mut odds = risks.odds_of(&known);
    let with_moving =
        |known: &DerivationSet, odds| chance(odds + risks.odds_of_new(known, &moving.derivations));
    // For each place, what the layer itself costs there; for each other layer, what it costs more
    // above the moving one.
    let mut costs = vec![moving.size as f64 * with_moving(&known, odds)];
    let mut more = Vec::with_capacity(order.len());
    for other in order.iter().map(|&at| groups[at]) {
        odds += risks.odds_of_new(&known, &other.derivations);
        known.add(&other.derivations);
        let with = with_moving(&known, odds);
        costs.push(moving.size as f64 * with);
        more.push(other.size as f64 * (with - chance(odds)));
    }
    let mut above = 0.0;
    for (cost, more) in costs.iter_mut().zip(&more).rev() {
        above += more;
        *cost += above;
    }
    let mut to = from;
    for place in 0..costs.len() {
        if costs[place] < costs[to] * (1.0 - LEAST_GAIN) {
            to = place;
        }
    }
    order.insert(to, group);
    to != from
}
