//! Pipelines: nixpkgs' `layeringPipeline`, a list of operations that starts with the closure's
//! graph and ends with layers.
//!
//! A graph keeps its paths in an order, at first that of their sizes, and each part of a graph
//! keeps the order of the whole. Joining graphs puts one behind the other without a reference
//! between them.

mod operation;
mod split;
mod value;

use petgraph::graph::NodeIndex;

use self::operation::{Operation, Step};
pub use self::operation::{Pipeline, PipelineError, Problem};

use self::value::{Graph, Value};
use crate::closure::Closure;
use crate::popularity;

/// The layers that a pipeline makes of some nodes of a closure.
pub(crate) fn layers(
    closure: &Closure,
    pipeline: &Pipeline,
    shown: &[NodeIndex],
) -> Result<Vec<Vec<NodeIndex>>, PipelineError> {
    let mut nodes = shown.to_vec();
    nodes.sort_by_key(|&node| (closure.graph()[node].nar_size, node));
    let start = Value::Graph(Graph(vec![nodes]));
    let end = run_all(closure, pipeline.steps(), start)?;
    if let Value::Graph(_) = end {
        return Err(pipeline.error_at_end(Problem::NoLayers));
    }
    let mut graphs = Vec::new();
    end.flatten(&mut graphs);
    let layers = graphs.into_iter().map(|graph| graph.nodes().collect());
    Ok(layers.filter(|layer: &Vec<_>| !layer.is_empty()).collect())
}

fn run_all(closure: &Closure, steps: &[Step], start: Value) -> Result<Value, PipelineError> {
    steps
        .iter()
        .try_fold(start, |value, step| run(closure, step, value))
}

