//! What is said of a budget that is exceeded.

use anyhow::{Result, bail};

use crate::output::console::say;
use crate::resolve::budget::Exceeded;

/// Ends the run if a budget is exceeded, after what takes most.
///
/// # Errors
///
/// It is exceeded.
pub fn check(exceeded: Option<Exceeded>) -> Result<()> {
    let Some(Exceeded { what, why }) = exceeded else {
        return Ok(());
    };
    for line in why {
        say!("{line}");
    }
    bail!("the budget is exceeded: {what}");
}
