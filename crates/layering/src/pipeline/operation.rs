//! The operations of a pipeline, and reading them.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;

use serde_json::Value;

/// A `layeringPipeline`: operations, each applied to what the one before gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline(Vec<Step>);

/// An operation and where it stands, for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    place: String,
    pub(super) operation: Operation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    PopularityContest,
    LimitLayers(NonZeroUsize),
    SplitPaths(Vec<PathSpec>),
    SubcomponentOut(BTreeSet<String>),
    SubcomponentIn(BTreeSet<String>),
    Over(String, Box<Step>),
    Pipe(Vec<Step>),
    Map(Box<Step>),
    Flatten,
    Reverse,
    RemovePaths(BTreeSet<String>),
    SplitEvery(NonZeroUsize),
}

/// Which paths `split_paths` is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathSpec {
    Paths(BTreeSet<String>),
    /// What these refer to.
    ChildrenOf(BTreeSet<String>),
}

/// What is wrong with a pipeline, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layering pipeline: {place}: {problem}")]
pub struct PipelineError {
    /// Which operation: `operation 2 (over), its operation 1 (pipe)`.
    pub place: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text is not JSON.
    #[error("this is not JSON: {0}")]
    Json(String),
    /// The pipeline, or that of `pipe`, is not a list.
    #[error("a list of operations was expected")]
    NoList,
    /// An operation is not a list that starts with its name.
    #[error("an operation is a list that starts with its name, as in [\"split_every\", 3]")]
    NoOperation,
    /// There is no such operation.
    #[error("there is no such operation; there are {OPERATIONS}")]
    Unknown,
    /// The arguments are not what the operation takes.
    #[error("it takes {0}")]
    Arguments(&'static str),
    /// It is given what it cannot work on.
    #[error("it works on {wanted} and is given {given}{}", hint(.wanted, .given))]
    Wants {
        /// What it works on.
        wanted: &'static str,
        /// What the previous operation gives.
        given: &'static str,
    },
    /// `over` names a part that is not there.
    #[error("there is no part `{key}`; {}", shown_parts(.there))]
    NoPart {
        /// The part's name.
        key: String,
        /// The parts that there are.
        there: Vec<&'static str>,
    },
    /// All operations are done and there is one graph instead of layers.
    #[error(
        "it leaves a graph, not layers; end with an operation that makes layers, as [\"split_every\", 3] does"
    )]
    NoLayers,
}

const OPERATIONS: &str = "popularity_contest, limit_layers, split_paths, subcomponent_out, \
    subcomponent_in, over, pipe, map, flatten, reverse, remove_paths, split_every";

fn hint(wanted: &str, given: &str) -> &'static str {
    match (wanted, given) {
        ("a list", "named parts") => "; put [\"flatten\"] before it",
        ("a graph", "a list") => "; use [\"map\", …] to work on each of the list",
        ("a graph", "named parts") => "; use [\"over\", \"main\", …] to work on one of them",
        _ => "",
    }
}

fn shown_parts(there: &[&str]) -> String {
    match there {
        [] => "there is none at all".to_owned(),
        _ => format!("there is {}", there.join(", ")),
    }
}

impl Step {
    pub(super) fn error(&self, problem: Problem) -> PipelineError {
        PipelineError {
            place: self.place.clone(),
            problem,
        }
    }
}

