//! Plans: which store paths go into which layer, and the JSON in which plans are printed and read.

use std::collections::BTreeSet;
use std::fmt;

use nix_compat::store_path::ParseStorePathError;
use nix_compat::{StoreDir, StorePath};
use petgraph::graph::NodeIndex;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::closure::Closure;
use crate::history::History;
use crate::plan_graph::PlanGraph;

/// The layers of an image's store paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The layers, the lowest first.
    pub layers: Vec<PlannedLayer>,
    /// What the stable strategy needs to know of the previous releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// The references among its paths, to explain the difference of two plans. The label of an image
    /// leaves it out if it is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<PlanGraph>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLayer {
    /// What is in it, in the order in which the archive holds it. Never empty.
    pub paths: Vec<StorePath>,
    /// The NAR sizes of its paths together, in bytes.
    pub size: u64,
    /// Why these paths make a layer.
    pub reason: Reason,
    /// How likely the layer changes in the next release, in thousandths, if the strategy estimates
    /// that.
    pub chance_per_mille: Option<u16>,
}

/// The chance of what changes in each release, in thousandths.
pub(crate) const MAX_CHANCE: u16 = 1000;

/// Why some paths make a layer, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Met so often below the roots that it has a layer of its own.
    Popular,
    /// Large, with what nothing else that is large needs.
    Large,
    /// Needed by the same several large paths.
    Shared,
    /// What is left.
    Rest,
    /// An operation of a pipeline made it.
    Pipeline,
    /// The request asks for it.
    Asked,
    /// The previous plan has it.
    Kept,
    /// What is being worked on, with what changes with it.
    Root,
    /// All its paths need the package of this name.
    ChangesWith(String),
    /// Too small to be told apart.
    Small,
    /// What a plan says that was made elsewhere, or by another version.
    Other(String),
}

/// Why a plan does not fit a closure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A path of the closure is in no layer.
    #[error("the plan has no layer for {0}")]
    Missing(StorePath),
    /// A path is in two layers, or in one twice.
    #[error("the plan contains {0} twice")]
    Twice(StorePath),
    /// A path is in a layer though the closure does not have it, or hides it.
    #[error("the plan contains {0}, which is not in the closure")]
    Foreign(StorePath),
    /// A layer holds nothing.
    #[error("layer {0} of the plan is empty")]
    Empty(usize),
}

/// Why a text is not a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePlanError {
    /// Not JSON, or cut off.
    #[error("this is not JSON")]
    Json(#[from] serde_json::Error),
    /// JSON of another form.
    #[error("this is not a plan: {0}; `plan --format json` prints one")]
    Form(String),
    /// A layer contains what is not a store path.
    #[error("layer {layer} of the plan: {why}")]
    Path {
        /// The layer's place, from 1.
        layer: usize,
        /// What is wrong.
        why: ParseStorePathError,
    },
    /// A path is in two layers, or in one twice.
    #[error("the plan contains {0} twice")]
    Twice(StorePath),
}

impl Plan {
    pub(crate) fn new(
        closure: &Closure,
        layers: impl IntoIterator<Item = (Vec<NodeIndex>, Reason)>,
    ) -> Self {
        let layer = |(nodes, reason): (Vec<NodeIndex>, Reason)| {
            let infos = nodes.iter().map(|&node| &closure.graph()[node]);
            PlannedLayer {
                size: infos.clone().map(|info| info.nar_size).sum(),
                paths: infos.map(|info| info.path.clone()).collect(),
                reason,
                chance_per_mille: None,
            }
        };
        let mut plan = Self {
            layers: layers.into_iter().map(layer).collect(),
            history: None,
            graph: None,
        };
        plan.graph = Some(PlanGraph::new(closure, plan.paths()));
        plan
    }

    /// All store paths, through all layers, the lowest first.
    pub fn paths(&self) -> impl Iterator<Item = &StorePath> {
        self.layers.iter().flat_map(|layer| &layer.paths)
    }

