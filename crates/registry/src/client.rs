//! The connection to registries: TLS, proxies, timeouts, and who may be spoken to without TLS.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{env, fs};

use oci::Reference;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::auth::Authenticator;
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::loopback::is_loopback;
use crate::repository::{Access, Repository};

/// Which registries are spoken to without TLS.
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

/// How often something is tried, and how long is waited in between.
///
/// The wait doubles from attempt to attempt. A registry's `Retry-After` takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all; those that got something across are not counted.
    pub attempts: u32,
    /// The wait after the first attempt.
    pub first_wait: Duration,
    /// No wait is longer, whatever the registry asks for.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(300),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// The settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Which registries are spoken to without TLS.
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

/// Speaks with any number of registries; connections, tokens and credentials are kept and shared.
pub struct Client {
    agent: Agent,
    /// For loopback, which no proxy can reach.
    direct: Agent,
    pub(crate) authenticator: Authenticator,
    pub(crate) options: Options,
    /// Whether any answer has come yet. Before that, a refused connection is a wrong address.
    pub(crate) answered: AtomicBool,
}

impl Client {
    /// A client with these settings, and the proxy that `HTTPS_PROXY` and its like name.
    ///
    /// # Errors
    /// When a certificate file cannot be used, or the proxy is of a kind that is not supported.
    pub fn new(options: Options) -> Result<Self> {
        let proxy = Proxy::try_from_env();
        if let Some(proxy) = &proxy
            && !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
        {
            return Err(Error::Proxy {
                proxy: proxy.uri().to_string(),
            });
        }
        let tls = TlsConfig::builder()
            .root_certs(root_certificates(&options.ca_files)?)
            .build();
        let agent = |proxy| {
            Agent::config_builder()
                .http_status_as_error(false)
                // Redirects are followed where credentials are handled.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(proxy)
                .tls_config(tls.clone())
                .timeout_connect(Some(options.timeout.min(Duration::from_secs(30))))
                // Whoever says nothing to `Expect` for longer will most likely never do.
                .timeout_await_100(Some(Duration::from_millis(250)))
                .timeout_per_read(Some(options.timeout))
                .timeout_per_write(Some(options.timeout))
                .user_agent(concat!("stream-layered/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .max_idle_connections_per_host(16)
                .build()
                .new_agent()
        };
        Ok(Self {
            direct: agent(None),
            agent: agent(proxy),
            authenticator: Authenticator::new(options.credentials.clone()),
            options,
            answered: AtomicBool::new(false),
        })
    }

    /// The repository that `reference` names, to be used for `access`.
    pub fn repository(&self, reference: &Reference, access: Access) -> Repository<'_> {
        Repository::new(self, reference, access)
    }

    /// Whether `authority` is spoken to without TLS.
    pub(crate) fn is_plain(&self, authority: &str) -> bool {
        match self.options.plain_http {
            PlainHttp::Loopback => is_loopback(authority),
            PlainHttp::Always => true,
            PlainHttp::Never => false,
        }
    }

    pub(crate) fn agent_for(&self, uri: &Uri) -> &Agent {
        let loopback = uri
            .authority()
            .is_some_and(|authority| is_loopback(authority.as_str()));
        if loopback { &self.direct } else { &self.agent }
    }
}

/// The certificates to trust: the machine's bundle, or the built-in one, and `files`.
fn root_certificates(files: &[PathBuf]) -> Result<RootCerts> {
    let machine = ["NIX_SSL_CERT_FILE", "SSL_CERT_FILE"]
        .into_iter()
        .filter_map(env::var_os)
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .or_else(|| {
            // Where distributions keep theirs.
            [
                "/etc/ssl/certs/ca-certificates.crt",
                "/etc/ssl/certs/ca-bundle.crt",
                "/etc/pki/tls/certs/ca-bundle.crt",
            ]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
        });
    if files.is_empty() && machine.is_none() {
        return Ok(RootCerts::WebPki);
    }
    let mut certificates = Vec::new();
    for path in machine.iter().chain(files) {
        certificates.extend(read_certificates(path)?);
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn read_certificates(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>> {
    let error = |why: String| Error::Certificates {
        path: path.to_owned(),
        why,
    };
    let text = fs::read(path).map_err(|source| error(source.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|source| error(source.to_string()))?
        {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(error("it has none".to_owned()));
    }
    Ok(certificates)
}
