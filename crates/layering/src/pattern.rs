//! Patterns over store path names: what a layer of its own is asked for with.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use nix_compat::StorePath;
use petgraph::graph::NodeIndex;

use crate::closure::Closure;

const CLOSURE: &str = "closure:";

/// Which paths are to be a layer of their own: `glibc-*` these paths, `closure:python3-*` these
/// with everything that they need. `*` stands for any characters, `?` for one. The name of a path
/// is what follows its hash; a pattern may also be a whole base name or a whole store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPattern {
    glob: String,
    /// Whether what the paths need belongs to the layer too.
    pub with_closure: bool,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a layer's pattern is empty; it names store paths, as in `glibc-*` or `closure:python3-*`")]
pub struct EmptyPattern;

impl FromStr for LayerPattern {
    type Err = EmptyPattern;

    fn from_str(text: &str) -> Result<Self, EmptyPattern> {
        let (with_closure, glob) = match text.strip_prefix(CLOSURE) {
            Some(glob) => (true, glob),
            None => (false, text),
        };
        if glob.is_empty() {
            return Err(EmptyPattern);
        }
        Ok(Self {
            glob: glob.to_owned(),
            with_closure,
        })
    }
}

impl fmt::Display for LayerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closure = if self.with_closure { CLOSURE } else { "" };
        write!(f, "{closure}{}", self.glob)
    }
}

impl LayerPattern {
    /// The nodes that belong into the layer.
    pub(crate) fn nodes(&self, closure: &Closure, shown: &[NodeIndex]) -> BTreeSet<NodeIndex> {
        let graph = closure.graph();
        let named = shown.iter().copied();
        let mut nodes: BTreeSet<NodeIndex> = named
            .filter(|&node| self.matches(&graph[node].path))
            .collect();
        if self.with_closure {
            let mut todo: Vec<NodeIndex> = nodes.iter().copied().collect();
            while let Some(node) = todo.pop() {
                todo.extend(graph.neighbors(node).filter(|&below| nodes.insert(below)));
            }
        }
        nodes
    }

    /// Whether the pattern names a path.
    pub fn matches(&self, path: &StorePath) -> bool {
        [path.name(), path.base_name(), path.as_str()]
            .into_iter()
            .any(|text| glob_matches(self.glob.as_bytes(), text.as_bytes()))
    }
}

/// Goes back to the last `*` only, which is enough: what an earlier one could take, it took.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star = None;
    while in_text < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at + 1, in_text));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[in_text] => {
                at += 1;
                in_text += 1;
            }
            _ => {
                let Some((after, taken)) = star else {
                    return false;
                };
                star = Some((after, taken + 1));
                at = after;
                in_text = taken + 1;
            }
        }
    }
    glob[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::path;

    #[test]
    fn globs_over_names() {
        let glibc = path("glibc-2.39-52");
        let whole = glibc.as_str();
        for (pattern, matches) in [
            ("glibc-*", true),
            ("glibc", false),
            ("*", true),
            ("*-2.39-*", true),
            ("*-2.3?-52", true),
            ("*9-5", false),
            ("*-52*", true),
            ("g*c*2*2", true),
            ("openssl-*", false),
            (glibc.base_name(), true),
            (whole, true),
            ("closure:glibc-*", true),
        ] {
            let parsed: LayerPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(&glibc), matches, "{pattern}");
            assert_eq!(parsed.to_string(), pattern);
        }
        assert_eq!("closure:".parse::<LayerPattern>(), Err(EmptyPattern));
        assert_eq!("".parse::<LayerPattern>(), Err(EmptyPattern));
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern: LayerPattern = format!("{}b", "*a".repeat(60)).parse().unwrap();
        assert!(!pattern.matches(&path(&"a".repeat(200))));
    }
}