    /// The NAR sizes of all layers together, in bytes.
    pub fn size(&self) -> u64 {
        self.layers
            .iter()
            .fold(0, |sum, layer| sum.saturating_add(layer.size))
    }

    /// Checks that each path of the closure, except the hidden ones, is in exactly one layer, and that
    /// the plan contains nothing else.
    ///
    /// # Errors
    ///
    /// The first rule that the plan breaks.
    pub fn check(&self, closure: &Closure, hidden: &BTreeSet<StorePath>) -> Result<(), CheckError> {
        let mut planned = vec![false; closure.len()];
        for (at, layer) in self.layers.iter().enumerate() {
            if layer.paths.is_empty() {
                return Err(CheckError::Empty(at + 1));
            }
            for path in &layer.paths {
                let node = closure
                    .node(path)
                    .filter(|_| !hidden.contains(path))
                    .ok_or_else(|| CheckError::Foreign(path.clone()))?;
                if std::mem::replace(&mut planned[node.index()], true) {
                    return Err(CheckError::Twice(path.clone()));
                }
            }
        }
        let missing = closure
            .paths()
            .zip(planned)
            .find(|(info, planned)| !planned && !hidden.contains(&info.path));
        match missing {
            Some((info, _)) => Err(CheckError::Missing(info.path.clone())),
            None => Ok(()),
        }
    }

    /// The bare list of lists of paths that nixpkgs' planners print.
    pub fn to_layers_json(&self) -> Value {
        let texts = |layer: &PlannedLayer| layer.paths.iter().map(StorePath::as_str).collect();
        self.layers.iter().map(texts).collect::<Vec<Value>>().into()
    }

    /// A plan of layers that were chosen elsewhere. Paths that the closure does not have are left
    /// out.
    pub fn of_layers(closure: &Closure, layers: &[Vec<StorePath>], reason: &Reason) -> Self {
        let nodes = layers.iter().map(|paths| {
            let nodes = paths.iter().filter_map(|path| closure.node(path));
            (nodes.collect(), reason.clone())
        });
        Self::new(closure, nodes)
    }

    /// Reads what `plan --format json` prints: an object with `layers`. The bare list of lists
    /// that nixpkgs' planners print is a plan too; it knows no sizes and no reasons.
    ///
    /// # Errors
    ///
    /// The text has none of these forms, holds what is not a store path, or holds a path twice.
    pub fn from_json(text: &str) -> Result<Self, ParsePlanError> {
        Self::from_value(serde_json::from_str(text)?)
    }

    /// Reads the JSON that [`Plan::from_json`] reads.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_value(value: Value) -> Result<Self, ParsePlanError> {
        let mut history = None;
        let mut graph = None;
        let layers = match value {
            Value::Array(layers) => layers,
            Value::Object(mut object) => {
                history = object.get("history").and_then(History::from_json);
                graph = object.remove("graph");
                match object.remove("layers") {
                    Some(Value::Array(layers)) => layers,
                    _ => {
                        return Err(ParsePlanError::Form(
                            "it has no list of `layers`".to_owned(),
                        ));
                    }
                }
            }
            _ => return Err(ParsePlanError::Form("it is not an object".to_owned())),
        };
        let layers = layers
            .into_iter()
            .enumerate()
            .map(|(at, layer)| parse_layer(at + 1, layer))
            .collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        for path in layers.iter().flat_map(|layer| &layer.paths) {
            if !seen.insert(path) {
                return Err(ParsePlanError::Twice(path.clone()));
            }
        }
        let graph = match graph {
            None => None,
            Some(graph) => Some(PlanGraph::from_json(&graph, seen.len()).ok_or_else(|| {
                ParsePlanError::Form("its `graph` does not tell of its paths".to_owned())
            })?),
        };
        Ok(Self {
            layers,
            history,
            graph,
        })
    }
}

