//! What a plan remembers for the next one: how often each package changed by itself, and not only
//! because something that it refers to changed.

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::StorePath;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::closure::Closure;
use crate::derivation_name::DerivationName;

/// The form of the JSON. A reader that does not know it starts anew.
const VERSION: u64 = 1;

/// From this number of releases on, counts are halved: old changes weigh less, and numbers stay small.
const MOST_RELEASES: u32 = 64;

/// Changes over releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// How many releases had a previous one.
    releases: u32,
    /// In how many of them a package changed by itself; those that never did are left out.
    changes: BTreeMap<String, u32>,
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("History", 3)?;
        object.serialize_field("version", &VERSION)?;
        object.serialize_field("releases", &self.releases)?;
        object.serialize_field("changes", &self.changes)?;
        object.end()
    }
}

impl History {
    /// The history after one more release: `before` are the paths of
    /// the release before it.
    pub(crate) fn after(&self, before: &BTreeSet<&StorePath>, closure: &Closure) -> Self {
        let names: BTreeSet<&str> = before.iter().map(|path| path.name()).collect();
        let packages: BTreeSet<&str> = names
            .iter()
            .map(|name| DerivationName::parse(name).package)
            .collect();
        let graph = closure.graph();
        let is_new = |path: &StorePath| !before.contains(path);
        let changed: BTreeSet<&str> = graph
            .node_indices()
            .filter(|&node| is_new(&graph[node].path))
            .filter_map(|node| {
                let name = graph[node].path.name();
                let package = DerivationName::parse(name).package;
                let by_itself = graph
                    .neighbors(node)
                    .all(|below| !is_new(&graph[below].path));
                let own = by_itself || !names.contains(name);
                (own && packages.contains(package)).then_some(package)
            })
            .collect();
        let mut next = self.clone();
        if next.releases >= MOST_RELEASES {
            next.releases /= 2;
            next.changes.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        next.releases += 1;
        for package in changed {
            *next.changes.entry(package.to_owned()).or_default() += 1;
        }
        next
    }

    /// How many releases had a previous one.
    pub(crate) fn releases(&self) -> u32 {
        self.releases
    }

    /// A history of so many releases, with these changes by package.
    pub(crate) fn of(releases: u32, mut changes: BTreeMap<String, u32>) -> Self {
        let releases = releases.min(MOST_RELEASES);
        for count in changes.values_mut() {
            *count = (*count).min(releases);
        }
        Self { releases, changes }
    }

    /// In how many of them each package changed by itself; those that never did are left out.
    pub(crate) fn all_changes(&self) -> &BTreeMap<String, u32> {
        &self.changes
    }

    /// In how many of them a package changed by itself.
    pub(crate) fn changes(&self, package: &str) -> u32 {
        self.changes.get(package).copied().unwrap_or(0)
    }

    /// Reads the JSON. `None` if it cannot be read or has another version.
    pub fn from_json(value: &Value) -> Option<Self> {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let object = value.as_object()?;
        if object.get("version")?.as_u64()? != VERSION {
            return None;
        }
        let releases = number(object.get("releases")?)?;
        let changes = object.get("changes")?.as_object()?;
        let changes = changes
            .iter()
            .map(|(package, count)| Some((package.clone(), number(count)?)))
            .collect::<Option<_>>()?;
        Some(Self::of(releases, changes))
    }
}
