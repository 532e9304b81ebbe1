//! Where images are loaded into, as it is typed: `--to WHERE`.

use std::fmt;
use std::str::FromStr;

use crate::address::without_password;
use crate::choice::Choice;
use crate::cluster::{ClusterNode, Clusters, Minikube};
use crate::detect::Surroundings;
use crate::engine::Engine;
use crate::error::Error;
use crate::ssh_address::SshAddress;

/// Where images are loaded into: one engine, or the nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The engine that [`Surroundings::find`] finds: `docker`, `podman`, `containerd`.
    Engine(Choice),
    /// Docker or podman at an address in the form of `DOCKER_HOST`: `unix:///path`, `tcp://host:port`.
    Address(String),
    /// The engine of docker's context of this name: `context:NAME`.
    Context(String),
    /// An engine behind ssh: `ssh://host`, `ssh+containerd://host`.
    Ssh(SshAddress),
    /// The nodes of a cluster that kind made: `kind[:CLUSTER]`.
    Kind(Option<String>),
    /// The nodes of a cluster that k3d made: `k3d[:CLUSTER]`.
    K3d(Option<String>),
    /// The k3s of this machine: `k3s`.
    K3s,
    /// The nodes of a cluster that minikube made: `minikube[:PROFILE]`.
    Minikube(Option<String>),
    /// The containerd that is behind a command, which stands before the arguments of `ctr`: its words, at
    /// least one. `ctr:docker exec -i NODE ctr`.
    Ctr(Vec<String>),
}

/// An engine that images are loaded into, or why there is none.
pub struct Node {
    /// Its name among those of one run.
    pub name: String,
    /// The engine.
    pub engine: Result<Engine, Error>,
}

/// Why a text is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It has none of the forms.
    #[error(
        "use docker, podman, containerd, unix:///path, tcp://host:port, ssh://[user@]host[:port], context:NAME, \
         kind[:CLUSTER], k3d[:CLUSTER], k3s, minikube[:PROFILE] or ctr:COMMAND"
    )]
    Unknown,
    /// The name behind the colon is missing.
    #[error("a name follows after `{0}:`")]
    NoName(String),
    /// What stands behind `ctr:` are no words.
    #[error(
        "a command follows after `ctr:`, whose quotes are closed; `ctr`'s arguments are added to it"
    )]
    NoCommand,
    /// What stands behind `ssh://` is not a host.
    #[error("{0}; use ssh://[user@]host[:port][/path/of/socket]")]
    Ssh(&'static str),
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(address) = SshAddress::parse(text) {
            return address.map(Self::Ssh).map_err(DestinationError::Ssh);
        }
        if text.starts_with("unix://") || text.starts_with("tcp://") {
            return Ok(Self::Address(text.to_owned()));
        }
        if let Some(command) = text.strip_prefix("ctr:") {
            let words = shlex::split(command).filter(|words| !words.is_empty());
            return words.map(Self::Ctr).ok_or(DestinationError::NoCommand);
        }
        let (word, name) = match text.split_once(':') {
            Some((word, "")) => return Err(DestinationError::NoName(word.to_owned())),
            Some((word, name)) => (word, Some(name.to_owned())),
            None => (text, None),
        };
        Ok(match (word, name) {
            ("docker", None) => Self::Engine(Choice::Docker),
            ("podman", None) => Self::Engine(Choice::Podman),
            ("containerd", None) => Self::Engine(Choice::Containerd),
            ("context", Some(name)) => Self::Context(name),
            ("kind", name) => Self::Kind(name),
            ("k3d", name) => Self::K3d(name),
            ("k3s", None) => Self::K3s,
            ("minikube", name) => Self::Minikube(name),
            _ => return Err(DestinationError::Unknown),
        })
    }
}

/// As it was typed, but for passwords.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, word: &str, name: &Option<String>| match name {
            Some(name) => write!(f, "{word}:{name}"),
            None => f.write_str(word),
        };
        match self {
            Self::Engine(choice) => f.write_str(choice.name()),
            Self::Address(text) => f.write_str(&without_password(text)),
            Self::Context(name) => write!(f, "context:{name}"),
            Self::Ssh(address) => address.fmt(f),
            Self::Kind(name) => named(f, "kind", name),
            Self::K3d(name) => named(f, "k3d", name),
            Self::K3s => f.write_str("k3s"),
            Self::Minikube(name) => named(f, "minikube", name),
            Self::Ctr(words) => write!(f, "ctr:{}", words.join(" ")),
        }
    }
}

impl Destination {
    /// Finds the engines, at least one, and connects to them.
    ///
    /// # Errors
    ///
    /// It cannot be asked which engines there are, or there is none. An engine that does not answer is
    /// told as its [`Node::engine`] where there may be others.
    pub fn open(&self, surroundings: &Surroundings<'_>) -> Result<Vec<Node>, Error> {
        let clusters = Clusters {
            environment: surroundings.environment,
            timeouts: surroundings.timeouts,
        };
        let all = |nodes: Vec<ClusterNode>| {
            let nodes = nodes.into_iter().map(|node| Node {
                engine: surroundings.behind(&node.command),
                name: node.name,
            });
            nodes.collect()
        };
        let engine = match self {
            Self::Engine(choice) => surroundings.find(*choice),
            Self::Address(text) => surroundings.at_address(text),
            Self::Context(name) => surroundings.of_context(name),
            Self::Ssh(address) => surroundings.behind_ssh(address),
            Self::Ctr(command) => surroundings.behind(command),
            Self::Kind(name) => return Ok(all(clusters.kind(name.as_deref())?)),
            Self::K3d(name) => return Ok(all(clusters.k3d(name.as_deref())?)),
            Self::K3s => return Ok(all(vec![Clusters::k3s()])),
            Self::Minikube(name) => match clusters.minikube(name.as_deref())? {
                Minikube::Containerd(nodes) => return Ok(all(nodes)),
                Minikube::Docker(variables) => surroundings.named_by(&variables),
            },
        };
        Ok(vec![Node {
            name: self.to_string(),
            engine: Ok(engine?),
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_shown_as_they_are_typed() {
        let some = |name: &str| Some(name.to_owned());
        for (text, destination) in [
            ("docker", Destination::Engine(Choice::Docker)),
            ("podman", Destination::Engine(Choice::Podman)),
            ("containerd", Destination::Engine(Choice::Containerd)),
            ("unix:///a", Destination::Address("unix:///a".to_owned())),
            ("tcp://a:1", Destination::Address("tcp://a:1".to_owned())),
            ("context:a", Destination::Context("a".to_owned())),
            ("kind", Destination::Kind(None)),
            ("kind:a", Destination::Kind(some("a"))),
            ("k3d", Destination::K3d(None)),
            ("k3d:a", Destination::K3d(some("a"))),
            ("k3s", Destination::K3s),
            ("minikube", Destination::Minikube(None)),
            ("minikube:a", Destination::Minikube(some("a"))),
            (
                "ctr:docker exec -i a ctr",
                Destination::Ctr(
                    ["docker", "exec", "-i", "a", "ctr"]
                        .map(str::to_owned)
                        .to_vec(),
                ),
            ),
        ] {
            assert_eq!(text.parse(), Ok(destination.clone()), "{text}");
            assert_eq!(destination.to_string(), text);
        }
        for text in [
            "", "dokcer", "docker:a", "k3s:a", "context", "context:", "kind:", "ctr:", "ctr:'a",
            "a://b", "ssh:a", "ssh://",
        ] {
            let read: Result<Destination, _> = text.parse();
            assert!(read.is_err(), "{text}");
        }
    }
}
