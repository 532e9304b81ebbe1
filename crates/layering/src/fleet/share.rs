//! Which paths share a layer, and for which images.
//!
//! A piece is some paths and the images that have them as one layer. Two pieces joined are one for the
//! images that have both; images that have only one of them keep it as it is. So each image has one
//! layer less, and what is kept by others is stored twice.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use petgraph::graph::NodeIndex;
use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelIterator,
};

use super::members::Members;
use super::union::Union;
use crate::merge::{Group, merge};
use crate::risk::{Risks, chance};

/// How many releases count as much as now: so many times what a release is expected to cost is weighed
/// against bytes that are stored and pulled once, now. Of 1 to 64, the fleets that were tried store and
/// pull least with 1 to 4.
const RELEASES: f64 = 2.0;

/// With fewer pieces than this, one thread has weighed them before others are awake.
const FEW: usize = 64;

/// Paths that are to be one layer, and of which images.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) group: Group,
    /// Images that have it, of those that are planned.
    pub(crate) members: Members,
    /// Which layer of the previous plans it is.
    pub(crate) kept: Option<usize>,
    /// Whether an image that is not planned has it too.
    pub(crate) elsewhere: bool,
}

/// What is joined, and how far.
pub(crate) struct Sharing<'a> {
    pub(crate) union: &'a Union,
    pub(crate) risks: &'a Risks,
    /// The most layers of each image.
    pub(crate) most: &'a [usize],
    pub(crate) min_size: u64,
}

