//! Why no connection can be made at all.

use std::path::PathBuf;

/// Settings with which no server can be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of certificates cannot be used.
    #[error(
        "{origin}: cannot use these certificates: {why}; a PEM file with at least one is needed"
    )]
    Certificates {
        /// The file, and the variable that names it.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file with the key of this side's certificate cannot be used.
    #[error("cannot use the key {}: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The environment names a proxy that cannot be used.
    #[error(
        "the proxy {proxy} speaks SOCKS, which is not supported; set HTTPS_PROXY to an HTTP proxy"
    )]
    Proxy {
        /// Its address, without a password.
        proxy: String,
    },
}