fn parse_layer(layer: usize, value: Value) -> Result<PlannedLayer, ParsePlanError> {
    let form = |what: &str| ParsePlanError::Form(format!("layer {layer} {what}"));
    let mut object = match value {
        Value::Object(object) => object,
        paths @ Value::Array(_) => [("paths".to_owned(), paths)].into_iter().collect(),
        _ => return Err(form("is not an object")),
    };
    let Some(Value::Array(paths)) = object.remove("paths") else {
        return Err(form("has no list of `paths`"));
    };
    let paths = paths
        .iter()
        .map(|path| {
            let text = path
                .as_str()
                .ok_or_else(|| form("has a path that is not a text"))?;
            parse_path(text).map_err(|why| ParsePlanError::Path { layer, why })
        })
        .collect::<Result<_, _>>()?;
    let size = match object.get("size") {
        None => 0,
        Some(size) => size
            .as_u64()
            .ok_or_else(|| form("has a `size` that is not a number of bytes"))?,
    };
    let reason = match object.get("reason") {
        None => Reason::Other(String::new()),
        Some(Value::String(text)) => Reason::parse(text),
        Some(_) => return Err(form("has a `reason` that is not a text")),
    };
    let chance_per_mille = match object.get("chancePerMille") {
        None => None,
        Some(chance) => chance
            .as_u64()
            .and_then(|chance| u16::try_from(chance).ok())
            .filter(|&chance| chance <= MAX_CHANCE)
            .map(Some)
            .ok_or_else(|| form("has a `chancePerMille` that is not a number from 0 to 1000"))?,
    };
    Ok(PlannedLayer {
        paths,
        size,
        reason,
        chance_per_mille,
    })
}

/// A plan does not say which store it is for: its paths do.
fn parse_path(text: &str) -> Result<StorePath, ParseStorePathError> {
    let store_dir = match text.rsplit_once('/') {
        Some((dir, _)) => StoreDir::new(dir)?,
        None => StoreDir::default(),
    };
    store_dir.parse(text)
}

const CHANGES_WITH: &str = "changes with ";

impl Reason {
    /// Reads the text that a reason prints; [`Reason::Other`] where it is none of these.
    pub fn parse(text: &str) -> Self {
        [
            Self::Popular,
            Self::Large,
            Self::Shared,
            Self::Rest,
            Self::Pipeline,
            Self::Asked,
            Self::Kept,
            Self::Root,
            Self::Small,
        ]
        .into_iter()
        .find(|reason| reason.to_string() == text)
        .unwrap_or_else(|| match text.strip_prefix(CHANGES_WITH) {
            Some(package) => Self::ChangesWith(package.to_owned()),
            None => Self::Other(text.to_owned()),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Popular => "popular",
            Self::Large => "large",
            Self::Shared => "shared",
            Self::Rest => "rest",
            Self::Pipeline => "pipeline",
            Self::Asked => "asked for",
            Self::Kept => "kept",
            Self::Root => "root",
            Self::ChangesWith(package) => return write!(f, "{CHANGES_WITH}{package}"),
            Self::Small => "small",
            Self::Other(text) => text,
        })
    }
}

