//! What plans cost over release histories.
//!
//!     releases HISTORY.json...

use std::collections::{BTreeSet, HashMap, HashSet};
use std::error::Error;

use layering::{Closure, Plan, Request, Strategy};
use nix_compat::{StoreDir, StorePath, path_info};
use serde_json::Value;

#[derive(Default, Clone, Copy)]
struct Cost {
    set: u64,
    chain: u64,
    floor: u64,
    layers: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut histories = Vec::new();
    for file in std::env::args().skip(1) {
        let mut json: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let name = json["name"].as_str().unwrap_or("?").to_owned();
        let mut steps = Vec::new();
        for step in json["steps"].as_array_mut().ok_or("no steps")? {
            steps.push((
                step["kinds"].to_string(),
                Closure::new(
                    path_info::from_json(&StoreDir::default(), step["graph"].take())?,
                    None,
                )?,
            ));
        }
        histories.push((name, steps));
    }
    let verbose = std::env::var("V").is_ok();
    let limits = std::env::var("N").unwrap_or("99,40,20".to_owned());
    let mut summary = String::new();
    for with in [true, false] {
        for max in limits.split(',').map(|n| n.parse::<usize>().unwrap()) {
            let mut all = Cost::default();
            let mut line = String::new();
            for (name, steps) in &histories {
                let mut cost = Cost::default();
                let mut previous: Option<Plan> = None;
                for (kinds, closure) in steps {
                    let request = Request {
                        strategy: if std::env::var("AUTO").is_ok() {
                            Strategy::Auto
                        } else {
                            Strategy::Stable
                        },
                        max_store_layers: max,
                        previous: if with { previous.clone() } else { None },
                        ..Request::new(Strategy::Stable, 0)
                    };
                    let plan = layering::plan(closure, &request)?;
                    plan.check(closure, &request.hidden)?;
                    assert!(plan.layers.len() <= max);
                    cost.layers += plan.layers.len();
                    if let Some(before) = &previous {
                        let sets = |plan: &Plan| -> Vec<BTreeSet<StorePath>> {
                            plan.layers
                                .iter()
                                .map(|l| l.paths.iter().cloned().collect())
                                .collect()
                        };
                        let (old, new) = (sets(before), sets(&plan));
                        let have: HashSet<_> = old.iter().collect();
                        let known: HashMap<_, ()> = before
                            .layers
                            .iter()
                            .flat_map(|l| &l.paths)
                            .map(|p| (p, ()))
                            .collect();
                        let mut chain = true;
                        let (mut s, mut c) = (0, 0);
                        for (at, layer) in new.iter().enumerate() {
                            let size = plan.layers[at].size;
                            chain = chain && old.get(at) == Some(layer);
                            if !have.contains(layer) {
                                s += size
                            }
                            if !chain {
                                c += size
                            }
                        }
                        let f: u64 = closure
                            .paths()
                            .filter(|i| !known.contains_key(&i.path))
                            .map(|i| i.nar_size)
                            .sum();
                        if verbose {
                            println!(
                                "{name} {kinds} floor {:.1} set+ {:.1} chain+ {:.1} layers {}",
                                f as f64 / 1e6,
                                (s - f) as f64 / 1e6,
                                (c - f) as f64 / 1e6,
                                new.len()
                            );
                        }
                        cost.set += s;
                        cost.chain += c;
                        cost.floor += f;
                    }
                    previous = Some(plan);
                }
                line += &format!(
                    " {name} {:.2}/{:.2}",
                    cost.set as f64 / cost.floor as f64,
                    cost.chain as f64 / cost.floor as f64
                );
                all.set += cost.set;
                all.chain += cost.chain;
                all.floor += cost.floor;
                all.layers += cost.layers;
            }
            summary += &format!(
                "{} {max:3}  set {:.3} chain {:.3} |{line}\n",
                if with { "prev" } else { "none" },
                all.set as f64 / all.floor as f64,
                all.chain as f64 / all.floor as f64
            );
        }
    }
    print!("{summary}");
    Ok(())
}
