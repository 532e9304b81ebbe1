//! Pipelines: nixpkgs' `layeringPipeline`, a list of operations that starts with the closure's
//! graph and ends with layers.
//!
//! A graph keeps its paths in an order, at first that of their sizes, and each part of a graph
//! keeps the order of the whole. Joining graphs puts one behind the other without a reference
//! between them.

mod operation;
mod split;

use petgraph::graph::NodeIndex;

use operation::{Operation, Step};
pub use operation::{Pipeline, PipelineError, Problem};

use crate::Closure;
use crate::popularity;

/// Parts of a closure, with the references within each but none between them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Graph(Vec<Vec<NodeIndex>>);

impl Graph {
    fn nodes(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.0.iter().flatten().copied()
    }

    fn retain(&self, keep: impl Fn(NodeIndex) -> bool) -> Self {
        let parts = self.0.iter();
        let kept = parts.map(|part| part.iter().copied().filter(|&node| keep(node)).collect());
        Self(kept.filter(|part: &Vec<_>| !part.is_empty()).collect())
    }

    /// Graphs of so many nodes each, and a last one of those that are left.
    fn chunks(self, len: usize) -> Vec<Self> {
        let mut chunks: Vec<Self> = Vec::new();
        let mut room = 0;
        for mut part in self.0 {
            while !part.is_empty() {
                if room == 0 {
                    chunks.push(Self(Vec::new()));
                    room = len;
                }
                let rest = part.split_off(part.len().min(room));
                room -= part.len();
                if let Some(chunk) = chunks.last_mut() {
                    chunk.0.push(part);
                }
                part = rest;
            }
        }
        chunks
    }
}

/// What an operation is given and what it gives.
#[derive(Debug, Clone)]
enum Value {
    Graph(Graph),
    List(Vec<Value>),
    /// Named parts, in the order `main`, `common`, `rest`.
    Parts(Vec<(&'static str, Value)>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Graph(_) => "a graph",
            Self::List(_) => "a list",
            Self::Parts(_) => "named parts",
        }
    }

    fn flatten(self, into: &mut Vec<Graph>) {
        match self {
            Self::Graph(graph) => into.push(graph),
            Self::List(values) => values.into_iter().for_each(|value| value.flatten(into)),
            Self::Parts(parts) => parts.into_iter().for_each(|(_, value)| value.flatten(into)),
        }
    }
}

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
