//! Adjacency lists of a closure, or of a part of it, under small numbers: what every strategy
//! walks, many times.

use petgraph::graph::NodeIndex;

use crate::closure::Closure;

/// Some nodes of a closure with the references among them. A node's number is its place in the
/// lists that the graph was made from.
#[derive(Debug)]
pub(crate) struct Dag {
    references: Lists,
    users: Lists,
    dependencies_first: Vec<u32>,
}

/// A list of numbers for each number, in one piece of memory.
#[derive(Debug)]
struct Lists {
    ends: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    /// From pairs that are sorted by their first part.
    fn new(len: usize, pairs: &[(u32, u32)]) -> Self {
        let mut ends = vec![0; len];
        for &(from, _) in pairs {
            ends[from as usize] += 1;
        }
        let mut end = 0;
        for slot in &mut ends {
            end += *slot;
            *slot = end;
        }
        Self {
            ends,
            items: pairs.iter().map(|&(_, to)| to).collect(),
        }
    }

    fn of(&self, at: u32) -> &[u32] {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.items[start as usize..self.ends[at] as usize]
    }
}

impl Dag {
    /// Parts of a closure, without the references between them.
    pub(crate) fn of_parts(closure: &Closure, parts: &[Vec<NodeIndex>]) -> Self {
        let mut number = vec![None; closure.len()];
        let nodes = parts.iter().enumerate();
        let nodes = nodes.flat_map(|(part, nodes)| nodes.iter().map(move |&node| (part, node)));
        for (at, (part, node)) in nodes.clone().enumerate() {
            number[node.index()] = Some((part, at as u32));
        }
        let mut pairs = Vec::new();
        for (at, (part, node)) in nodes.clone().enumerate() {
            for below in closure.graph().neighbors(node) {
                if let Some((of, below)) = number[below.index()]
                    && of == part
                {
                    pairs.push((at as u32, below));
                }
            }
        }
        pairs.sort_unstable();
        let mut reversed: Vec<_> = pairs.iter().map(|&(from, to)| (to, from)).collect();
        reversed.sort_unstable();
        Self {
            references: Lists::new(nodes.clone().count(), &pairs),
            users: Lists::new(nodes.count(), &reversed),
            dependencies_first: closure
                .dependencies_first()
                .iter()
                .filter_map(|node| number[node.index()].map(|(_, at)| at))
                .collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.dependencies_first.len()
    }

    /// What a node refers to, in ascending order.
    pub(crate) fn references(&self, node: u32) -> &[u32] {
        self.references.of(node)
    }

    /// The nodes that refer to a node, in ascending order.
    pub(crate) fn users(&self, node: u32) -> &[u32] {
        self.users.of(node)
    }

    /// All nodes, each after everything that it refers to.
    pub(crate) fn dependencies_first(&self) -> &[u32] {
        &self.dependencies_first
    }
}

/// Walks from given nodes along one direction, each node once; kept between walks because a walk
/// is often much shorter than the graph is large.
#[derive(Debug)]
pub(crate) struct Walk {
    seen: Vec<u32>,
    round: u32,
    reached: Vec<u32>,
}

impl Walk {
    pub(crate) fn new(dag: &Dag) -> Self {
        Self {
            seen: vec![0; dag.len()],
            round: 0,
            reached: Vec::new(),
        }
    }

    /// Everything that can be reached from `from`, itself included, by steps of `next`.
    pub(crate) fn reach<'a>(
        &mut self,
        from: impl IntoIterator<Item = u32>,
        next: impl Fn(u32) -> &'a [u32],
    ) -> &[u32] {
        self.reach_but(from, next, |_| false)
    }

    /// The same, without stepping onto what is `barred`.
    pub(crate) fn reach_but<'a>(
        &mut self,
        from: impl IntoIterator<Item = u32>,
        next: impl Fn(u32) -> &'a [u32],
        barred: impl Fn(u32) -> bool,
    ) -> &[u32] {
        self.round += 1;
        self.reached.clear();
        for node in from {
            self.visit(node);
        }
        let mut at = 0;
        while let Some(&node) = self.reached.get(at) {
            at += 1;
            for &other in next(node) {
                if !barred(other) {
                    self.visit(other);
                }
            }
        }
        &self.reached
    }

    fn visit(&mut self, node: u32) {
        let seen = &mut self.seen[node as usize];
        if *seen != self.round {
            *seen = self.round;
            self.reached.push(node);
        }
    }

    /// Whether the last walk came by a node.
    pub(crate) fn reached(&self, node: u32) -> bool {
        self.seen[node as usize] == self.round
    }
}

/// Finds the *uppers* of each node: itself and everything that needs it. That takes 64 at a time,
/// in `nodes · (nodes + references) / 64` steps.
///
/// Calls `visit` for each node and each 64 nodes that may be uppers of it, users first. Of these
/// 64, in the order given, a bit for each is set in the word of each node that it is an upper of;
/// the words of the node and of all its users are there.
pub(crate) fn for_uppers(dag: &Dag, mut visit: impl FnMut(u32, &[u32], &[u64])) {
    let users_first: Vec<u32> = dag.dependencies_first().iter().rev().copied().collect();
    let mut uppers = vec![0u64; dag.len()];
    for (block, members) in users_first.chunks(64).enumerate() {
        uppers.fill(0);
        for (bit, &member) in members.iter().enumerate() {
            uppers[member as usize] |= 1 << bit;
        }
        for &node in &users_first[block * 64..] {
            let word = uppers[node as usize];
            if word == 0 {
                continue;
            }
            for &below in dag.references(node) {
                uppers[below as usize] |= word;
            }
            visit(node, members, &uppers);
        }
    }
}
