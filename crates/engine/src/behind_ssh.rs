//! Engines on other hosts, by `ssh`. Nothing is needed there but the engine's own client: Docker's and
//! podman's pass a connection on to their engine, containerd's `ctr` is run there.

use std::ffi::OsStr;
use std::sync::Arc;

use net::{Endpoint, Program};

use crate::choice::Choice;
use crate::containerd::Containerd;
use crate::engine::{Engine, Kind};
use crate::error::{Error, Tried};
use crate::identify::{NoAnswer, identify};
use crate::ssh::{Ssh, advice};
use crate::ssh_address::SshAddress;
use crate::timeouts::Timeouts;

/// What `ssh` ends with where it was not the command on the host that failed.
const SSH_FAILED: i32 = 255;

/// Has Docker's and podman's clients pass a connection on.
const DIAL: [&str; 2] = ["system", "dial-stdio"];

/// What shells end with where there is no such program.
const NO_PROGRAM: i32 = 127;

/// How an engine is looked for on another host.
pub(crate) struct Search<'a> {
    /// `ssh`: a name in `PATH`, or a path.
    pub(crate) ssh: &'a OsStr,
    pub(crate) address: &'a SshAddress,
    pub(crate) choice: Choice,
    /// containerd's namespace, if it is not that of `ctr` there.
    pub(crate) namespace: Option<String>,
    pub(crate) timeouts: Timeouts,
}

impl Search<'_> {
    /// Connects to the first engine that answers there: Docker, podman, containerd.
    ///
    /// # Errors
    ///
    /// `ssh` does not get there, or none answers.
    pub(crate) fn open(&self) -> Result<Engine, Error> {
        let ssh = Arc::new(Ssh::new(self.ssh, self.address)?);
        let mut tried = Vec::new();
        for choice in [Choice::Docker, Choice::Podman, Choice::Containerd] {
            if self.choice != Choice::Any && self.choice != choice {
                continue;
            }
            let words = self.words(choice);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let found = match choice {
                Choice::Containerd => self.containerd(&ssh, &words, tried.is_empty())?,
                _ => self.api(&ssh, &words)?,
            };
            match found {
                Ok(kind) => {
                    let mut engine = Engine::new(kind);
                    engine.ssh = Some(ssh);
                    return Ok(engine);
                }
                Err(why) => tried.push(Tried {
                    place: format!("`{}`", ssh.shown(&words)),
                    why,
                }),
            }
        }
        Err(Error::NoEngineBehindSsh {
            wanted: self.choice.name(),
            address: self.address.to_string(),
            tried,
        })
    }

    /// What leads to an engine of some kind there.
    fn words(&self, choice: Choice) -> Vec<String> {
        let path = self.address.path.as_deref();
        let socket = path.map(|path| format!("unix://{path}"));
        let option = |name: &str, value: Option<&str>| {
            let pair = value.map(|value| [name.to_owned(), value.to_owned()]);
            pair.into_iter().flatten()
        };
        let (program, options, rest): (_, Vec<String>, &[&str]) = match choice {
            Choice::Containerd => (
                "ctr",
                option("--address", path)
                    .chain(option("--namespace", self.namespace.as_deref()))
                    .collect(),
                &[],
            ),
            Choice::Podman => (
                "podman",
                option("--url", socket.as_deref()).collect(),
                &DIAL,
            ),
            Choice::Docker | Choice::Any => (
                "docker",
                option("--host", socket.as_deref()).collect(),
                &DIAL,
            ),
        };
        let rest = rest.iter().map(|&word| word.to_owned());
        let all = [program.to_owned()].into_iter().chain(options);
        all.chain(rest).collect()
    }

    /// Docker or podman, whose client passes a connection on; or why there is none.
    fn api(&self, ssh: &Ssh, words: &[&str]) -> Result<Result<Kind, String>, Error> {
        let program = Program::new(ssh.command(words), self.address.to_string());
        let endpoint = Endpoint::Program(Arc::new(program));
        Ok(
            match identify(&endpoint, self.timeouts.named, self.timeouts) {
                Ok((_, api)) => Ok(Kind::Api(api)),
                Err(NoAnswer::Program(error)) => match error.code {
                    None | Some(SSH_FAILED) => return Err(failed(ssh, words, &error.said)),
                    Some(NO_PROGRAM) => Err("is not there".to_owned()),
                    Some(_) => Err(error.said),
                },
                Err(why) => Err(why.to_string()),
            },
        )
    }

    /// containerd, whose client is run; or why there is none. `is_first`: nothing was run there before.
    fn containerd(
        &self,
        ssh: &Ssh,
        words: &[&str],
        is_first: bool,
    ) -> Result<Result<Kind, String>, Error> {
        if is_first {
            ssh.connect().map_err(|said| failed(ssh, &[], &said))?;
        }
        let namespace = self.namespace.as_ref();
        let namespace = namespace.map(|name| format!(", namespace {name}"));
        let name = format!(
            "containerd at {}{}",
            self.address,
            namespace.unwrap_or_default()
        );
        let found = Containerd::behind_ssh(ssh.command(words), name, self.timeouts);
        Ok(found.map(Kind::Containerd).map_err(|tried| tried.why))
    }
}

/// The error where it is `ssh` itself that failed.
fn failed(ssh: &Ssh, words: &[&str], said: &str) -> Error {
    Error::Ssh {
        command: ssh.shown(words),
        said: said.trim_end_matches('.').to_owned(),
        advice: advice(said, &ssh.shown(&[])),
    }
}
