//! Wrong usage of the command line.

/// Wrong usage that shows only after files were read. The exit code is 2, like clap's own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
