//! Patterns over store path names: what a layer of its own is asked for with.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use nix_compat::StorePath;
use petgraph::graph::NodeIndex;

use crate::closure::Closure;

const CLOSURE: &str = "closure:";

/// Which paths are to be a layer of their own: `glibc-*` these paths, `closure:python3-*` these
/// with everything that they need. `*` stands for any characters, `?` for one, `[a-c]` for one of
/// some, `{a,b}` for one text or another, and `\` makes the next character stand for itself. The
/// name of a path is what follows its hash; a pattern may also be a whole base name or a whole
/// store path.
#[derive(Debug, Clone)]
pub struct LayerPattern {
    glob: GlobMatcher,
    /// Whether what the paths need belongs to the layer too.
    pub with_closure: bool,
}

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePatternError {
    /// It names nothing.
    #[error(
        "a layer's pattern is empty; it names store paths, as in `glibc-*` or `closure:python3-*`"
    )]
    Empty,
    /// Brackets, braces or a backslash that lead to nothing.
    #[error("`{glob}` is not a pattern of store paths: {why}")]
    Glob {
        /// What was read, without `closure:`.
        glob: String,
        /// What is wrong.
        why: String,
    },
}

impl FromStr for LayerPattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, ParsePatternError> {
        let (with_closure, glob) = match text.strip_prefix(CLOSURE) {
            Some(glob) => (true, glob),
            None => (false, text),
        };
        if glob.is_empty() {
            return Err(ParsePatternError::Empty);
        }
        // As the patterns of `owners` and `modes` are, but that `*` stands for slashes as well:
        // they are in none but whole store paths.
        let parsed = GlobBuilder::new(glob).empty_alternates(true).build();
        let parsed = parsed.map_err(|error| ParsePatternError::Glob {
            glob: glob.to_owned(),
            why: error.kind().to_string(),
        })?;
        Ok(Self {
            glob: parsed.compile_matcher(),
            with_closure,
        })
    }
}

impl fmt::Display for LayerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closure = if self.with_closure { CLOSURE } else { "" };
        write!(f, "{closure}{}", self.glob.glob())
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
            .any(|text| self.glob.is_match(text))
    }
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
            ("{glibc,musl}-*", true),
            ("glibc{,-locales}-2*", true),
            ("glibc-[0-9]*", true),
            ("glibc-[!0-9]*", false),
            ("/nix/*-glibc-*", true),
        ] {
            let parsed: LayerPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(&glibc), matches, "{pattern}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn what_is_no_pattern_is_said_in_one_line() {
        for (text, why) in [
            ("", "empty"),
            ("closure:", "empty"),
            ("glibc-[", "`glibc-[` is not a pattern of store paths"),
            ("closure:{a", "`{a` is not a pattern of store paths"),
        ] {
            let error = text.parse::<LayerPattern>().unwrap_err().to_string();
            assert!(error.contains(why) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern: LayerPattern = format!("{}b", "*a".repeat(60)).parse().unwrap();
        assert!(!pattern.matches(&path(&"a".repeat(200))));
    }
}
