//! Which engine runs.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::{self, Address, Candidate, Source};
use crate::behind_ssh;
use crate::choice::Choice;
use crate::containerd::Containerd;
use crate::docker_context::Configuration;
use crate::engine::{Engine, Kind};
use crate::error::{Error, Tried};
use crate::identify::{NoAnswer, identify};
use crate::ssh_address::SshAddress;
use crate::timeouts::Timeouts;

/// What engines are found by.
pub struct Surroundings<'a> {
    /// Where variables are looked up.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// Where an engine is looked for that no variable names.
    pub usual: Vec<PathBuf>,
    /// containerd's client: a name in `PATH`, or a path.
    pub ctr: OsString,
    /// `ssh`, likewise.
    pub ssh: OsString,
    /// The longest waits, in a search and with the engine that it finds.
    pub timeouts: Timeouts,
}

impl Surroundings<'_> {
    /// Those of this process.
    pub fn of_process() -> Self {
        let environment = &|name: &str| env::var_os(name);
        Self {
            environment,
            usual: address::usual(environment),
            ctr: "ctr".into(),
            ssh: "ssh".into(),
            timeouts: Timeouts::default(),
        }
    }

    /// Looks for an engine: the one that `DOCKER_HOST`, `DOCKER_CONTEXT`, `CONTAINER_HOST`,
    /// `CONTAINERD_ADDRESS` or docker's current context names, in this order; else at the sockets that
    /// Docker and podman usually have, root's and the user's, then containerd. One that does not answer
    /// within a second is passed over, unless it was named or there is no other.
    ///
    /// # Errors
    ///
    /// None answers, or the one that is named does not.
    pub fn find(&self, choice: Choice) -> Result<Engine, Error> {
        let search = Search {
            choice,
            surroundings: self,
        };
        // If an engine was named, no other one is tried.
        let (named, warning) = search.named()?;
        let mut engine = match named {
            Some(Named::Api(candidate)) => search.open_named(&candidate),
            Some(Named::Containerd) => search
                .open_containerd(self.timeouts.named)
                .map_err(|why| search.failed(vec![why])),
            None => search.first(),
        }?;
        engine.warning = warning.or(engine.warning);
        Ok(engine)
    }

    /// Docker or podman at an address in the form of `DOCKER_HOST`.
    ///
    /// # Errors
    ///
    /// It is not supported, or nobody answers there.
    pub(crate) fn at_address(&self, text: &str) -> Result<Engine, Error> {
        let candidate = address::of_text(self.environment, text)?;
        self.open_any(&candidate)
    }

    /// The engine of one of docker's contexts.
    ///
    /// # Errors
    ///
    /// It does not exist or is not supported, or nobody answers there.
    pub(crate) fn of_context(&self, name: &str) -> Result<Engine, Error> {
        let docker = Configuration::new(self.environment);
        self.open_any(&address::of_context(&docker, name, "--to")?)
    }

    /// The engine behind an address of ssh.
    ///
    /// # Errors
    ///
    /// `ssh` does not get there, or none answers.
    pub(crate) fn behind_ssh(&self, address: &SshAddress) -> Result<Engine, Error> {
        self.open_behind_ssh(address, address.choice)
    }

    fn open_behind_ssh(&self, address: &SshAddress, choice: Choice) -> Result<Engine, Error> {
        let namespace = (self.environment)("CONTAINERD_NAMESPACE");
        let namespace = namespace.and_then(|name| name.into_string().ok());
        let search = behind_ssh::Search {
            ssh: &self.ssh,
            address,
            choice,
            namespace: namespace.filter(|name| !name.is_empty()),
            timeouts: self.timeouts,
        };
        search.open()
    }

    /// The containerd that is behind a command, which stands before the arguments of `ctr`.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub(crate) fn behind(&self, command: &[String]) -> Result<Engine, Error> {
        let containerd = Containerd::behind(command, self.timeouts)?;
        Ok(Engine::new(Kind::Containerd(containerd)))
    }

    /// Docker where these variables are set.
    ///
    /// # Errors
    ///
    /// The one that they name does not answer.
    pub(crate) fn named_by(&self, variables: &BTreeMap<String, OsString>) -> Result<Engine, Error> {
        let environment = |name: &str| {
            let variable = variables.get(name).cloned();
            variable.or_else(|| (self.environment)(name))
        };
        let surroundings = Surroundings {
            environment: &environment,
            usual: Vec::new(),
            ctr: self.ctr.clone(),
            ssh: self.ssh.clone(),
            timeouts: self.timeouts,
        };
        surroundings.find(Choice::Docker)
    }

    fn open_any(&self, candidate: &Candidate) -> Result<Engine, Error> {
        let search = Search {
            choice: Choice::Any,
            surroundings: self,
        };
        search.open_named(candidate)
    }
}

/// A search for an engine of some kind.
struct Search<'a> {
    choice: Choice,
    surroundings: &'a Surroundings<'a>,
}

