//! The way to registries: connections, whom to speak to without TLS, and who we are to whom.

use std::env;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use net::{Agents, Retry, Settings, is_loopback};

use crate::auth::Authenticator;
use crate::credentials::Credentials;
use crate::error::Result;

/// Connections to one registry that are kept: more than a push sends blobs at once.
const CONNECTIONS: usize = 16;

/// Which registries are reached without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainHttp {
    /// Those on this machine's loopback.
    #[default]
    Loopback,
    /// All of them. Passwords are then sent in the clear.
    Always,
    /// None.
    Never,
}

/// What all requests have in common; [`crate::exchange`] makes them.
pub(crate) struct Transport {
    pub(crate) agents: Agents,
    pub(crate) authenticator: Authenticator,
    pub(crate) retry: Retry,
    /// The longest silence within a request.
    pub(crate) timeout: Duration,
    /// Whether any answer has come yet. Before that, a refused connection is a wrong address.
    pub(crate) answered: AtomicBool,
    plain_http: PlainHttp,
}

impl Transport {
    pub(crate) fn new(
        plain_http: PlainHttp,
        credentials: Credentials,
        ca_files: &[PathBuf],
        retry: Retry,
        timeout: Duration,
    ) -> Result<Self> {
        let settings = Settings {
            ca_files,
            connections: CONNECTIONS,
            // They are followed where credentials are handled.
            redirects: 0,
            silence: timeout,
        };
        Ok(Self {
            agents: Agents::new(|name| env::var_os(name), settings)?,
            authenticator: Authenticator::new(credentials),
            retry,
            timeout,
            answered: AtomicBool::new(false),
            plain_http,
        })
    }

    /// Whether `authority` is reached without TLS.
    pub(crate) fn is_plain(&self, authority: &str) -> bool {
        match self.plain_http {
            PlainHttp::Loopback => is_loopback(authority),
            PlainHttp::Always => true,
            PlainHttp::Never => false,
        }
    }
}
