//! Engines on other hosts, by `ssh`. Nothing is needed there but the engine's own client: Docker's and
//! podman's pass a connection on to their engine, containerd's `ctr` is run there.

use std::ffi::OsStr;
use std::sync::Arc;

use net::{Endpoint, Program, ProgramError};

use crate::choice::Choice;
use crate::engine::{Engine, Kind};
use crate::error::{Error, Tried};
use crate::identify::{NoAnswer, identify};
use crate::ssh::{Ssh, advice};
use crate::ssh_address::SshAddress;
use crate::timeouts::Timeouts;

/// What `ssh` ends with where it was not the command on the host that failed.
const SSH_FAILED: i32 = 255;

/// What shells end with where there is no such program.
const NO_PROGRAM: i32 = 127;

/// Connects to the engine behind an address, the first one that answers there: Docker, podman, containerd.
///
/// # Errors
///
/// `ssh` does not get there, or none answers.
pub(crate) fn open(ssh: &OsStr, address: &SshAddress, timeouts: Timeouts) -> Result<Engine, Error> {
    let ssh = Arc::new(Ssh::new(ssh, address)?);
    let socket = address.path.as_deref().map(|path| format!("unix://{path}"));
    let (docker, podman);
    let all = match &socket {
        Some(socket) => {
            docker = ["docker", "--host", socket, "system", "dial-stdio"];
            podman = ["podman", "--url", socket, "system", "dial-stdio"];
            [(Choice::Docker, &docker[..]), (Choice::Podman, &podman[..])]
        }
        None => [
            (Choice::Docker, &["docker", "system", "dial-stdio"][..]),
            (Choice::Podman, &["podman", "system", "dial-stdio"][..]),
        ],
    };
    let is_wanted = |choice| address.choice == Choice::Any || address.choice == choice;
    let mut tried = Vec::new();
    for (_, words) in all.iter().filter(|(choice, _)| is_wanted(*choice)) {
        let program = Program::new(ssh.command(words), address.to_string());
        let endpoint = Endpoint::Program(Arc::new(program));
        let why = match identify(&endpoint, timeouts.named, timeouts) {
            Ok((_, api)) => {
                let mut engine = Engine::new(Kind::Api(api));
                engine.ssh = Some(ssh);
                return Ok(engine);
            }
            Err(NoAnswer::Program(error)) if error.code.is_none_or(|code| code == SSH_FAILED) => {
                let advice = advice(&error.said, &ssh.shown(&[]));
                return Err(Error::Ssh {
                    command: ssh.shown(words),
                    said: error.said.trim_end_matches('.').to_owned(),
                    advice,
                });
            }
            Err(NoAnswer::Program(ProgramError {
                code: Some(NO_PROGRAM),
                ..
            })) => "is not there".to_owned(),
            Err(why) => why.to_string(),
        };
        tried.push(Tried {
            place: format!("`{}`", ssh.shown(words)),
            why,
        });
    }
    Err(Error::NoEngineBehindSsh {
        wanted: address.choice.name(),
        address: address.to_string(),
        tried,
    })
}
