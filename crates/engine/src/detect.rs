//! Which engine runs.

use std::env;
use std::io;

use crate::address::{Address, Candidate, candidates};
use crate::api::{Api, Store};
use crate::containerd::Containerd;
use crate::http::Client;
use crate::{Error, Kind, Tried, docker};

/// The engine that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The first that is found.
    Any,
    /// Docker.
    Docker,
    /// podman.
    Podman,
    /// containerd by itself.
    Containerd,
}

/// See [`crate::Engine::find`].
pub(crate) fn find(choice: Choice) -> Result<Kind, Error> {
    let wanted = name(choice);
    let mut tried = Vec::new();
    let places = match choice {
        Choice::Containerd => Vec::new(),
        Choice::Any | Choice::Docker | Choice::Podman => candidates(|name| env::var_os(name))?,
    };
    for candidate in places {
        let why = match open(&candidate.address) {
            Ok((engine, found)) => {
                if choice == Choice::Any || choice == found {
                    return Ok(Kind::Api(engine));
                }
                format!("is {}", name(found))
            }
            Err(why) => why,
        };
        let place = candidate.to_string();
        tried.push(Tried { place, why });
        // Who names an engine does not mean another one.
        if is_binding(&candidate, choice) {
            return Err(Error::NoEngine { wanted, tried });
        }
    }
    if matches!(choice, Choice::Any | Choice::Containerd) {
        match Containerd::find() {
            Ok(containerd) => return Ok(Kind::Containerd(containerd)),
            Err(why) => tried.push(why),
        }
    }
    Err(Error::NoEngine { wanted, tried })
}

fn is_binding(candidate: &Candidate, choice: Choice) -> bool {
    match choice {
        Choice::Any => candidate.variable.is_some(),
        Choice::Docker => candidate.variable == Some("DOCKER_HOST"),
        Choice::Podman => candidate.variable == Some("CONTAINER_HOST"),
        Choice::Containerd => false,
    }
}

fn name(choice: Choice) -> &'static str {
    match choice {
        Choice::Any => "container engine",
        Choice::Docker => "docker",
        Choice::Podman => "podman",
        Choice::Containerd => "containerd",
    }
}

/// Connects, and asks what it is; an error is a few words.
fn open(address: &Address) -> Result<(Api, Choice), String> {
    let mut client = Client::new(address);
    let is_podman = client.is_podman().map_err(|error| explain(&error))?;
    let (name, choice, store) = if is_podman {
        ("podman", Choice::Podman, Store::Podman)
    } else {
        let info = client
            .get("cannot ask for its store", "/info", &[])
            .map_err(|error| error.to_string())?
            .unwrap_or_default();
        let store = if docker::has_containerd_store(&info) {
            Store::Containerd
        } else {
            Store::Classic
        };
        ("docker", Choice::Docker, store)
    };
    client.engine = format!("{name} at {address}");
    Ok((Api { client, store }, choice))
}

/// Why no engine answers at a place, and what to do where that can be said.
fn explain(error: &ureq::Error) -> String {
    let ureq::Error::Io(error) = error else {
        return error.to_string();
    };
    match error.kind() {
        io::ErrorKind::NotFound => "not there".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied: be a member of the socket's group (`ls -l` shows it, \
             `sudo usermod -aG GROUP \"$USER\"` adds you), or use sudo"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_use_a_socket_is_told_what_to_do() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = explain(&ureq::Error::Io(denied));
        assert!(text.contains("group") && text.contains("sudo"), "{text}");
    }

    #[test]
    fn an_engine_that_is_named_is_the_only_one() {
        let candidate = |variable| Candidate {
            address: Address::Unix("/a".into()),
            variable,
        };
        let docker = candidate(Some("DOCKER_HOST"));
        assert!(is_binding(&docker, Choice::Any) && is_binding(&docker, Choice::Docker));
        assert!(!is_binding(&docker, Choice::Podman));
        assert!(!is_binding(&candidate(None), Choice::Any));
    }
}
