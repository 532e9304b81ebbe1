//! Where engines listen.

use std::ffi::OsString;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use net::{Endpoint, Port};

use crate::choice::Choice;
use crate::docker_context::{Configuration, DEFAULT, Tls};
use crate::error::Error;
use crate::ssh_address::SshAddress;

/// Docker's socket.
const DOCKER: &str = "/var/run/docker.sock";

/// Docker's port where an address has none.
const PORT: u16 = 2375;

/// Docker's port for TLS, in the same case.
const TLS_PORT: u16 = 2376;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A port.
    Port {
        /// A name, or an address: one of IPv6 stands in brackets.
        host: String,
        /// Its number.
        port: u16,
        /// How it is spoken to with TLS, if it is.
        tls: Option<Tls>,
    },
    /// A host that `ssh` reaches.
    Ssh(SshAddress),
}

/// A place to look for an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The place.
    pub address: Address,
    /// Who names it.
    pub source: Source,
}

impl Candidate {
    /// The engine that is asked for behind ssh: that of who names the place, where the address itself
    /// names none.
    pub fn choice_behind(&self, address: &SshAddress) -> Choice {
        match (address.choice, &self.source) {
            (Choice::Any, Source::Variable("DOCKER_HOST") | Source::Context(_)) => Choice::Docker,
            (Choice::Any, Source::Variable(_)) => Choice::Podman,
            (choice, _) => choice,
        }
    }
}

/// Who names a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An environment variable.
    Variable(&'static str),
    /// docker's context of this name.
    Context(String),
    /// The user, on the command line.
    User,
    /// Nobody: engines are usually there.
    Usual,
}

impl Address {
    /// The endpoint of an address that is not behind ssh.
    ///
    /// # Errors
    ///
    /// A file with certificates cannot be used.
    pub fn endpoint(
        &self,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Endpoint>, net::Error> {
        Ok(match self {
            Self::Unix(path) => Some(Endpoint::Unix(path.clone())),
            Self::Port { host, port, tls } => {
                let tls = tls
                    .as_ref()
                    .map(|tls| net::client_tls(env, &tls.directory, tls.is_verified));
                Some(Endpoint::Port(Port {
                    host: host.clone(),
                    port: *port,
                    tls: tls.transpose()?,
                }))
            }
            Self::Ssh(_) => None,
        })
    }

    /// What is to be known of it: that others on the way can read and change what is sent.
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Port {
                host, tls: None, ..
            } if !net::is_loopback(host) => Some(format!(
                "{self} is not encrypted: whoever is on the way can read and change what is sent; use TLS \
                 (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH) or ssh://"
            )),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Port { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Ssh(address) => address.fmt(f),
        }
    }
}

/// The place that an environment variable names.
///
/// # Errors
///
/// Its address is not supported.
pub fn of_variable(
    env: impl Fn(&str) -> Option<OsString>,
    variable: &'static str,
) -> Result<Option<Candidate>, Error> {
    let Some(text) = env(variable).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    let tls = match variable {
        "DOCKER_HOST" => Configuration::new(&env).tls(&env),
        _ => None,
    };
    let address = parse(&text, tls).map_err(|why| Error::Address {
        variable,
        text: without_password(&text),
        why,
    })?;
    let source = Source::Variable(variable);
    Ok(Some(Candidate { address, source }))
}

/// The place that a text names on the command line.
///
/// # Errors
///
/// Its address is not supported.
pub fn of_text(env: impl Fn(&str) -> Option<OsString>, text: &str) -> Result<Candidate, Error> {
    let tls = Configuration::new(&env).tls(&env);
    let address = parse(text, tls).map_err(|why| Error::Address {
        variable: "--to",
        text: without_password(text),
        why,
    })?;
    let source = Source::User;
    Ok(Candidate { address, source })
}

/// The place of a docker context, which `named_by` names: a variable, an option, or docker's
/// configuration.
///
/// # Errors
///
/// There is no such context, or its address is not supported.
pub fn of_context(
    configuration: &Configuration,
    name: &str,
    named_by: &'static str,
) -> Result<Candidate, Error> {
    let error = |why| Error::Context {
        name: name.to_owned(),
        named_by,
        why,
    };
    let source = Source::Context(name.to_owned());
    if name == DEFAULT {
        let address = Address::Unix(DOCKER.into());
        return Ok(Candidate { address, source });
    }
    let endpoint = configuration.endpoint(name).map_err(error)?;
    let address = parse(&endpoint.host, endpoint.tls).map_err(|why| {
        let host = without_password(&endpoint.host);
        error(format!("it is at {host}: {why}"))
    })?;
    Ok(Candidate { address, source })
}

