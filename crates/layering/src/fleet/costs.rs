//! What a fleet's layers take in a registry that stores them.

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
}

impl FleetCosts {
    /// What the plans of a fleet take.
    pub fn new(plan: &FleetPlan) -> Self {
        let mut layers = BTreeMap::<&[StorePath], u64>::new();
        let mut chains = BTreeSet::<Vec<&[StorePath]>>::new();
        let mut sizes = BTreeMap::<&StorePath, u64>::new();
        let mut by_chain = 0u64;
        for plan in plan.images.values() {
            let mut chain = Vec::new();
            for layer in &plan.layers {
                layers.insert(&layer.paths, layer.size);
                chain.push(&layer.paths[..]);
                if chains.insert(chain.clone()) {
                    by_chain = by_chain.saturating_add(layer.size);
                }
            }
            if let Some(graph) = &plan.graph {
                sizes.extend(plan.paths().zip(graph.sizes().iter().copied()));
            }
        }
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
        Self {
            layers: layers.len(),
            stored: sum(&mut layers.values().copied()),
            by_chain,
            floor: sum(&mut sizes.values().copied()),
        }
    }
}
