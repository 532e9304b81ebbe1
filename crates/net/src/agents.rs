//! Connections to servers by their addresses.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::{Error, USER_AGENT, is_loopback, trusted_certificates};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// Whoever says nothing to `Expect` for longer will most likely never do.
const CONTINUE: Duration = Duration::from_millis(250);

/// How servers are reached.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// PEM files with certificate authorities to trust beside the machine's own.
    pub ca_files: &'a [PathBuf],
    /// Connections to one server that are kept for further requests.
    pub connections: usize,
    /// How many redirects are followed. A caller that sends credentials follows them itself.
    pub redirects: u32,
    /// A request is given up after this time without a byte in either direction. A transfer may
    /// take as long as it does.
    pub silence: Duration,
}

/// Connections to any number of servers, kept and shared.
#[derive(Debug, Clone)]
pub struct Agents {
    /// Through the proxy that the environment names, if it names one.
    proxied: Agent,
    /// For loopback, which no proxy can reach.
    direct: Agent,
}

impl Agents {
    /// Agents with these settings and the proxy that `HTTPS_PROXY`, `ALL_PROXY` or `HTTP_PROXY`
    /// names, but for the hosts in `NO_PROXY`. `environment` says where certificates lie; see
    /// [`trusted_certificates`].
    ///
    /// # Errors
    ///
    /// A certificate file cannot be used, or the proxy speaks SOCKS.
    pub fn new(
        environment: impl Fn(&str) -> Option<OsString>,
        settings: Settings<'_>,
    ) -> Result<Self, Error> {
        let proxy = Proxy::try_from_env();
        if let Some(proxy) = &proxy
            && !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
        {
            return Err(Error::Proxy {
                proxy: without_login(proxy.uri()),
            });
        }
        let tls = TlsConfig::builder()
            .root_certs(trusted_certificates(environment, settings.ca_files)?)
            .build();
        let agent = |proxy| {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(settings.redirects)
                .max_redirects_will_error(settings.redirects > 0)
                .proxy(proxy)
                .tls_config(tls.clone())
                // The system's resolver gives up by itself. With a time of ours, ureq would start a thread
                // for each name, and panic where it gets none.
                .timeout_resolve(None)
                .timeout_connect(Some(settings.silence.min(CONNECT)))
                .timeout_await_100(Some(CONTINUE))
                .timeout_per_read(Some(settings.silence))
                .timeout_per_write(Some(settings.silence))
                .user_agent(USER_AGENT)
                // The bytes that are stored, not others made of them: digests and lengths are of
                // those.
                .accept_encoding("identity")
                .max_idle_connections(settings.connections)
                .max_idle_connections_per_host(settings.connections)
                .build()
                .new_agent()
        };
        Ok(Self {
            direct: agent(None),
            proxied: agent(proxy),
        })
    }

    /// The agent for requests to `uri`.
    pub fn agent(&self, uri: &Uri) -> &Agent {
        let authority = uri.authority();
        if authority.is_some_and(|authority| is_loopback(host_and_port(authority.as_str()))) {
            &self.direct
        } else {
            &self.proxied
        }
    }
}

/// What follows a user's name and password.
fn host_and_port(authority: &str) -> &str {
    authority.rsplit('@').next().unwrap_or_default()
}

/// A proxy's address, fit for messages.
fn without_login(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{}", host_and_port(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_a_proxy_hold_no_password() {
        for uri in ["socks5://me:secret@proxy:1080", "socks5://proxy:1080"] {
            let uri = uri.parse().unwrap();
            assert_eq!(without_login(&uri), "socks5://proxy:1080");
        }
    }

    #[test]
    fn loopback_is_reached_without_a_proxy() {
        let settings = Settings {
            ca_files: &[],
            connections: 1,
            redirects: 0,
            silence: Duration::from_secs(1),
        };
        let agents = Agents::new(|_| None, settings).unwrap();
        for uri in ["http://127.0.0.1:5000/x", "http://me:x@localhost/x"] {
            let uri = uri.parse().unwrap();
            assert!(std::ptr::eq(agents.agent(&uri), &agents.direct));
        }
        let uri = "https://localhost@example.org/x".parse().unwrap();
        assert!(std::ptr::eq(agents.agent(&uri), &agents.proxied));
    }
}