impl Search<'_> {
    /// The engine that is named, and no other.
    fn open_named(&self, candidate: &Candidate) -> Result<Engine, Error> {
        if let Address::Ssh(address) = &candidate.address {
            let choice = candidate.choice_behind(address);
            let engine = self.surroundings.open_behind_ssh(address, choice)?;
            return Ok(named_by(&candidate.source, engine));
        }
        self.open(candidate, self.surroundings.timeouts.named)
            .map_err(|why| self.failed(vec![at(&why, candidate)]))
    }

    /// The engine that is named, in docker's own order of precedence, and a warning. The environment
    /// comes before docker's configuration, which is about docker alone.
    fn named(&self) -> Result<(Option<Named>, Option<String>), Error> {
        let variable = |name| address::of_variable(self.surroundings.environment, name);
        let is_set =
            |name| (self.surroundings.environment)(name).is_some_and(|text| !text.is_empty());
        let may_be = |engine| self.choice == Choice::Any || self.choice == engine;
        let docker = Configuration::new(self.surroundings.environment);
        if may_be(Choice::Docker) {
            if let Some(candidate) = variable("DOCKER_HOST")? {
                return Ok((Some(Named::Api(candidate)), None));
            }
            let name =
                (self.surroundings.environment)("DOCKER_CONTEXT").filter(|name| !name.is_empty());
            if let Some(name) = name {
                let name = name.to_string_lossy();
                let candidate = address::of_context(&docker, &name, "DOCKER_CONTEXT")?;
                return Ok((Some(Named::Api(candidate)), None));
            }
        }
        if may_be(Choice::Podman)
            && let Some(candidate) = variable("CONTAINER_HOST")?
        {
            return Ok((Some(Named::Api(candidate)), None));
        }
        if self.choice == Choice::Containerd
            || self.choice == Choice::Any && is_set("CONTAINERD_ADDRESS")
        {
            return Ok((Some(Named::Containerd), None));
        }
        if may_be(Choice::Docker) {
            let (name, warning) = docker.current();
            let candidate = name
                .map(|name| address::of_context(&docker, &name, "docker's current context"))
                .transpose()?;
            return Ok((candidate.map(Named::Api), warning));
        }
        Ok((None, None))
    }

    /// The first engine that answers where nobody named one.
    fn first(&self) -> Result<Engine, Error> {
        let mut tried = Vec::new();
        // Places where a program listens that has not answered yet, and their indexes in `tried`.
        let mut silent = Vec::new();
        for candidate in self.candidates() {
            match self.open(&candidate, self.surroundings.timeouts.search) {
                Ok(engine) => return Ok(engine),
                Err(why) => {
                    tried.push(at(&why, &candidate));
                    if matches!(why, NoAnswer::Silent(_)) {
                        silent.push((tried.len() - 1, candidate));
                    }
                }
            }
        }
        if self.choice == Choice::Any {
            match self.open_containerd(self.surroundings.timeouts.search) {
                Ok(engine) => return Ok(engine),
                Err(why) => tried.push(why),
            }
        }
        // No other engine answers; these may still be starting.
        for (index, candidate) in silent {
            match self.open(&candidate, self.surroundings.timeouts.named) {
                Ok(engine) => return Ok(engine),
                Err(why) => tried[index] = at(&why, &candidate),
            }
        }
        Err(self.failed(tried))
    }

    /// Where Docker and podman may be. The other one's variable may well name the one that is wanted:
    /// each has a socket that speaks as the other.
    fn candidates(&self) -> Vec<Candidate> {
        let other = match self.choice {
            Choice::Docker => Some("CONTAINER_HOST"),
            Choice::Podman => Some("DOCKER_HOST"),
            Choice::Any | Choice::Containerd => None,
        };
        let other = other.map(|name| address::of_variable(self.surroundings.environment, name));
        let other = other.and_then(|candidate| candidate.ok().flatten());
        let other = other.filter(|candidate| !matches!(candidate.address, Address::Ssh(_)));
        let usual = self.surroundings.usual.iter().map(|path| Candidate {
            address: Address::Unix(path.clone()),
            source: Source::Usual,
        });
        other.into_iter().chain(usual).collect()
    }

    fn open_containerd(&self, within: Duration) -> Result<Engine, Tried> {
        let found = Containerd::find(
            self.surroundings.environment,
            &self.surroundings.ctr,
            within,
            self.surroundings.timeouts,
        );
        found.map(|containerd| Engine::new(Kind::Containerd(containerd)))
    }

    fn failed(&self, tried: Vec<Tried>) -> Error {
        Error::NoEngine {
            wanted: self.choice.name(),
            tried,
        }
    }

    /// Connects, and asks what it is.
    fn open(&self, candidate: &Candidate, within: Duration) -> Result<Engine, NoAnswer> {
        let endpoint = candidate.address.endpoint(self.surroundings.environment);
        let endpoint = endpoint.map_err(|error| NoAnswer::Other(error.to_string()))?;
        let endpoint = endpoint.ok_or_else(|| NoAnswer::Other("is behind ssh".to_owned()))?;
        let (found, api) = identify(&endpoint, within, self.surroundings.timeouts)?;
        if self.choice != Choice::Any && self.choice != found {
            return Err(NoAnswer::Other(format!("is {}", found.name())));
        }
        let mut engine = Engine::new(Kind::Api(api));
        engine.warning = candidate.address.warning();
        Ok(named_by(&candidate.source, engine))
    }
}

/// An engine that is the only one to be used.
enum Named {
    /// The one that listens there.
    Api(Candidate),
    /// containerd.
    Containerd,
}

fn at(why: &NoAnswer, candidate: &Candidate) -> Tried {
    Tried {
        place: candidate.to_string(),
        why: why.to_string(),
    }
}

/// The engine, whose name says if it is that of a context.
fn named_by(source: &Source, mut engine: Engine) -> Engine {
    if let (Source::Context(context), Kind::Api(api)) = (source, &mut engine.kind) {
        api.client.engine += &format!(", context {context}");
    }
    engine
}
