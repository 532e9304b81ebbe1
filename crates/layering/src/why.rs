//! Why a path is in an image.

use std::collections::{BTreeSet, HashMap, VecDeque};

use nix_compat::StorePath;
use petgraph::Direction;
use petgraph::graph::NodeIndex;

use crate::closure::Closure;

/// A shortest chain of references from a root to a path, the root first. A root is what no path but
/// hidden ones refers to; of several chains it is the one whose names come first, from the path
/// upwards. `None` if the path is not in the closure, or hidden.
pub fn why(
    closure: &Closure,
    hidden: &BTreeSet<StorePath>,
    path: &StorePath,
) -> Option<Vec<StorePath>> {
    let graph = closure.graph();
    let is_shown = |node: &NodeIndex| !hidden.contains(&graph[*node].path);
    let start = closure.node(path).filter(is_shown)?;
    let mut reached_through = HashMap::from([(start, start)]);
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let users = graph.neighbors_directed(node, Direction::Incoming);
        let mut users: Vec<NodeIndex> = users.filter(is_shown).collect();
        if users.is_empty() {
            let next = |node: &NodeIndex| {
                let below = reached_through.get(node)?;
                (below != node).then_some(*below)
            };
            let chain = std::iter::successors(Some(node), next);
            return Some(chain.map(|node| graph[node].path.clone()).collect());
        }
        users.sort_by_key(|&user| (graph[user].path.name(), user));
        for user in users {
            reached_through.entry(user).or_insert_with(|| {
                queue.push_back(user);
                node
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{closure, path};

    #[test]
    fn the_shortest_chain_from_a_root() {
        let closure = closure(&[
            ("libc", 1, &[]),
            ("ssl", 1, &["libc"]),
            ("curl", 1, &["ssl", "libc"]),
            ("git", 1, &["curl"]),
            ("app", 1, &["git", "curl"]),
            ("conf", 1, &["app", "libc"]),
        ]);
        let hidden = BTreeSet::from([path("conf")]);
        let chain = |name: &str| {
            let chain = why(&closure, &hidden, &path(name))?;
            Some(
                chain
                    .iter()
                    .map(|path| path.name().to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(chain("libc").unwrap(), ["app", "curl", "libc"]);
        assert_eq!(chain("ssl").unwrap(), ["app", "curl", "ssl"]);
        assert_eq!(chain("app").unwrap(), ["app"]);
        assert_eq!(chain("conf"), None);
        assert_eq!(chain("other"), None);
        assert_eq!(
            why(&closure, &BTreeSet::new(), &path("libc")).unwrap(),
            [path("conf"), path("libc")]
        );
    }
}