/// The sockets that Docker and podman usually have, root's and the user's.
pub fn usual(env: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let runtime = env("XDG_RUNTIME_DIR").map(PathBuf::from);
    let of_user = |name: &str| Some(runtime.as_ref()?.join(name));
    let sockets = [
        Some(PathBuf::from(DOCKER)),
        of_user("docker.sock"),
        of_user("podman/podman.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ];
    sockets.into_iter().flatten().collect()
}

/// Reads `unix:///path`, `tcp://host:2375` and `ssh://host`, and, as docker does, what is left out of them.
/// The error says what is wrong.
fn parse(text: &str, tls: Option<Tls>) -> Result<Address, &'static str> {
    let text = text.trim();
    if text.is_empty() || text == "unix://" {
        return Ok(Address::Unix(DOCKER.into()));
    }
    if let Some(path) = text.strip_prefix("unix://") {
        if !path.starts_with('/') {
            return Err("a socket's path starts with /");
        }
        return Ok(Address::Unix(path.into()));
    }
    if let Some(address) = SshAddress::parse(text) {
        return address.map(Address::Ssh);
    }
    let host = match text.split_once("://") {
        Some(("tcp" | "http", host)) => host,
        None if !text.contains('/') => text,
        _ => return Err("use unix:///path/of/socket, tcp://host:port or ssh://[user@]host[:port]"),
    };
    let default_port = if tls.is_some() { TLS_PORT } else { PORT };
    let host = host.trim_end_matches('/');
    let (name, port) = match host.rsplit_once(':') {
        // An IPv6 address alone, in its brackets.
        Some((_, rest)) if rest.ends_with(']') => (host, default_port),
        Some((name, port)) => (name, port.parse().map_err(|_| "its port is not a number")?),
        None => (host, default_port),
    };
    let host = if name.is_empty() { "127.0.0.1" } else { name };
    let inside = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_host = match inside {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    };
    if !is_host {
        return Err("it names no host; an IPv6 address stands in [ ]");
    }
    let host = host.to_owned();
    Ok(Address::Port { host, port, tls })
}

/// An address without what stands between `user:` and `@`.
pub(crate) fn without_password(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let separator = if scheme.is_empty() { "" } else { "://" };
    match rest.split_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}{separator}{user}@{host}")
        }
        None => text.to_owned(),
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Variable(variable) => write!(f, "{variable}={}", self.address),
            Source::Context(name) => write!(f, "{}, docker's context {name}", self.address),
            Source::User | Source::Usual => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |host: &str, port| {
            Ok(Address::Port {
                host: host.to_owned(),
                port,
                tls: None,
            })
        };
        let unix = |path: &str| Ok(Address::Unix(path.into()));
        for (text, address) in [
            ("unix:///a/b.sock", unix("/a/b.sock")),
            ("unix://", unix("/var/run/docker.sock")),
            (" ", unix("/var/run/docker.sock")),
            ("tcp://127.0.0.1:2375", tcp("127.0.0.1", 2375)),
            ("tcp://localhost:9/", tcp("localhost", 9)),
            ("tcp://example.org", tcp("example.org", 2375)),
            ("tcp://", tcp("127.0.0.1", 2375)),
            ("127.0.0.1:9", tcp("127.0.0.1", 9)),
            (":9", tcp("127.0.0.1", 9)),
            ("tcp://[::1]:1", tcp("[::1]", 1)),
            ("tcp://[::1]", tcp("[::1]", 2375)),
        ] {
            assert_eq!(parse(text, None), address, "{text}");
        }
        for bad in [
            "unix://relative",
            "tcp://127.0.0.1:port",
            "tcp://127.0.0.1:9/path",
            "tcp://me@there:9",
            "tcp://::1:9",
            "npipe:////./pipe/x",
            "https://127.0.0.1:2376",
            "fd://",
            "/path",
            "ssh://me:secret@there",
        ] {
            assert!(parse(bad, None).is_err(), "{bad}");
        }
        let tls = Tls {
            directory: "/c".into(),
            is_verified: true,
        };
        let at = |text| parse(text, Some(tls.clone())).unwrap();
        assert_eq!(at("unix:///a"), unix("/a").unwrap(), "TLS is for ports");
        let encrypted = at("tcp://example.org");
        assert_eq!(encrypted.to_string(), "tcp://example.org:2376");
        assert_eq!(encrypted.warning(), None);
        let warning = |text| parse(text, None).unwrap().warning();
        assert!(
            warning("tcp://example.org")
                .unwrap()
                .contains("not encrypted")
        );
        assert_eq!(warning("tcp://127.0.0.1"), None);
        assert_eq!(warning("tcp://[::1]"), None);
    }

    #[test]
    fn passwords_are_not_shown() {
        for (text, shown) in [
            ("ssh://me:secret@there/path", "ssh://me@there/path"),
            ("tcp://me@there:1", "tcp://me@there:1"),
            ("me:secret@there", "me@there"),
            ("unix:///a", "unix:///a"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }

    #[test]
    fn places() {
        let env = |name: &str| match name {
            "DOCKER_HOST" => Some("unix:///d".into()),
            "CONTAINER_HOST" => Some("".into()),
            "XDG_RUNTIME_DIR" => Some("/run/user/7".into()),
            _ => None,
        };
        let named = of_variable(env, "DOCKER_HOST").unwrap().unwrap();
        assert_eq!(named.to_string(), "DOCKER_HOST=/d");
        assert_eq!(of_variable(env, "CONTAINER_HOST").unwrap(), None);
        let sockets = usual(env);
        let sockets: Vec<_> = sockets.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            sockets,
            [
                "/var/run/docker.sock",
                "/run/user/7/docker.sock",
                "/run/user/7/podman/podman.sock",
                "/run/podman/podman.sock",
            ]
        );
    }
}
