//! What layers cost when something changes: the bytes that are pulled after a change, by plan.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use nix_compat::StorePath;
use petgraph::graph::NodeIndex;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::closure::Closure;
use crate::dag::{Dag, for_uppers};
use crate::diff::Pull;
use crate::plan::Plan;
use crate::planning::plan;
use crate::request::{PlanError, Request, Strategy};

/// What is pulled on average after three kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// A root changed: what is being worked on. Each is as likely.
    pub app: Cost,
    /// A path below changed, and with it all that need it. Each is as likely.
    pub package: Cost,
    /// The same for a path low in the graph: one of the tenth that most paths need.
    pub low: Cost,
}

/// What is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of layers.
    pub pull: Pull,
    /// Bytes of the paths that changed, which no plan can go below.
    pub floor: u64,
}

/// A strategy's layers for a closure, and what they cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The strategy.
    pub strategy: Strategy,
    /// How many layers it makes.
    pub layers: usize,
    /// What they cost.
    pub costs: Costs,
}

/// What each strategy that needs no file would cost, and the one that is asked for if it is none of
/// them. Layers that are asked for count where a strategy can make them.
///
/// # Errors
///
/// A plan cannot be made.
pub fn compare(closure: &Closure, request: &Request) -> Result<Vec<Compared>, PlanError> {
    let mut strategies = vec![Strategy::Popularity, Strategy::Auto, Strategy::Stable];
    if !strategies.contains(&request.strategy) {
        strategies.push(request.strategy.clone());
    }
    let compared = strategies.into_par_iter().map(|strategy| {
        let mut request = Request {
            strategy: strategy.clone(),
            ..request.clone()
        };
        if strategy != Strategy::Stable {
            request.layers.clear();
        }
        let plan = plan(closure, &request)?;
        Ok(Compared {
            strategy,
            layers: plan.layers.len(),
            costs: Costs::new(closure, &request.hidden, &plan),
        })
    });
    compared.collect()
}

impl Costs {
    /// What a plan costs. Paths that are hidden, or in none of its layers, cost nothing.
    pub fn new(closure: &Closure, hidden: &BTreeSet<StorePath>, plan: &Plan) -> Self {
        let graph = closure.graph();
        let nodes = graph.node_indices();
        let shown: Vec<NodeIndex> = nodes
            .filter(|&node| !hidden.contains(&graph[node].path))
            .collect();
        let dag = Dag::of_parts(closure, std::slice::from_ref(&shown));
        let changes = changes(closure, &shown, &dag, plan);

        let all = 0..shown.len();
        let is_root = |&at: &usize| dag.users(at as u32).is_empty();
        let (roots, mut packages): (Vec<usize>, Vec<usize>) = all.partition(is_root);
        let app = mean(roots.iter().map(|&at| changes[at].cost));
        let package = mean(packages.iter().map(|&at| changes[at].cost));
        packages.sort_by_key(|&at| (Reverse(changes[at].paths), graph[shown[at]].path.name()));
        packages.truncate(packages.len().div_ceil(10));
        Self {
            app,
            package,
            low: mean(packages.iter().map(|&at| changes[at].cost)),
        }
    }
}

/// What a change of one path leads to.
#[derive(Clone, Copy, Default)]
struct Change {
    /// How many paths change.
    paths: u32,
    cost: Cost,
}

fn changes(closure: &Closure, shown: &[NodeIndex], dag: &Dag, plan: &Plan) -> Vec<Change> {
    let graph = closure.graph();
    let layers = plan.layers.iter().enumerate();
    let layer_of: HashMap<&StorePath, usize> = layers
        .flat_map(|(at, layer)| layer.paths.iter().map(move |path| (path, at)))
        .collect();
    let layer_of: Vec<Option<usize>> = shown
        .iter()
        .map(|&node| layer_of.get(&graph[node].path).copied())
        .collect();

    let mut changes = vec![Change::default(); shown.len()];
    for_uppers(dag, |node, members, uppers| {
        let change = &mut changes[node as usize];
        let mut left = uppers[node as usize];
        change.paths += left.count_ones();
        while left != 0 {
            let upper = members[left.trailing_zeros() as usize] as usize;
            if layer_of[upper].is_some() {
                change.cost.floor += graph[shown[upper]].nar_size;
            }
            left &= left - 1;
        }
    });

    let above = above(plan);
    let mut touched = vec![vec![0u64; plan.layers.len().div_ceil(64)]; shown.len()];
    for &node in dag.dependencies_first().iter().rev() {
        let mut layers = std::mem::take(&mut touched[node as usize]);
        for &user in dag.users(node) {
            let of_user = &touched[user as usize];
            layers
                .iter_mut()
                .zip(of_user)
                .for_each(|(word, of_user)| *word |= of_user);
        }
        if let Some(layer) = layer_of[node as usize] {
            layers[layer / 64] |= 1 << (layer % 64);
        }
        changes[node as usize].cost.pull = pull(plan, &above, &layers);
        touched[node as usize] = layers;
    }
    changes
}

