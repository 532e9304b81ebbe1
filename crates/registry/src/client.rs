//! The settings for registries, and what reaches any number of them.

use std::path::PathBuf;
use std::time::Duration;

use net::Retry;
use oci::Reference;

use crate::credentials::Credentials;
use crate::error::Result;
use crate::repository::{Access, Repository};
use crate::transport::{PlainHttp, Transport};

/// The settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Which registries are reached without TLS.
    pub plain_http: PlainHttp,
    /// Where credentials are looked for.
    pub credentials: Credentials,
    /// PEM files with certificates to trust beside the machine's own.
    pub ca_files: Vec<PathBuf>,
    /// Retries.
    pub retry: Retry,
    /// A connection is given up after this time without a byte in either direction.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: PlainHttp::default(),
            credentials: Credentials::from_environment(),
            ca_files: Vec::new(),
            retry: Retry::default(),
            // A registry may take its time over the end of a large blob, to check its digest.
            timeout: Duration::from_secs(180),
        }
    }
}

/// A client for any number of registries. It keeps and shares connections, tokens and credentials.
pub struct Client(Transport);

impl Client {
    /// A client with these settings, and the proxy that `HTTPS_PROXY` and similar variables name.
    ///
    /// # Errors
    ///
    /// A certificate file cannot be used, or the proxy is of a kind that is not supported.
    pub fn new(options: Options) -> Result<Self> {
        let Options {
            plain_http,
            credentials,
            ca_files,
            retry,
            timeout,
        } = options;
        Transport::new(plain_http, credentials, &ca_files, retry, timeout).map(Self)
    }

    /// The repository that `reference` names, to be used for `access`.
    pub fn repository(&self, reference: &Reference, access: Access) -> Repository<'_> {
        Repository::new(&self.0, reference, access)
    }
}
