//! Where engines listen.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use net::SocketAddress;

use crate::error::Error;

/// A place to look for an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The place.
    pub address: SocketAddress,
    /// The environment variable that names it; `None` for the usual places.
    pub variable: Option<&'static str>,
}

/// The places that the environment names.
///
/// # Errors
///
/// A variable contains an address that is not supported.
pub fn named(env: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    for variable in ["DOCKER_HOST", "CONTAINER_HOST"] {
        if let Some(text) = env(variable).filter(|text| !text.is_empty()) {
            let text = text.to_string_lossy().into_owned();
            let address = parse(&text).map_err(|why| Error::Address {
                variable,
                text,
                why,
            })?;
            candidates.push(Candidate {
                address,
                variable: Some(variable),
            });
        }
    }
    Ok(candidates)
}

/// The sockets that Docker and podman usually have, root's and the user's.
pub fn usual(env: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let runtime = env("XDG_RUNTIME_DIR").map(PathBuf::from);
    let of_user = |name: &str| Some(runtime.as_ref()?.join(name));
    let sockets = [
        Some(PathBuf::from("/var/run/docker.sock")),
        of_user("docker.sock"),
        of_user("podman/podman.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ];
    sockets.into_iter().flatten().collect()
}

/// Reads `unix:///path` and `tcp://127.0.0.1:2375`. Other machines are refused: plain HTTP would let
/// everybody on the way control the engine.
fn parse(text: &str) -> Result<SocketAddress, &'static str> {
    if let Some(path) = text.strip_prefix("unix://") {
        if !path.starts_with('/') {
            return Err("a socket's path starts with /");
        }
        return Ok(SocketAddress::Unix(path.into()));
    }
    let Some(host) = text
        .strip_prefix("tcp://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return Err("unix:///path/of/socket or tcp://127.0.0.1:PORT was expected");
    };
    let host = host.trim_end_matches('/');
    let (name, port) = host.rsplit_once(':').ok_or("it has no port")?;
    let port = port.parse().map_err(|_| "its port is not a number")?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let ip = if name == "localhost" {
        IpAddr::from([127, 0, 0, 1])
    } else {
        name.parse()
            .map_err(|_| "only engines on this machine are supported, as tcp://127.0.0.1:PORT")?
    };
    if !ip.is_loopback() {
        return Err(
            "only engines on this machine are supported; `ssh -L` forwards another machine's engine to this one",
        );
    }
    Ok(SocketAddress::Tcp(SocketAddr::new(ip, port)))
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variable {
            Some(variable) => write!(f, "{variable}={}", self.address),
            None => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |text: &str| Ok(SocketAddress::Tcp(text.parse().unwrap()));
        assert_eq!(
            parse("unix:///a/b.sock"),
            Ok(SocketAddress::Unix("/a/b.sock".into()))
        );
        assert_eq!(parse("tcp://127.0.0.1:2375"), tcp("127.0.0.1:2375"));
        assert_eq!(parse("tcp://localhost:2375/"), tcp("127.0.0.1:2375"));
        assert_eq!(parse("tcp://[::1]:1"), tcp("[::1]:1"));
        for bad in [
            "unix://relative",
            "tcp://192.0.2.1:2375",
            "tcp://example.org:2375",
            "tcp://127.0.0.1",
            "ssh://me@there",
            "/path",
            "",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
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
        let texts: Vec<String> = named(env)
            .unwrap()
            .iter()
            .map(Candidate::to_string)
            .collect();
        assert_eq!(texts, ["DOCKER_HOST=/d"]);
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
