//! Which engine runs.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use net::SocketAddress;

use crate::address::{self, Candidate};
use crate::api::{Api, Store};
use crate::client::Client;
use crate::containerd::Containerd;
use crate::docker;
use crate::engine::{Engine, Kind};
use crate::error::{Error, Tried};
use crate::timeouts::Timeouts;

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

/// A search for an engine: where `DOCKER_HOST` and `CONTAINER_HOST` say, then at the usual sockets,
/// then for containerd.
pub struct Search<'a> {
    /// What is wanted.
    pub choice: Choice,
    /// Where variables are looked up.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// Where an engine is looked for that no variable names.
    pub usual: Vec<PathBuf>,
    /// containerd's client: a name in `PATH`, or a path.
    pub ctr: OsString,
    /// The longest waits, in this search and with the engine that it finds.
    pub timeouts: Timeouts,
}

impl Search<'_> {
    /// A search in this process's environment.
    pub fn new(choice: Choice) -> Self {
        let environment = &|name: &str| env::var_os(name);
        Self {
            choice,
            environment,
            usual: address::usual(environment),
            ctr: "ctr".into(),
            timeouts: Timeouts::default(),
        }
    }

    /// Looks for the engine.
    ///
    /// # Errors
    ///
    /// None answers, or the one that the environment names does not.
    pub fn run(&self) -> Result<Engine, Error> {
        let mut tried = Vec::new();
        // Places where a program listens that has not answered yet, and their indexes in `tried`.
        let mut silent = Vec::new();
        for candidate in self.candidates()? {
            // If an engine was named, no other one is tried.
            let is_binding = is_binding(&candidate, self.choice);
            let within = if is_binding {
                self.timeouts.named
            } else {
                self.timeouts.search
            };
            match self.open(&candidate.address, within) {
                Ok(engine) => return Ok(engine),
                Err(why) => {
                    if matches!(why, NoAnswer::Silent(_)) {
                        silent.push((tried.len(), candidate.address.clone()));
                    }
                    let place = candidate.to_string();
                    let why = why.to_string();
                    tried.push(Tried { place, why });
                }
            }
            if is_binding {
                return Err(self.failed(tried));
            }
        }
        if matches!(self.choice, Choice::Any | Choice::Containerd) {
            let within = match self.choice {
                Choice::Containerd => self.timeouts.named,
                _ => self.timeouts.search,
            };
            match Containerd::find(self.environment, &self.ctr, within, self.timeouts) {
                Ok(containerd) => return Ok(Engine(Kind::Containerd(containerd))),
                Err(why) => tried.push(why),
            }
        }
        // No other engine answers; these may still be starting.
        for (index, address) in silent {
            match self.open(&address, self.timeouts.named) {
                Ok(engine) => return Ok(engine),
                Err(why) => tried[index].why = why.to_string(),
            }
        }
        Err(self.failed(tried))
    }

    fn candidates(&self) -> Result<Vec<Candidate>, Error> {
        if self.choice == Choice::Containerd {
            return Ok(Vec::new());
        }
        let mut candidates = address::named(self.environment)?;
        candidates.extend(self.usual.iter().map(|path| Candidate {
            address: SocketAddress::Unix(path.clone()),
            variable: None,
        }));
        Ok(candidates)
    }

    fn failed(&self, tried: Vec<Tried>) -> Error {
        Error::NoEngine {
            wanted: name(self.choice),
            tried,
        }
    }

    /// Connects, and asks what it is.
    fn open(&self, address: &SocketAddress, within: Duration) -> Result<Engine, NoAnswer> {
        let mut client = Client::new(address, self.timeouts);
        let is_podman = client.is_podman(within).map_err(|error| match error {
            ureq::Error::Timeout(_) => NoAnswer::Silent(within),
            error => NoAnswer::Other(explain(&error)),
        })?;
        let found = if is_podman {
            Choice::Podman
        } else {
            Choice::Docker
        };
        let other = |found: Choice| self.choice != Choice::Any && self.choice != found;
        if other(found) {
            return Err(NoAnswer::Other(format!("is {}", name(found))));
        }
        client.engine = format!("{} at {address}", name(found));
        let store = if is_podman {
            Store::Podman
        } else {
            let info = client
                .get("cannot ask for its store", "/info", &[])
                .map_err(|error| NoAnswer::Other(error.to_string()))?
                .unwrap_or_default();
            if docker::has_containerd_store(&info) {
                Store::Containerd
            } else {
                Store::Classic
            }
        };
        Ok(Engine(Kind::Api(Api { client, store })))
    }
}

impl Engine {
    /// Looks for an engine: where `DOCKER_HOST` and `CONTAINER_HOST` say, then at the sockets that
    /// Docker and podman usually have, root's and the user's, then for containerd. One that does
    /// not answer within a second is passed over, unless it was named or there is no other.
    ///
    /// # Errors
    ///
    /// None answers, or the one that the environment names does not.
    pub fn find(choice: Choice) -> Result<Self, Error> {
        Search::new(choice).run()
    }
}

/// Why there is no engine at a place, in a few words.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("a program listens there, but does not answer within {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    Other(String),
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
            address: SocketAddress::Unix("/a".into()),
            variable,
        };
        let docker = candidate(Some("DOCKER_HOST"));
        assert!(is_binding(&docker, Choice::Any) && is_binding(&docker, Choice::Docker));
        assert!(!is_binding(&docker, Choice::Podman));
        assert!(!is_binding(&candidate(None), Choice::Any));
    }
}