impl Serialize for PlannedLayer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let paths: Vec<&str> = self.paths.iter().map(StorePath::as_str).collect();
        let len = 3 + usize::from(self.chance_per_mille.is_some());
        let mut object = serializer.serialize_struct("PlannedLayer", len)?;
        object.serialize_field("paths", &paths)?;
        object.serialize_field("size", &self.size)?;
        object.serialize_field("reason", &self.reason.to_string())?;
        if let Some(chance) = self.chance_per_mille {
            object.serialize_field("chancePerMille", &chance)?;
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{closure, path};

    fn layers(names: &[&[&str]]) -> Plan {
        let layer = |names: &&[&str]| PlannedLayer {
            paths: names.iter().map(|name| path(name)).collect(),
            size: 7,
            reason: Reason::ChangesWith("a".to_owned()),
            chance_per_mille: Some(12),
        };
        Plan {
            layers: names.iter().map(layer).collect(),
            history: None,
            graph: None,
        }
    }

    #[test]
    fn a_printed_plan_reads_back() {
        let plan = layers(&[&["a", "b"], &["c"]]);
        let text = serde_json::to_string(&plan).unwrap();
        let start = format!(
            r#"{{"layers":[{{"paths":["{}","{}"],"size":7,"#,
            path("a"),
            path("b")
        );
        assert!(text.starts_with(&start), "{text}");
        assert_eq!(Plan::from_json(&text).unwrap(), plan);
        let bare = plan.to_layers_json().to_string();
        assert_eq!(
            Plan::from_json(&bare).unwrap().to_layers_json(),
            plan.to_layers_json()
        );
    }

    #[test]
    fn sizes_and_references_are_one_text_for_each_path() {
        let closure = closure(&[
            ("app", 9, &["lib", "libc"]),
            ("lib", 70, &["libc", "lib"]),
            ("libc", 800, &[]),
        ]);
        let nodes = ["libc", "app", "lib"].map(|name| closure.node(&path(name)).unwrap());
        let plan = Plan::new(&closure, nodes.map(|node| (vec![node], Reason::Rest)));
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(json["graph"], serde_json::json!(["800", "9 0 2", "70 0"]));
        assert_eq!(Plan::from_json(&json.to_string()).unwrap(), plan);
    }

    #[test]
    fn a_plan_that_does_not_fit_is_found_out() {
        let closure = closure(&[("a", 1, &["b"]), ("b", 1, &[]), ("h", 1, &["a"])]);
        let hidden = BTreeSet::from([path("h")]);
        let check = |names: &[&[&str]]| layers(names).check(&closure, &hidden);
        assert_eq!(check(&[&["a"], &["b"]]), Ok(()));
        assert_eq!(check(&[&["a"]]), Err(CheckError::Missing(path("b"))));
        assert_eq!(
            check(&[&["a", "b"], &["b"]]),
            Err(CheckError::Twice(path("b")))
        );
        assert_eq!(
            check(&[&["a", "b", "z"]]),
            Err(CheckError::Foreign(path("z")))
        );
        assert_eq!(
            check(&[&["a", "b", "h"]]),
            Err(CheckError::Foreign(path("h")))
        );
        assert_eq!(check(&[&["a", "b"], &[]]), Err(CheckError::Empty(2)));
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        let a = path("a");
        for text in [
            "",
            "{",
            "7",
            "{}",
            r#"{"layers":7}"#,
            r#"{"layers":[7]}"#,
            r#"{"layers":[{}]}"#,
            r#"{"layers":[{"paths":"x"}]}"#,
            r#"{"layers":[{"paths":[7]}]}"#,
            r#"{"layers":[{"paths":["/etc/passwd"]}]}"#,
            &format!(r#"{{"layers":[{{"paths":["{a}"],"size":-1}}]}}"#),
            &format!(r#"{{"layers":[{{"paths":["{a}"],"reason":1}}]}}"#),
            &format!(r#"[["{a}"],["{a}"]]"#),
            &format!(r#"{{"layers":[["{a}"]],"graph":7}}"#),
            &format!(r#"{{"layers":[["{a}"]],"graph":[]}}"#),
            &format!(r#"{{"layers":[["{a}"]],"graph":["1","2"]}}"#),
            &format!(r#"{{"layers":[["{a}"]],"graph":["-1"]}}"#),
            &format!(r#"{{"layers":[["{a}"]],"graph":["1 1"]}}"#),
            &format!(r#"{{"layers":[["{a}"]],"graph":["1 0"]}}"#),
        ] {
            assert!(Plan::from_json(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_plan_or_an_error(text in r#"(\{|\}|\[|\]|,|:|"layers"|"paths"|"size"|"/nix/store/[0-9a-z]{32}-a"|[0-9]{1,30}){0,20}"#) {
            let _ = Plan::from_json(&text);
        }
    }
}
