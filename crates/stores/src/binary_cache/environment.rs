//! The variables of the process's environment that say where credentials and certificates lie.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Longest file of settings or logins, in bytes.
pub(super) const LONGEST_SETTINGS: u64 = 1 << 20;

/// Variables by name. What a cache takes from its surroundings comes from here alone, so that the
/// same variables always mean the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process. Those that are not UTF-8 are skipped.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// A variable's value; an empty one counts as not set.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// A file that a variable names, or that lies below the home directory.
    pub(super) fn file(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        match self.get(name) {
            Some(path) => Some(path.into()),
            None => Some(PathBuf::from(self.get("HOME")?).join(below_home)),
        }
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}