impl Sharing<'_> {
    /// The pieces of paths that are in none yet, with the images that need them: for each set of images
    /// no more than the number of layers that are left for one of them.
    pub(crate) fn of_free(
        &self,
        free: BTreeMap<Members, Vec<NodeIndex>>,
        kept: &[Piece],
    ) -> Vec<Piece> {
        let mut left = self.most.to_vec();
        for image in kept.iter().flat_map(|piece| piece.members.iter()) {
            left[image] = left[image].saturating_sub(1);
        }
        let mut pieces = Vec::new();
        for (members, mut nodes) in self.without_crumbs(free) {
            self.union.sort_by_name(&mut nodes);
            let alike = self.risks.alike(nodes).into_iter();
            let groups =
                alike.map(|nodes| Group::new(self.risks, nodes.clone(), self.union.size(&nodes)));
            let most = members
                .iter()
                .map(|image| left[image])
                .min()
                .unwrap_or(1)
                .max(1);
            let groups = merge(self.risks, groups.collect(), most, self.min_size);
            pieces.extend(groups.into_iter().map(|group| Piece {
                group,
                members: members.clone(),
                kept: None,
                elsewhere: false,
            }));
        }
        pieces
    }

    /// Where an image shares paths with very many sets of images, it has what it shares with the smallest
    /// of them for itself: to weigh them all would take long, and they cannot all be layers.
    fn without_crumbs(
        &self,
        mut free: BTreeMap<Members, Vec<NodeIndex>>,
    ) -> BTreeMap<Members, Vec<NodeIndex>> {
        for (image, most) in self.most.iter().enumerate() {
            let of_image = free.iter().filter(|(members, _)| members.has(image));
            let mut sets: Vec<(u64, &Members)> = of_image
                .map(|(members, nodes)| (self.union.size(nodes), members))
                .collect();
            if sets.len() <= 2 * most {
                continue;
            }
            sets.sort_by(|a, b| b.cmp(a));
            let crumbs = sets.split_off(2 * most);
            let crumbs: Vec<Members> = crumbs
                .into_iter()
                .map(|(_, members)| members.clone())
                .collect();
            let mut own: Vec<NodeIndex> = Vec::new();
            for members in crumbs {
                let nodes = free.remove(&members).unwrap_or_default();
                own.extend(&nodes);
                let mut others = members;
                others.remove(image);
                if !others.is_empty() {
                    free.entry(others).or_default().extend(nodes);
                }
            }
            let mut alone = Members::none(self.most.len());
            alone.insert(image);
            free.entry(alone).or_default().extend(own);
        }
        free
    }

    /// Joins pieces until no image has too many layers. Each time it is the pair that costs least for
    /// each image that has a layer too many.
    pub(crate) fn join(&self, pieces: Vec<Piece>) -> Vec<Piece> {
        let images = self.most.len();
        let mut layers = vec![0; images];
        for image in pieces.iter().flat_map(|piece| piece.members.iter()) {
            layers[image] += 1;
        }
        let mut crowded = Members::none(images);
        for image in (0..images).filter(|&image| layers[image] > self.most[image]) {
            crowded.insert(image);
        }
        let mut pieces: Vec<Option<Piece>> = pieces.into_iter().map(Some).collect();
        let mut pairs: BinaryHeap<Reverse<Pair>> = (1..pieces.len())
            .into_par_iter()
            .filter_map(|at| self.best(&pieces, at, &crowded))
            .collect::<Vec<_>>()
            .into();
        while !crowded.is_empty()
            && let Some(Reverse(pair)) = pairs.pop()
        {
            let Some(b) = &pieces[pair.b] else { continue };
            let cost = pieces[pair.a]
                .as_ref()
                .and_then(|a| self.cost(a, b, &crowded));
            // One is in another piece meanwhile, or fewer images are crowded.
            let (Some(a), true) = (&pieces[pair.a], cost == Some(pair.cost)) else {
                pairs.extend(self.best(&pieces, pair.b, &crowded));
                continue;
            };
            let both = a.members.and(&b.members);
            let mut joined = a.group.clone();
            joined.join(self.risks, b.group.clone());
            self.union.sort_by_name(&mut joined.nodes);
            for at in [pair.a, pair.b] {
                let rest = pieces[at].take().and_then(|mut piece| {
                    piece.members = piece.members.without(&both);
                    (!piece.members.is_empty()).then_some(piece)
                });
                if rest.is_some() {
                    pieces.push(rest);
                    pairs.extend(self.best(&pieces, pieces.len() - 1, &crowded));
                }
            }
            for image in both.iter() {
                layers[image] -= 1;
                if layers[image] <= self.most[image] {
                    crowded.remove(image);
                }
            }
            pieces.push(Some(Piece {
                group: joined,
                members: both,
                kept: None,
                elsewhere: false,
            }));
            pairs.extend(self.best(&pieces, pieces.len() - 1, &crowded));
        }
        pieces.into_iter().flatten().collect()
    }

    /// The best partner of a piece among those before it. So of each two pieces that may be joined, the
    /// later one knows of the other, or of a better one.
    fn best(
        &self,
        pieces: &[Option<Piece>],
        at: usize,
        crowded: &Members,
    ) -> Option<Reverse<Pair>> {
        let piece = pieces[at].as_ref()?;
        if piece.members.common(crowded) == 0 {
            return None;
        }
        let pair = |(a, other): (usize, &Option<Piece>)| {
            let cost = self.cost(other.as_ref()?, piece, crowded)?;
            Some(Pair { cost, a, b: at })
        };
        let best = if at < FEW {
            pieces[..at].iter().enumerate().filter_map(pair).min()
        } else {
            pieces[..at].par_iter().enumerate().filter_map(pair).min()
        };
        best.map(Reverse)
    }

    /// What it costs to join two pieces, for each crowded image that has both; `None` if there is no
    /// such image.
    fn cost(&self, a: &Piece, b: &Piece, crowded: &Members) -> Option<f64> {
        let both = a.members.and(&b.members);
        let relieved = both.common(crowded);
        if relieved == 0 {
            return None;
        }
        let together = a.group.odds
            + self
                .risks
                .odds_of_new(&a.group.derivations, &b.group.derivations);
        let together = chance(together);
        let mut once = 0.0;
        let mut each_release = 0.0;
        for piece in [a, b] {
            let size = piece.group.size as f64;
            let stays = piece.elsewhere || !both.holds(&piece.members);
            // A copy is pulled with the new layer, and again when it changes.
            if stays || piece.kept.is_some() {
                once += size;
            }
            each_release += size * together;
            if !stays {
                each_release -= size * piece.group.chance;
            }
        }
        let requests = a.group.chance + b.group.chance - together;
        each_release -= self.min_size as f64 * requests;
        Some((once + RELEASES * each_release) / relieved as f64)
    }
}

/// Two pieces that may be joined.
#[derive(Debug, Clone, Copy)]
struct Pair {
    cost: f64,
    a: usize,
    b: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        let cost = self.cost.total_cmp(&other.cost);
        cost.then((self.a, self.b).cmp(&(other.a, other.b)))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}