fn run(closure: &Closure, step: &Step, value: Value) -> Result<Value, PipelineError> {
    use Operation::*;
    let wants = |wanted: &'static str, value: &Value| {
        step.error(Problem::Wants {
            wanted,
            given: value.kind(),
        })
    };
    let graph = |value: Value| match value {
        Value::Graph(graph) => Ok(graph),
        other => Err(wants("a graph", &other)),
    };
    let list = |value: Value| match value {
        Value::List(values) => Ok(values),
        other => Err(wants("a list", &other)),
    };
    Ok(match &step.operation {
        PopularityContest => {
            let order = popularity::order(closure, &graph(value)?.0);
            let single = order.into_iter().map(|node| Graph(vec![vec![node]]));
            Value::List(single.map(Value::Graph).collect())
        }
        LimitLayers(most) => {
            let mut values = list(value)?;
            let rest = values.split_off(values.len().min(most.get() - 1));
            let mut rest = rest.into_iter();
            if let Some(first) = rest.next() {
                values.push(rest.try_fold(first, |joined, next| {
                    let mut parts = graph(joined)?.0;
                    parts.extend(graph(next)?.0);
                    Ok(Value::Graph(Graph(parts)))
                })?);
            }
            Value::List(values)
        }
        SplitPaths(paths) => split::paths(closure, &graph(value)?, paths),
        SubcomponentOut(paths) => split::with_dependencies(closure, &graph(value)?, paths),
        SubcomponentIn(paths) => split::with_users(closure, &graph(value)?, paths),
        Over(key, inner) => {
            let Value::Parts(mut parts) = value else {
                return Err(wants("named parts", &value));
            };
            let Some(at) = parts.iter().position(|(name, _)| name == key) else {
                return Err(step.error(Problem::NoPart {
                    key: key.clone(),
                    there: parts.iter().map(|&(name, _)| name).collect(),
                }));
            };
            let (name, part) = parts.remove(at);
            parts.insert(at, (name, run(closure, inner, part)?));
            Value::Parts(parts)
        }
        Pipe(steps) => run_all(closure, steps, value)?,
        Map(inner) => {
            let values = list(value)?.into_iter();
            let mapped = values.map(|value| run(closure, inner, value));
            Value::List(mapped.collect::<Result<_, _>>()?)
        }
        Flatten => {
            if let Value::Graph(_) = value {
                return Err(wants("a list or named parts", &value));
            }
            let mut graphs = Vec::new();
            value.flatten(&mut graphs);
            Value::List(graphs.into_iter().map(Value::Graph).collect())
        }
        Reverse => {
            let mut values = list(value)?;
            values.reverse();
            Value::List(values)
        }
        RemovePaths(paths) => {
            let named = |node: NodeIndex| paths.contains(closure.graph()[node].path.as_str());
            Value::Graph(graph(value)?.retain(|node| !named(node)))
        }
        SplitEvery(most) => {
            let chunks = graph(value)?.chunks(most.get()).into_iter();
            Value::List(chunks.map(Value::Graph).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{closure, path};

    fn example() -> Closure {
        closure(&[
            ("app", 10, &["lib1", "python", "data"]),
            ("python", 500, &["glibc", "openssl"]),
            ("lib1", 100, &["glibc"]),
            ("openssl", 80, &["glibc"]),
            ("glibc", 300, &["libgcc"]),
            ("libgcc", 5, &[]),
            ("data", 40, &[]),
        ])
    }

    /// Runs a pipeline in which `@name` stands for a path.
    fn run_on_example(text: &str) -> Result<Vec<Vec<String>>, String> {
        let closure = example();
        let mut text = text.to_owned();
        for name in [
            "app", "python", "lib1", "openssl", "glibc", "libgcc", "data",
        ] {
            text = text.replace(&format!("@{name}\""), &format!("{}\"", path(name)));
        }
        let pipeline = Pipeline::from_json(&text).map_err(|error| error.to_string())?;
        let shown: Vec<NodeIndex> = closure.graph().node_indices().collect();
        let layers = layers(&closure, &pipeline, &shown).map_err(|error| error.to_string())?;
        let name = |node: &NodeIndex| closure.graph()[*node].path.name().to_owned();
        Ok(layers
            .iter()
            .map(|layer| layer.iter().map(name).collect())
            .collect())
    }

    #[test]
    fn layers_of_the_format_description() {
        for (text, layers) in [
            (
                r#"[["popularity_contest"], ["limit_layers", 3]]"#,
                "libgcc | glibc | openssl data lib1 python app",
            ),
            (
                r#"[["split_paths", ["@python"]]]"#,
                "openssl python | libgcc glibc | app data lib1",
            ),
            (
                r#"[["split_paths", ["@python"]], ["over", "rest", ["pipe", [["split_paths", ["@lib1"]]]]]]"#,
                "openssl python | libgcc glibc | lib1 | app data",
            ),
            (
                r#"[["subcomponent_out", ["@python"]], ["over", "rest", ["popularity_contest"]], ["flatten"], ["limit_layers", 3]]"#,
                "libgcc openssl glibc python | data | lib1 app",
            ),
            (
                r#"[["split_every", 3]]"#,
                "libgcc app data | openssl lib1 glibc | python",
            ),
            (
                r#"[["subcomponent_in", ["@glibc"]]]"#,
                "app openssl lib1 glibc python | libgcc data",
            ),
            (
                r#"[["split_paths", [{"children_of": "@app"}]]]"#,
                "libgcc data openssl lib1 glibc python | app",
            ),
            (
                r#"[["split_paths", ["@app"]]]"#,
                "libgcc app data openssl lib1 glibc python",
            ),
            (
                r#"[["remove_paths", "@app"], ["split_every", 9]]"#,
                "libgcc data openssl lib1 glibc python",
            ),
            (
                // Joined graphs have no references between them: all are as popular.
                r#"[["popularity_contest"], ["limit_layers", 1], ["map", ["popularity_contest"]]]"#,
                "app | data | glibc | lib1 | libgcc | openssl | python",
            ),
        ] {
            let expected: Vec<Vec<&str>> = layers
                .split(" | ")
                .map(|layer| layer.split(' ').collect())
                .collect();
            assert_eq!(run_on_example(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_an_operation_cannot_work_on() {
        for (text, message) in [
            (
                r#"[["limit_layers", 3]]"#,
                "operation 1 (limit_layers): it works on a list and is given a graph",
            ),
            (
                r#"[["split_paths", ["@python"]], ["limit_layers", 3]]"#,
                "operation 2 (limit_layers): it works on a list and is given named parts; put [\"flatten\"] before it",
            ),
            (
                r#"[["split_every", 3], ["split_every", 1]]"#,
                "operation 2 (split_every): it works on a graph and is given a list; use [\"map\", …] to work on each",
            ),
            (
                r#"[["split_paths", ["@python"]], ["popularity_contest"]]"#,
                "operation 2 (popularity_contest): it works on a graph and is given named parts; use [\"over\",",
            ),
            (
                r#"[["split_every", 3], ["over", "main", ["flatten"]]]"#,
                "operation 2 (over): it works on named parts",
            ),
            (
                r#"[["split_paths", ["@nothing"]], ["over", "main", ["flatten"]]]"#,
                "operation 2 (over): there is no part `main`; there is rest",
            ),
            (
                r#"[["flatten"]]"#,
                "operation 1 (flatten): it works on a list or named parts and is given a graph",
            ),
            (
                r#"[["remove_paths", "@app"]]"#,
                "its end: it leaves a graph, not layers",
            ),
            ("[]", "its end: it leaves a graph, not layers"),
        ] {
            let error = run_on_example(text).unwrap_err();
            assert!(
                error.starts_with(&format!("layering pipeline: {message}")),
                "{text}: {error}"
            );
        }
    }
}
