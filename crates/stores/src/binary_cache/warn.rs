//! What the user should know although the run goes on.

use std::fmt;
use std::sync::Arc;

/// Takes warnings, one line each.
#[derive(Clone)]
pub struct Warn(Arc<dyn Fn(&str) + Send + Sync>);

impl Warn {
    /// Calls `take` for each warning, from any thread.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub(super) fn say(&self, text: &str) {
        (self.0)(text);
    }
}

/// Nobody hears the warnings.
impl Default for Warn {
    fn default() -> Self {
        Self::new(|_| ())
    }
}

impl fmt::Debug for Warn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warn")
    }
}
