//! Where engines listen.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::Error;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A port of this machine's loopback.
    Tcp(SocketAddr),
}

/// A place to look for an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The place.
    pub address: Address,
    /// The environment's variable that names it; none for the usual places.
    pub variable: Option<&'static str>,
}

/// All places, those of the environment first.
///
/// # Errors
///
/// A variable holds an address that is not spoken.
pub fn candidates(env: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Candidate>, Error> {
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
    let runtime = env("XDG_RUNTIME_DIR").map(PathBuf::from);
    let of_user = |name: &str| Some(runtime.as_ref()?.join(name));
    let usual = [
        Some(PathBuf::from("/var/run/docker.sock")),
        of_user("docker.sock"),
        of_user("podman/podman.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ];
    candidates.extend(usual.into_iter().flatten().map(|path| Candidate {
        address: Address::Unix(path),
        variable: None,
    }));
    Ok(candidates)
}

/// Reads `unix:///path` and `tcp://127.0.0.1:2375`. Other machines are not for plain HTTP, which
/// would give everyone on the way the engine.
fn parse(text: &str) -> Result<Address, &'static str> {
    if let Some(path) = text.strip_prefix("unix://") {
        if !path.starts_with('/') {
            return Err("a socket's path starts with /");
        }
        return Ok(Address::Unix(path.into()));
    }
    let Some(host) = text
        .strip_prefix("tcp://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return Err("unix:///path/of/socket or tcp://127.0.0.1:PORT was expected");
    };
    let host = host.trim_end_matches('/');
    let (name, port) = host.rsplit_once(':').ok_or("it has no port")?;
    let port = port.parse().map_err(|_| "its port is no number")?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let ip = if name == "localhost" {
        IpAddr::from([127, 0, 0, 1])
    } else {
        name.parse()
            .map_err(|_| "only an engine on this machine is spoken to, as tcp://127.0.0.1:PORT")?
    };
    if !ip.is_loopback() {
        return Err(
            "only an engine on this machine is spoken to; `ssh -L` brings another one here",
        );
    }
    Ok(Address::Tcp(SocketAddr::new(ip, port)))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
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
        let tcp = |text: &str| Ok(Address::Tcp(text.parse().unwrap()));
        assert_eq!(
            parse("unix:///a/b.sock"),
            Ok(Address::Unix("/a/b.sock".into()))
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
    fn the_environment_comes_first() {
        let env = |name: &str| match name {
            "DOCKER_HOST" => Some("unix:///d".into()),
            "XDG_RUNTIME_DIR" => Some("/run/user/7".into()),
            _ => None,
        };
        let texts: Vec<String> = candidates(env)
            .unwrap()
            .iter()
            .map(Candidate::to_string)
            .collect();
        assert_eq!(
            texts,
            [
                "DOCKER_HOST=/d",
                "/var/run/docker.sock",
                "/run/user/7/docker.sock",
                "/run/user/7/podman/podman.sock",
                "/run/podman/podman.sock",
            ]
        );
    }
}
