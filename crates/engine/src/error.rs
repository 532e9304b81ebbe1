//! Why an image could not be loaded or saved.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why an image could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No engine answers.
    #[error(
        "no {wanted} answers ({}); start one, or name its socket in DOCKER_HOST, CONTAINER_HOST or CONTAINERD_ADDRESS",
        list(tried)
    )]
    NoEngine {
        /// What was looked for.
        wanted: &'static str,
        /// Where, and why it is not there.
        tried: Vec<Tried>,
    },
    /// No containerd answers behind a command.
    #[error(
        "no containerd answers: {0}; run that by hand: it must be a `ctr` that may use containerd, as root mostly may"
    )]
    NoCtr(Tried),
    /// It cannot be asked which nodes a cluster has.
    #[error("`{command}`, which tells the cluster's nodes, fails: {why}")]
    Listing {
        /// What was run.
        command: String,
        /// Its own words.
        why: String,
    },
    /// A cluster has no nodes.
    #[error("{cluster} has no nodes, says `{command}`; {advice}")]
    NoNodes {
        /// The cluster.
        cluster: String,
        /// What was run.
        command: String,
        /// What to do.
        advice: &'static str,
    },
    /// A cluster runs its containers by something else than containerd or Docker.
    #[error(
        "{cluster} runs its containers by {runtime}, not by containerd or docker; `minikube image load` takes whole archives"
    )]
    Runtime {
        /// The cluster.
        cluster: String,
        /// Its runtime.
        runtime: String,
    },
    /// An address is not supported.
    #[error("{variable}={text}: {why}")]
    Address {
        /// The environment's variable, or the option.
        variable: &'static str,
        /// Its value.
        text: String,
        /// What is wrong with it, and what to write.
        why: &'static str,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// There is no directory for the socket of `ssh`.
    #[error("cannot make a directory for the socket of ssh in XDG_RUNTIME_DIR, TMPDIR or /tmp")]
    SshSocket(#[source] io::Error),
    /// `ssh` does not get to the host.
    #[error("cannot connect: `{command}` says: {said}; {advice}")]
    Ssh {
        /// What was run.
        command: String,
        /// Its last words.
        said: String,
        /// What to do.
        advice: String,
    },
    /// There is no engine on the other side of ssh.
    #[error(
        "no {wanted} answers at {address} ({}); install or start one there, or log in as somebody who may use it",
        list(tried)
    )]
    NoEngineBehindSsh {
        /// What was looked for.
        wanted: &'static str,
        /// Where.
        address: String,
        /// What was run there, and why it does not help.
        tried: Vec<Tried>,
    },
    /// The context that docker would use cannot be used.
    #[error("docker's context {name} ({named_by}): {why}")]
    Context {
        /// Its name.
        name: String,
        /// Who names it: a variable, or docker's configuration.
        named_by: &'static str,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The engine cannot be reached, or the connection broke.
    #[error("{what}: {engine} cannot be reached")]
    Connection {
        /// What was to be done.
        what: String,
        /// The engine.
        engine: String,
        /// The connection's error.
        source: Box<ureq::Error>,
    },
    /// The engine does not answer, or stopped in the middle.
    #[error(
        "{what}: {engine} was silent for {within:?}; check whether it still works, or restart it"
    )]
    Silent {
        /// What was to be done.
        what: String,
        /// The engine.
        engine: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The system gives no thread.
    #[error(
        "cannot send the image: a limit of processes (`ulimit -u`, or a container's) is reached"
    )]
    Thread(#[source] std::io::Error),
    /// The engine refuses.
    #[error("{what}: {engine} says: {message}")]
    Refused {
        /// What was to be done.
        what: String,
        /// The engine.
        engine: String,
        /// The engine's own words.
        message: String,
    },
    /// The engine's own client, which is needed, cannot be run.
    #[error("{what}: cannot run {client}")]
    Client {
        /// What was to be done.
        what: String,
        /// The program.
        client: String,
        /// The system's error.
        source: io::Error,
    },
    /// The engine's answer is not what its API promises.
    #[error("{what}: {engine} gave an unexpected answer: {why}")]
    Answer {
        /// What was to be done.
        what: String,
        /// The engine.
        engine: String,
        /// What is wrong with it.
        why: String,
    },
    /// The name cannot be one of an image.
    #[error("{name} is not an image name: use NAME:TAG in lower case")]
    Name {
        /// The name.
        name: String,
    },
    /// The engine took the image, and does not have it.
    #[error("{engine} took all layers of the image {id}, but the image is incomplete")]
    NotWhole {
        /// The engine.
        engine: String,
        /// The image.
        id: String,
    },
    /// The engine does not have the image.
    #[error(
        "{engine} has no image {name}; pull or build it there, or name another engine in DOCKER_HOST"
    )]
    NoImage {
        /// The engine.
        engine: String,
        /// The image.
        name: String,
    },
    /// The engine has no API that images are saved by.
    #[error(
        "images are read from Docker and podman alone, not from {engine}; write FILE, after `ctr images export FILE {name}`"
    )]
    NoSave {
        /// The engine.
        engine: String,
        /// The image.
        name: String,
    },
    /// There is no room for a saved image.
    #[error(
        "cannot keep the saved image in {}; TMPDIR may name a directory with more room",
        directory.display()
    )]
    Spool {
        /// Where it was to be kept.
        directory: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The image cannot be made.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A pipe between two threads cannot be made.
    #[error("cannot start to send the image")]
    Pipe(#[source] io::Error),
}

/// A place where no engine answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The place.
    pub place: String,
    /// Why there is none.
    pub why: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

fn list(tried: &[Tried]) -> String {
    let texts: Vec<String> = tried.iter().map(Tried::to_string).collect();
    texts.join("; ")
}

/// Why nobody can be connected to at a place, and what to do where that can be said.
pub(crate) fn no_connection(error: &io::Error) -> String {
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
