//! Where engines listen.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use net::SocketAddress;

use crate::docker_context::{Configuration, DEFAULT};
use crate::error::Error;

/// Docker's socket.
const DOCKER: &str = "/var/run/docker.sock";

/// Docker's port where an address has none.
const PORT: u16 = 2375;

/// A place to look for an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The place.
    pub address: SocketAddress,
    /// Who names it.
    pub source: Source,
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
    let text = text.to_string_lossy().into_owned();
    let is_set = |name| env(name).is_some_and(|text| !text.is_empty());
    let is_docker = variable == "DOCKER_HOST";
    let is_tls = is_docker && (is_set("DOCKER_TLS_VERIFY") || is_set("DOCKER_TLS"));
    let address = parse(&text, is_tls).map_err(|why| Error::Address {
        variable,
        advice: if is_docker {
            why.advice("docker")
        } else {
            why.advice("podman --remote")
        },
        why: why.text,
        text: without_password(&text),
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
    let is_set = |name| env(name).is_some_and(|text| !text.is_empty());
    let is_tls = is_set("DOCKER_TLS_VERIFY") || is_set("DOCKER_TLS");
    let address = parse(text, is_tls).map_err(|why| Error::Address {
        variable: "--to",
        advice: why.advice("docker"),
        why: why.text,
        text: without_password(text),
    })?;
    let source = Source::User;
    Ok(Candidate { address, source })
}

/// The place of a docker context, which `named_by` names: a variable, or docker's configuration.
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
        let address = SocketAddress::Unix(DOCKER.into());
        return Ok(Candidate { address, source });
    }
    let endpoint = configuration.endpoint(name).map_err(error)?;
    let address = parse(&endpoint.host, endpoint.is_tls).map_err(|why| {
        let advice = why.advice(&format!("docker --context {name}"));
        error(format!(
            "it is at {}: {}{advice}",
            without_password(&endpoint.host),
            why.text
        ))
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

/// Why an address is not supported.
#[derive(Debug, PartialEq, Eq)]
struct Unsupported {
    text: &'static str,
    /// Whether it may well be an engine's, which its own client speaks to.
    is_elsewhere: bool,
}

impl Unsupported {
    /// What to do: `client` is the engine's client for it.
    fn advice(&self, client: &str) -> String {
        if self.is_elsewhere {
            format!("; send the image with `stream-layered stream … | {client} load`")
        } else {
            String::new()
        }
    }
}

/// Reads `unix:///path` and `tcp://127.0.0.1:2375`, and, as docker does, what is left out of them.
/// Other machines are refused: plain HTTP would let everybody on the way control the engine.
fn parse(text: &str, is_tls: bool) -> Result<SocketAddress, Unsupported> {
    let wrong = |text| Unsupported {
        text,
        is_elsewhere: false,
    };
    let elsewhere = |text| Unsupported {
        text,
        is_elsewhere: true,
    };
    let text = text.trim();
    if text.is_empty() || text == "unix://" {
        return Ok(SocketAddress::Unix(DOCKER.into()));
    }
    if let Some(path) = text.strip_prefix("unix://") {
        if !path.starts_with('/') {
            return Err(wrong("a socket's path starts with /"));
        }
        return Ok(SocketAddress::Unix(path.into()));
    }
    let host = match text.split_once("://") {
        Some(("tcp" | "http", host)) => host,
        Some(("ssh", _)) => return Err(elsewhere("engines behind ssh are not supported")),
        Some(("https", _)) => return Err(elsewhere("engines behind TLS are not supported")),
        None if !text.contains('/') => text,
        _ => {
            return Err(wrong(
                "unix:///path/of/socket or tcp://127.0.0.1:PORT was expected",
            ));
        }
    };
    if is_tls {
        return Err(elsewhere("engines behind TLS are not supported"));
    }
    let host = host.trim_end_matches('/');
    let (name, port) = match host.rsplit_once(':') {
        // An IPv6 address alone, in its brackets.
        Some((_, rest)) if rest.ends_with(']') => (host, PORT),
        Some((name, port)) => (
            name,
            port.parse()
                .map_err(|_| wrong("its port is not a number"))?,
        ),
        None => (host, PORT),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let ip = match name {
        "localhost" | "" => IpAddr::from([127, 0, 0, 1]),
        _ => name
            .parse()
            .map_err(|_| elsewhere("only engines on this machine are supported"))?,
    };
    if !ip.is_loopback() {
        return Err(elsewhere("only engines on this machine are supported"));
    }
    Ok(SocketAddress::Tcp(SocketAddr::new(ip, port)))
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
        let tcp = |text: &str| Ok(SocketAddress::Tcp(text.parse().unwrap()));
        let unix = |path: &str| Ok(SocketAddress::Unix(path.into()));
        for (text, address) in [
            ("unix:///a/b.sock", unix("/a/b.sock")),
            ("unix://", unix("/var/run/docker.sock")),
            (" ", unix("/var/run/docker.sock")),
            ("tcp://127.0.0.1:2375", tcp("127.0.0.1:2375")),
            ("tcp://localhost:2375/", tcp("127.0.0.1:2375")),
            ("tcp://localhost", tcp("127.0.0.1:2375")),
            ("tcp://", tcp("127.0.0.1:2375")),
            ("127.0.0.1:9", tcp("127.0.0.1:9")),
            (":9", tcp("127.0.0.1:9")),
            ("tcp://[::1]:1", tcp("[::1]:1")),
            ("tcp://[::1]", tcp("[::1]:2375")),
        ] {
            assert_eq!(parse(text, false), address, "{text}");
        }
        for bad in [
            "unix://relative",
            "tcp://127.0.0.1:port",
            "tcp://127.0.0.1:9/path",
            "npipe:////./pipe/x",
            "fd://",
            "/path",
        ] {
            assert!(!parse(bad, false).unwrap_err().is_elsewhere, "{bad}");
        }
        for elsewhere in [
            "tcp://192.0.2.1:2375",
            "tcp://example.org:2375",
            "https://127.0.0.1:2376",
            "ssh://me@there",
        ] {
            let error = parse(elsewhere, false).unwrap_err();
            assert!(error.is_elsewhere, "{elsewhere}");
        }
        assert!(
            parse("tcp://127.0.0.1:2376", true)
                .unwrap_err()
                .is_elsewhere
        );
        assert_eq!(parse("unix:///a", true), unix("/a"), "TLS is for ports");
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