impl Pipeline {
    /// Reads the JSON list of operations.
    ///
    /// # Errors
    ///
    /// The text is not JSON, or an operation is unknown or has other arguments than it takes.
    pub fn from_json(text: &str) -> Result<Self, PipelineError> {
        let error = |problem| PipelineError {
            place: "the file".to_owned(),
            problem,
        };
        let value: Value =
            serde_json::from_str(text).map_err(|fault| error(Problem::Json(fault.to_string())))?;
        let operations = value.as_array().ok_or_else(|| error(Problem::NoList))?;
        Ok(Self(steps("", operations)?))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(super) fn error_at_end(&self, problem: Problem) -> PipelineError {
        PipelineError {
            place: "its end".to_owned(),
            problem,
        }
    }
}

fn steps(outer: &str, operations: &[Value]) -> Result<Vec<Step>, PipelineError> {
    let numbered = operations.iter().enumerate();
    numbered
        .map(|(at, operation)| step(&format!("{outer}operation {}", at + 1), operation))
        .collect()
}

fn step(place: &str, value: &Value) -> Result<Step, PipelineError> {
    let error = |place: &dyn fmt::Display, problem| PipelineError {
        place: place.to_string(),
        problem,
    };
    let Some((name, arguments)) = value.as_array().and_then(|list| list.split_first()) else {
        return Err(error(&place, Problem::NoOperation));
    };
    let Some(name) = name.as_str() else {
        return Err(error(&place, Problem::NoOperation));
    };
    let shown_name: String = name.chars().take(40).collect();
    let place = format!("{place} ({shown_name})");
    let wrong = |what| error(&place, Problem::Arguments(what));
    let inner = format!("{place}, its ");
    let inner_step = |value: &Value| step(&format!("{inner}operation"), value).map(Box::new);

    let operation = match name {
        "popularity_contest" | "flatten" | "reverse" => {
            if !arguments.is_empty() {
                return Err(wrong("no argument"));
            }
            match name {
                "popularity_contest" => Operation::PopularityContest,
                "flatten" => Operation::Flatten,
                _ => Operation::Reverse,
            }
        }
        "limit_layers" | "split_every" => {
            let count = match arguments {
                [count] => count.as_u64().and_then(|count| usize::try_from(count).ok()),
                _ => None,
            };
            let count = count
                .and_then(NonZeroUsize::new)
                .ok_or_else(|| wrong("a whole number that is at least 1"))?;
            match name {
                "limit_layers" => Operation::LimitLayers(count),
                _ => Operation::SplitEvery(count),
            }
        }
        "split_paths" => {
            let specs = match arguments {
                [Value::Array(specs)] => specs.iter().map(path_spec).collect(),
                _ => None,
            };
            let what = "a list of paths, or of {\"children_of\": path or paths}";
            Operation::SplitPaths(specs.ok_or_else(|| wrong(what))?)
        }
        "subcomponent_out" | "subcomponent_in" => {
            let paths = match arguments {
                [paths @ Value::Array(_)] => one_or_more(paths),
                _ => None,
            };
            let paths = paths.ok_or_else(|| wrong("a list of paths"))?;
            match name {
                "subcomponent_out" => Operation::SubcomponentOut(paths),
                _ => Operation::SubcomponentIn(paths),
            }
        }
        "remove_paths" => {
            let paths = match arguments {
                [paths] => one_or_more(paths),
                _ => None,
            };
            Operation::RemovePaths(paths.ok_or_else(|| wrong("a path or a list of paths"))?)
        }
        "over" => match arguments {
            [Value::String(key), operation] => Operation::Over(key.clone(), inner_step(operation)?),
            _ => return Err(wrong("the name of a part and an operation")),
        },
        "map" => match arguments {
            [operation] => Operation::Map(inner_step(operation)?),
            _ => return Err(wrong("an operation")),
        },
        "pipe" => match arguments {
            [Value::Array(operations)] => Operation::Pipe(steps(&inner, operations)?),
            _ => return Err(wrong("a list of operations")),
        },
        _ => return Err(error(&place, Problem::Unknown)),
    };
    Ok(Step { place, operation })
}

fn path_spec(value: &Value) -> Option<PathSpec> {
    match value {
        Value::String(path) => Some(PathSpec::Paths([path.clone()].into())),
        Value::Object(object) if object.len() == 1 => object
            .get("children_of")
            .and_then(one_or_more)
            .map(PathSpec::ChildrenOf),
        _ => None,
    }
}

fn one_or_more(value: &Value) -> Option<BTreeSet<String>> {
    match value {
        Value::String(path) => Some([path.clone()].into()),
        Value::Array(paths) => paths
            .iter()
            .map(|path| path.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, message) in [
            ("{", "the file: this is not JSON"),
            ("{}", "the file: a list of operations was expected"),
            (
                r#"["flatten"]"#,
                "operation 1: an operation is a list that starts with its name",
            ),
            (
                r#"[["flatten"], []]"#,
                "operation 2: an operation is a list that starts with its name",
            ),
            (
                r#"[["shuffle"]]"#,
                "operation 1 (shuffle): there is no such operation; there are popularity_contest,",
            ),
            (
                r#"[["flatten", 1]]"#,
                "operation 1 (flatten): it takes no argument",
            ),
            (
                r#"[["limit_layers", 0]]"#,
                "operation 1 (limit_layers): it takes a whole number that is at least 1",
            ),
            (
                r#"[["split_every", "3"]]"#,
                "operation 1 (split_every): it takes a whole number",
            ),
            (
                r#"[["split_every", -3]]"#,
                "operation 1 (split_every): it takes a whole number",
            ),
            (
                r#"[["split_paths", "/nix/store/x"]]"#,
                "operation 1 (split_paths): it takes a list of paths",
            ),
            (
                r#"[["split_paths", [{"children": "x"}]]]"#,
                "operation 1 (split_paths): it takes a list of paths",
            ),
            (
                r#"[["subcomponent_in", "x"]]"#,
                "operation 1 (subcomponent_in): it takes a list of paths",
            ),
            (
                r#"[["remove_paths"]]"#,
                "operation 1 (remove_paths): it takes a path or a list of paths",
            ),
            (
                r#"[["over", "main"]]"#,
                "operation 1 (over): it takes the name of a part and an operation",
            ),
            (
                r#"[["reverse"], ["over", "main", ["pipe", [["flatten"], ["map", ["limit_layers"]]]]]]"#,
                "operation 2 (over), its operation (pipe), its operation 2 (map), its operation (limit_layers): it takes",
            ),
        ] {
            let error = Pipeline::from_json(text).unwrap_err().to_string();
            let expected = format!("layering pipeline: {message}");
            assert!(error.starts_with(&expected), "{text}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_pipeline_or_an_error(
            text in r#"(\[|\]|,|\{|\}|:|"over"|"map"|"pipe"|"main"|"split_paths"|"children_of"|"limit_layers"|-?[0-9]{1,30}){0,24}"#,
        ) {
            let _ = Pipeline::from_json(&text);
        }
    }
}