/// For each layer, its bytes and those of all above it.
fn above(plan: &Plan) -> Vec<u64> {
    let mut sum = 0u64;
    let mut above: Vec<u64> = plan
        .layers
        .iter()
        .rev()
        .map(|layer| {
            sum = sum.saturating_add(layer.size);
            sum
        })
        .collect();
    above.reverse();
    above
}

fn pull(plan: &Plan, above: &[u64], touched: &[u64]) -> Pull {
    let is_touched = |at: &usize| touched[at / 64] >> (at % 64) & 1 == 1;
    let mut layers = (0..plan.layers.len()).filter(is_touched).peekable();
    Pull {
        by_chain: layers.peek().map_or(0, |&lowest| above[lowest]),
        by_digest: layers.map(|at| plan.layers[at].size).sum(),
    }
}

fn mean(costs: impl ExactSizeIterator<Item = Cost> + Clone) -> Cost {
    let count = (costs.len() as u128).max(1);
    let mean = |part: fn(&Cost) -> u64| {
        let sum: u128 = costs.clone().map(|cost| u128::from(part(&cost))).sum();
        // The mean of 64-bit numbers is one.
        (sum / count) as u64
    };
    Cost {
        pull: Pull {
            by_digest: mean(|cost| cost.pull.by_digest),
            by_chain: mean(|cost| cost.pull.by_chain),
        },
        floor: mean(|cost| cost.floor),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::pipeline::Pipeline;
    use crate::plan::{PlannedLayer, Reason};
    use crate::testing::{closure, numbered, path};

    fn layers(closure: &Closure, layers: &[&[&str]]) -> Plan {
        let node = |name: &&str| closure.node(&path(name)).unwrap();
        let nodes = layers.iter().map(|names| names.iter().map(node).collect());
        Plan::new(closure, nodes.map(|nodes| (nodes, Reason::Rest)))
    }

    #[test]
    fn each_kind_of_change_against_the_floor() {
        let closure = closure(&[
            ("libc", 100, &[]),
            ("ssl", 20, &["libc"]),
            ("fonts", 3_000, &[]),
            ("app", 1, &["ssl", "fonts"]),
        ]);
        let plan = layers(&closure, &[&["libc"], &["fonts"], &["app", "ssl"]]);
        let costs = Costs::new(&closure, &BTreeSet::new(), &plan);
        let cost = |by_digest, by_chain, floor| Cost {
            pull: Pull {
                by_digest,
                by_chain,
            },
            floor,
        };
        assert_eq!(costs.app, cost(21, 21, 1));
        assert_eq!(
            costs.low,
            cost(121, 3_121, 121),
            "libc, which two paths need"
        );
        // libc, ssl and fonts: 121 + 21 + 3021, 3121 + 21 + 3021, 121 + 21 + 3001
        assert_eq!(costs.package, cost(3_163 / 3, 6_163 / 3, 3_143 / 3));
    }

    #[test]
    fn every_strategy_is_compared() {
        let closure = closure(&[("lib", 900_000, &[]), ("app", 100_000, &["lib"])]);
        let pipeline = Pipeline::from_json(r#"[["split_every", 9]]"#).unwrap();
        let request = Request::new(Strategy::Pipeline(pipeline), 5);
        let compared = compare(&closure, &request).unwrap();
        let app: Vec<u64> = compared
            .iter()
            .map(|compared| compared.costs.app.pull.by_digest)
            .collect();
        assert_eq!(app, [100_000, 100_000, 100_000, 1_000_000]);
        assert!(
            compared
                .iter()
                .all(|compared| compared.costs.app.floor == 100_000)
        );
    }

    proptest! {
        #[test]
        fn nothing_costs_less_than_the_floor_or_more_than_all(
            entries in proptest::collection::vec((0u64..999, proptest::collection::vec(0usize..99, 0..4)), 1..90),
            most in 1usize..9,
        ) {
            let closure = numbered(&entries);
            let plan = plan(&closure, &Request::new(Strategy::Auto, most)).unwrap();
            let Costs { app, package, low } = Costs::new(&closure, &BTreeSet::new(), &plan);
            for cost in [app, package, low] {
                prop_assert!(cost.floor <= cost.pull.by_digest);
                prop_assert!(cost.pull.by_digest <= cost.pull.by_chain);
                prop_assert!(cost.pull.by_chain <= closure.size());
            }
            let each: Vec<PlannedLayer> = plan.layers.iter().flat_map(|layer| layer.paths.iter().map(|path| PlannedLayer {
                paths: vec![path.clone()],
                size: closure.get(path).unwrap().nar_size,
                ..layer.clone()
            })).collect();
            let costs = Costs::new(&closure, &BTreeSet::new(), &Plan { layers: each, ..plan });
            prop_assert_eq!(costs.package.pull.by_digest, costs.package.floor, "each path alone");
        }
    }
}
