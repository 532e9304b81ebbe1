//! What a fleet's layers take: in a registry that stores them, and for a machine that runs all images.

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::StorePath;

use super::fleet_plan::FleetPlan;

/// Bytes of a fleet's layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetCosts {
    /// Different layers.
    pub layers: usize,
    /// Bytes of the different layers: what a registry stores.
    pub stored: u64,
    /// Bytes of the layers where each is known by its chain: what Docker's own store has.
    pub by_chain: u64,
    /// Bytes of the different store paths: no plan stores less.
    pub floor: u64,
    /// Bytes of the layers that change with a root, on average: what a machine that runs all images
    /// pulls.
    pub app: u64,
    /// The same for a path that others need.
    pub package: u64,
}

impl FleetCosts {
    /// What the plans of a fleet take. They tell what refers to what.
    pub fn new(plan: &FleetPlan) -> Self {
        let mut chains = BTreeSet::<Vec<usize>>::new();
        let mut graph = Graph::default();
        let mut places = BTreeMap::<&[StorePath], usize>::new();
        let mut sizes = Vec::new();
        let mut by_chain = 0u64;
        for plan in plan.images.values() {
            graph.add(plan);
            let mut chain = Vec::new();
            for layer in &plan.layers {
                let place = *places.entry(&layer.paths).or_insert(sizes.len());
                if place == sizes.len() {
                    sizes.push(layer.size);
                }
                chain.push(place);
                if chains.insert(chain.clone()) {
                    by_chain = by_chain.saturating_add(layer.size);
                }
            }
        }
        let (app, package) = graph.pulled(&places, &sizes);
        Self {
            layers: sizes.len(),
            stored: sizes.iter().copied().fold(0, u64::saturating_add),
            by_chain,
            floor: graph.sizes.values().copied().fold(0, u64::saturating_add),
            app,
            package,
        }
    }
}

/// The paths of all plans.
#[derive(Default)]
struct Graph<'a> {
    sizes: BTreeMap<&'a StorePath, u64>,
    users: BTreeMap<&'a StorePath, BTreeSet<&'a StorePath>>,
}

impl<'a> Graph<'a> {
    fn add(&mut self, plan: &'a crate::plan::Plan) {
        let Some(graph) = &plan.graph else { return };
        let paths: Vec<&StorePath> = plan.paths().collect();
        self.sizes
            .extend(paths.iter().copied().zip(graph.sizes().iter().copied()));
        for (user, references) in paths.iter().zip(graph.references()) {
            for &reference in references {
                self.users
                    .entry(paths[reference as usize])
                    .or_default()
                    .insert(user);
            }
        }
    }

    /// Bytes of the layers that change with a root, and with another path: the mean of all.
    fn pulled(&self, places: &BTreeMap<&[StorePath], usize>, sizes: &[u64]) -> (u64, u64) {
        let numbers: BTreeMap<&StorePath, usize> = self.sizes.keys().copied().zip(0..).collect();
        let none = BTreeSet::new();
        let users: Vec<Vec<usize>> = numbers
            .keys()
            .map(|path| {
                self.users
                    .get(path)
                    .unwrap_or(&none)
                    .iter()
                    .map(|user| numbers[user])
                    .collect()
            })
            .collect();
        let order = users_first(&users);
        let mut bytes = vec![0u128; users.len()];
        let mut layers_of = vec![Vec::new(); users.len()];
        for (paths, &place) in places {
            for number in paths.iter().filter_map(|path| numbers.get(path)) {
                layers_of[*number].push(place);
            }
        }
        // 64 layers at a time, a bit for each.
        let mut touched = vec![0u64; users.len()];
        for (block, sizes) in sizes.chunks(64).enumerate() {
            for &path in &order {
                let own = layers_of[path].iter().filter(|&&place| place / 64 == block);
                let own = own.fold(0, |bits, place| bits | 1 << (place % 64));
                let mut bits = users[path]
                    .iter()
                    .fold(own, |bits, &user| bits | touched[user]);
                touched[path] = bits;
                while bits != 0 {
                    bytes[path] += u128::from(sizes[bits.trailing_zeros() as usize]);
                    bits &= bits - 1;
                }
            }
        }
        let mean = |is_root: bool| {
            let of = (0..users.len()).filter(|&path| users[path].is_empty() == is_root);
            let count = of.clone().count().max(1) as u128;
            let sum: u128 = of.map(|path| bytes[path]).sum();
            u64::try_from(sum / count).unwrap_or(u64::MAX)
        };
        (mean(true), mean(false))
    }
}

/// All paths, each after everything that needs it.
fn users_first(users: &[Vec<usize>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = users.iter().map(Vec::len).collect();
    let mut references = vec![Vec::new(); users.len()];
    for (path, users) in users.iter().enumerate() {
        for &user in users {
            references[user].push(path);
        }
    }
    let mut order: Vec<usize> = (0..users.len())
        .filter(|&path| users[path].is_empty())
        .collect();
    let mut at = 0;
    while let Some(&path) = order.get(at) {
        at += 1;
        for &reference in &references[path] {
            waiting[reference] -= 1;
            if waiting[reference] == 0 {
                order.push(reference);
            }
        }
    }
    order
}
