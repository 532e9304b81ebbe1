//! What the operations of a pipeline are given and give.

use petgraph::graph::NodeIndex;

/// Parts of a closure, with the references within each but none between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Graph(pub(super) Vec<Vec<NodeIndex>>);

impl Graph {
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.0.iter().flatten().copied()
    }

    pub(super) fn retain(&self, keep: impl Fn(NodeIndex) -> bool) -> Self {
        let parts = self.0.iter();
        let kept = parts.map(|part| part.iter().copied().filter(|&node| keep(node)).collect());
        Self(kept.filter(|part: &Vec<_>| !part.is_empty()).collect())
    }

    /// Graphs of this many nodes each, and a last one of those that are left.
    pub(super) fn chunks(self, len: usize) -> Vec<Self> {
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
pub(super) enum Value {
    Graph(Graph),
    List(Vec<Value>),
    /// Named parts, in the order `main`, `common`, `rest`.
    Parts(Vec<(&'static str, Value)>),
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Graph(_) => "a graph",
            Self::List(_) => "a list",
            Self::Parts(_) => "named parts",
        }
    }

    pub(super) fn flatten(self, into: &mut Vec<Graph>) {
        match self {
            Self::Graph(graph) => into.push(graph),
            Self::List(values) => values.into_iter().for_each(|value| value.flatten(into)),
            Self::Parts(parts) => parts.into_iter().for_each(|(_, value)| value.flatten(into)),
        }
    }
}
