//! The order of each image's layers. Docker's classic store knows a layer by the chain of all below
//! it, so images that share layers have them in the same order from the bottom as far as they can: a
//! tree of chains, in which each image is a leaf.

use std::collections::BTreeMap;

use super::anchor::Anchor;
use super::members::Members;
use super::share::Piece;
use super::union::Union;
use crate::merge::Group;
use crate::order::order;
use crate::risk::{DerivationSet, Risks, chance};

/// The layers in each image's order, the lowest first.
pub(crate) struct Chains<'a> {
    risks: &'a Risks,
    pieces: &'a [Piece],
    of_image: Vec<Vec<usize>>,
}

impl<'a> Chains<'a> {
    /// The order of the pieces in each image that is planned, by number.
    pub(crate) fn of(
        union: &Union,
        risks: &'a Risks,
        anchor: &Anchor,
        pieces: &'a [Piece],
        planned: &Members,
    ) -> Vec<Vec<usize>> {
        let mut by_name: Vec<usize> = (0..pieces.len()).collect();
        by_name.sort_by_key(|&at| {
            let path = pieces[at].group.nodes.first();
            let path = path.map(|&node| &union.closure.graph()[node].path);
            path.map(|path| (path.name(), path.hash()))
        });
        let mut chains = Self {
            risks,
            pieces,
            of_image: vec![Vec::new(); anchor.chain_of.len()],
        };
        for (start, images) in chains.starts(anchor, planned) {
            let mut below = risks.none();
            for &at in &start {
                below.add(&pieces[at].group.derivations);
            }
            let free = by_name.iter().copied();
            let free = free.filter(|at| pieces[*at].members.common(&images) > 0);
            let free: Vec<usize> = free.filter(|at| !start.contains(at)).collect();
            for image in images.iter() {
                chains.of_image[image].clone_from(&start);
            }
            chains.grow(&images, below, free);
        }
        chains.of_image
    }

    /// For each image the longest chain of a previous plan that it still has, from the bottom; images
    /// with the same start are together.
    fn starts(&self, anchor: &Anchor, planned: &Members) -> BTreeMap<Vec<usize>, Members> {
        let piece_of: BTreeMap<usize, usize> = (0..self.pieces.len())
            .filter_map(|at| Some((self.pieces[at].kept?, at)))
            .collect();
        let mut starts = BTreeMap::new();
        for image in planned.iter() {
            let own = anchor.chain_of[image].into_iter();
            let chains = own.chain(0..anchor.chains.len());
            let start = |chain: usize| {
                let layers = anchor.chains[chain].iter();
                let pieces = layers.map(|layer| piece_of.get(&(*layer)?).copied());
                let there = pieces
                    .map_while(|piece| piece.filter(|&at| self.pieces[at].members.has(image)));
                there.collect::<Vec<usize>>()
            };
            let size = |start: &Vec<usize>| -> u64 {
                start.iter().map(|&at| self.pieces[at].group.size).sum()
            };
            // The first of the longest.
            let longest = chains.map(start).reduce(|best, other| {
                if size(&other) > size(&best) {
                    other
                } else {
                    best
                }
            });
            let images = starts
                .entry(longest.unwrap_or_default())
                .or_insert_with(|| Members::none(anchor.chain_of.len()));
            images.insert(image);
        }
        starts
    }

    /// Puts layers above what these images have: first what all need, then each part of the images
    /// goes its own way.
    fn grow(&mut self, images: &Members, mut below: DerivationSet, free: Vec<usize>) {
        let (common, free): (Vec<usize>, Vec<usize>) = free
            .into_iter()
            .partition(|&at| self.pieces[at].members.holds(images));
        let (common, free) = self.push_up(&below, common, free);
        let groups: Vec<&Group> = common.iter().map(|&at| &self.pieces[at].group).collect();
        let order = order(self.risks, &below, &groups);
        let above: Vec<usize> = order.into_iter().map(|at| common[at]).collect();
        for image in images.iter() {
            self.of_image[image].extend(&above);
        }
        for &at in &above {
            below.add(&self.pieces[at].group.derivations);
        }
        if free.is_empty() {
            return;
        }
        let part = self.part(images, &below, &free);
        for part in [images.without(&part), part] {
            let of_part = |at: &usize| self.pieces[*at].members.common(&part) > 0;
            let free = free.iter().copied().filter(of_part).collect();
            self.grow(&part, below.clone(), free);
        }
    }

    /// Moves layers that all need above what only some need, where that costs less: each of them is then in
    /// several chains, but what is below it stays when it changes.
    fn push_up(
        &self,
        below: &DerivationSet,
        common: Vec<usize>,
        mut free: Vec<usize>,
    ) -> (Vec<usize>, Vec<usize>) {
        if free.is_empty() {
            return (common, free);
        }
        let groups: Vec<&Group> = common.iter().map(|&at| &self.pieces[at].group).collect();
        let mut stays: Vec<usize> = order(self.risks, below, &groups)
            .into_iter()
            .map(|at| common[at])
            .collect();
        for place in (0..stays.len()).rev() {
            let group = &self.pieces[stays[place]].group;
            let mut others = below.clone();
            for (_, &at) in stays.iter().enumerate().filter(|&(at, _)| at != place) {
                others.add(&self.pieces[at].group.derivations);
            }
            let others_odds = self.risks.odds_of(&others);
            let own = self.risks.odds_of_new(&others, &group.derivations);
            let twice = group.size as f64 * chance(others_odds + own);
            let saved: f64 = free
                .iter()
                .map(|&at| {
                    let above = &self.pieces[at].group;
                    let mut all = others.clone();
                    all.add(&above.derivations);
                    let odds = others_odds + self.risks.odds_of_new(&others, &above.derivations);
                    let with = odds + self.risks.odds_of_new(&all, &group.derivations);
                    above.size as f64 * (chance(with) - chance(odds))
                })
                .sum();
            if saved > twice {
                free.push(stays.remove(place));
            }
        }
        (stays, free)
    }

    /// The part of the images that gains most from having the same layers next; not all of them.
    fn part(&self, images: &Members, below: &DerivationSet, free: &[usize]) -> Members {
        let odds = self.risks.odds_of(below);
        let mut sets = BTreeMap::<Members, f64>::new();
        for &at in free {
            let piece = &self.pieces[at];
            let more = self.risks.odds_of_new(below, &piece.group.derivations);
            let pulled = piece.group.size as f64 * chance(odds + more);
            *sets.entry(piece.members.and(images)).or_default() += pulled;
        }
        let gain = |part: &Members| {
            let pulled = sets.iter().filter(|(set, _)| set.holds(part));
            let pulled: f64 = pulled.map(|(_, pulled)| pulled).sum();
            pulled * (part.len() - 1) as f64
        };
        // Where only layers of all images are left, each image goes its own way.
        let mut best = Members::none(self.of_image.len());
        images.iter().take(1).for_each(|image| best.insert(image));
        let mut most = 0.0;
        for part in sets.keys().filter(|part| *part != images) {
            let gain = gain(part);
            if gain > most {
                (best, most) = (part.clone(), gain);
            }
        }
        best
    }
}
