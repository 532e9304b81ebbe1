//! The plan of a fleet, and its JSON.

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::StorePath;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::history::History;
use crate::plan::{ParsePlanError, Plan, PlannedLayer};

/// The plans of a fleet's images. Layers that images share hold the same paths in the same order, so
/// they have the same digest.
///
/// In JSON it is an object with `images`, which has the plan of each image under its name, and
/// `history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FleetPlan {
    /// The plan of each image.
    #[serde(serialize_with = "plans")]
    pub images: BTreeMap<String, Plan>,
    /// How often each package changed from one plan of the fleet to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

fn plans<S: Serializer>(images: &BTreeMap<String, Plan>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(images)
}

/// Why a text is no plan of a fleet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFleetPlanError {
    /// Not JSON, or cut off.
    #[error("this is not JSON")]
    Json(#[from] serde_json::Error),
    /// JSON of another form.
    #[error(
        "this is not the plan of a fleet: it has no object `images`; `plan --fleet … --format json` prints one"
    )]
    Form,
    /// The plan of an image cannot be read.
    #[error("image {image}")]
    Image {
        /// The image's name.
        image: String,
        /// What is wrong.
        source: ParsePlanError,
    },
}

impl FleetPlan {
    /// Reads what `plan --fleet … --format json` prints.
    ///
    /// # Errors
    ///
    /// The text has another form, or holds a plan that cannot be read.
    pub fn from_json(text: &str) -> Result<Self, ParseFleetPlanError> {
        Self::from_value(serde_json::from_str(text)?)
    }

    /// Reads the JSON that [`FleetPlan::from_json`] reads.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_value(mut value: Value) -> Result<Self, ParseFleetPlanError> {
        let Some(Value::Object(images)) = value.get_mut("images").map(Value::take) else {
            return Err(ParseFleetPlanError::Form);
        };
        let image = |(image, plan): (String, Value)| match Plan::from_value(plan) {
            Ok(plan) => Ok((image, plan)),
            Err(source) => Err(ParseFleetPlanError::Image { image, source }),
        };
        Ok(Self {
            images: images.into_iter().map(image).collect::<Result<_, _>>()?,
            history: value.get("history").and_then(History::from_json),
        })
    }

    /// Whether a JSON value has the form of a fleet's plan, rather than that of one image's.
    pub fn is_form_of(value: &Value) -> bool {
        value.get("images").is_some_and(Value::is_object)
    }

    /// The different layers, each with the numbers of the images that have it, in the order of their
    /// names. Those of more images come first.
    pub fn shared_layers(&self) -> Vec<(&PlannedLayer, BTreeSet<usize>)> {
        let mut rows: Vec<(&PlannedLayer, BTreeSet<usize>)> = Vec::new();
        let mut known = BTreeMap::<&[StorePath], usize>::new();
        for (image, plan) in self.images.values().enumerate() {
            for layer in &plan.layers {
                let row = *known.entry(&layer.paths).or_insert(rows.len());
                if row == rows.len() {
                    rows.push((layer, BTreeSet::new()));
                }
                rows[row].1.insert(image);
            }
        }
        rows.sort_by(|(_, a), (_, b)| (b.len().cmp(&a.len())).then(a.cmp(b)));
        rows
    }

    /// The history, or where there is none, what the histories of the images have seen together.
    pub(super) fn any_history(&self) -> History {
        if let Some(history) = &self.history {
            return history.clone();
        }
        let histories = self
            .images
            .values()
            .filter_map(|plan| plan.history.as_ref());
        let mut releases = 0;
        let mut changes = BTreeMap::<String, u32>::new();
        for history in histories {
            releases = releases.max(history.releases());
            for (package, &count) in history.all_changes() {
                let most = changes.entry(package.clone()).or_default();
                *most = count.max(*most);
            }
        }
        History::of(releases, changes)
    }

    /// All store paths of all images.
    pub(super) fn paths(&self) -> BTreeSet<&StorePath> {
        self.images.values().flat_map(Plan::paths).collect()
    }
}
