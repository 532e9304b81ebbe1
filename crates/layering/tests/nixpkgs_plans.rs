//! Plans are those that nixpkgs' own planners make, on the graphs in `tests/plans` of the
//! repository.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::path::Path;

use layering::{Closure, Pipeline, Plan, PlanError, Request, Strategy};
use nix_compat::{StoreDir, StorePath, path_info};
use serde_json::Value;

struct Case {
    file: String,
    closure: Closure,
    hidden: BTreeSet<StorePath>,
    expect: Value,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plans");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 8, "the cases are there");
    files.iter().map(|file| case(file)).collect()
}

fn case(file: &Path) -> Case {
    let mut case: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let store_dir = StoreDir::default();
    let infos = path_info::from_json(&store_dir, case["graph"].take()).unwrap();
    let hidden = case["exclude_paths"].as_array().unwrap().iter();
    Case {
        file: file.file_name().unwrap().to_string_lossy().into_owned(),
        closure: Closure::new(infos).unwrap(),
        hidden: hidden
            .map(|path| store_dir.parse(path.as_str().unwrap()).unwrap())
            .collect(),
        expect: case["expect"].take(),
    }
}

impl Case {
    fn plan(&self, strategy: Strategy, max_store_layers: usize) -> Plan {
        let request = Request {
            hidden: self.hidden.clone(),
            ..Request::new(strategy, max_store_layers)
        };
        let plan = layering::plan(&self.closure, &request).unwrap();
        plan.check(&self.closure, &self.hidden).unwrap();
        assert!(plan.layers.len() <= max_store_layers);
        plan
    }

    /// `{"N": layers}` of one of nixpkgs' planners.
    fn expected(&self, planner: &str) -> impl Iterator<Item = (usize, &Value)> {
        let by_limit = self.expect[planner].as_object().unwrap();
        by_limit
            .iter()
            .map(|(limit, layers)| (limit.parse().unwrap(), layers))
    }

    /// What the closures of a layer's paths hold together, in bytes.
    fn closure_size(&self, layer: &BTreeSet<&str>) -> u64 {
        let graph = self.closure.graph();
        let mut todo: Vec<_> = graph
            .node_indices()
            .filter(|&node| layer.contains(graph[node].path.as_str()))
            .collect();
        let mut seen: BTreeSet<_> = todo.iter().copied().collect();
        while let Some(node) = todo.pop() {
            todo.extend(graph.neighbors(node).filter(|&below| seen.insert(below)));
        }
        seen.into_iter().map(|node| graph[node].nar_size).sum()
    }
}

fn sets(layers: &Value) -> Vec<BTreeSet<&str>> {
    let layers = layers.as_array().unwrap().iter();
    layers
        .map(|layer| {
            layer
                .as_array()
                .unwrap()
                .iter()
                .map(|path| path.as_str().unwrap())
                .collect()
        })
        .collect()
}

#[test]
fn popularity_is_nixpkgs_in_every_order() {
    for case in cases() {
        for (limit, layers) in case.expected("popularity") {
            let plan = case.plan(Strategy::Popularity, limit);
            assert_eq!(plan.to_layers_json(), *layers, "{} with {limit}", case.file);
        }
    }
}

#[test]
fn auto_has_nixpkgs_layers_ordered_by_closure_size() {
    for case in cases() {
        for (limit, layers) in case.expected("auto") {
            let place = format!("{} with {limit}", case.file);
            let ours = case.plan(Strategy::Auto, limit).to_layers_json();
            let (ours, theirs) = (sets(&ours), sets(layers));
            let sorted = |layers: &[BTreeSet<_>]| layers.iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(sorted(&ours), sorted(&theirs), "{place}");
            let sizes = |layers: &[BTreeSet<_>]| -> Vec<u64> {
                layers
                    .iter()
                    .map(|layer| case.closure_size(layer))
                    .collect()
            };
            assert_eq!(sizes(&ours), sizes(&theirs), "{place}");
        }
    }
}

#[test]
fn paths_within_an_auto_layer_are_in_nixpkgs_order() {
    for case in cases() {
        for (limit, layers) in case.expected("auto") {
            let ours = case.plan(Strategy::Auto, limit).to_layers_json();
            let sorted = |layers: &Value| {
                let mut layers = layers.as_array().unwrap().clone();
                layers.sort_by_key(Value::to_string);
                layers
            };
            assert_eq!(sorted(&ours), sorted(layers), "{} with {limit}", case.file);
        }
    }
}

#[test]
fn pipelines_give_nixpkgs_layers_or_say_what_is_wrong() {
    for case in cases() {
        for expected in case.expect["pipelines"].as_array().unwrap() {
            let place = format!("{}: {}", case.file, expected["pipeline"]);
            let plan = Pipeline::from_json(&expected["pipeline"].to_string())
                .map_err(PlanError::from)
                .and_then(|pipeline| {
                    let request = Request {
                        hidden: case.hidden.clone(),
                        ..Request::new(Strategy::Pipeline(pipeline), 0)
                    };
                    layering::plan(&case.closure, &request)
                });
            if expected["error"] == Value::Bool(true) {
                let message = plan.unwrap_err().to_string();
                assert!(
                    message.starts_with("layering pipeline: "),
                    "{place}: {message}"
                );
            } else {
                assert_eq!(
                    plan.unwrap().to_layers_json(),
                    expected["layers"],
                    "{place}"
                );
            }
        }
    }
}
