//! Connections to other hosts by the user's own `ssh`, with their configuration, agent and jump hosts.
//!
//! All commands of a run share one connection to a host: that of the user's own `ControlMaster` if one runs
//! already, else one of this run's own, whose socket is in a directory that nobody else may enter. `ssh`
//! ends that by itself, soon after the last command, should this process be killed.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use tempfile::TempDir;

use crate::error::Error;
use crate::ssh_address::SshAddress;

/// Options of each call. Nobody is there to be asked for a password; what the user has configured for
/// logins to work there is not meant here.
const OPTIONS: [&str; 9] = [
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=15",
    "-o",
    "RemoteCommand=none",
    "-o",
    "ClearAllForwardings=yes",
];

/// Options of a connection of this run's own; the number is that of seconds.
const OWN_OPTIONS: [&str; 4] = ["-o", "ControlMaster=auto", "-o", "ControlPersist=10"];

/// Longest path of a socket that leaves `ssh` room for the 17 characters that it adds to it at first; systems
/// have 104 or 108 bytes.
const LONGEST_SOCKET: usize = 80;

/// A way to run commands on a host.
#[derive(Debug)]
pub(crate) struct Ssh {
    /// The program.
    program: OsString,
    /// Port and host.
    host: Vec<String>,
    /// The directory with the socket of this run's own connection.
    own: Option<TempDir>,
}

impl Ssh {
    /// Prepares to connect; the first command does so.
    ///
    /// # Errors
    ///
    /// There is no directory for the connection's socket.
    pub(crate) fn new(program: &OsStr, address: &SshAddress) -> Result<Self, Error> {
        let mut host: Vec<String> = Vec::new();
        if let Some(port) = address.port {
            host.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = &address.user {
            host.extend(["-l".to_owned(), user.clone()]);
        }
        host.extend(["--".to_owned(), address.host.clone()]);
        let mut ssh = Self {
            program: program.to_owned(),
            host,
            own: None,
        };
        if !ssh.control("check") {
            ssh.own = Some(private_directory().map_err(Error::SshSocket)?);
        }
        Ok(ssh)
    }

    /// The words that run a command on the host. Its words are those that the program there gets,
    /// whatever characters they have.
    pub(crate) fn command(&self, words: &[&str]) -> Vec<OsString> {
        let options = OPTIONS.iter().map(OsString::from);
        let own = self.own_options();
        let host = self.host.iter().map(OsString::from);
        let mut all: Vec<OsString> = vec![self.program.clone()];
        all.extend(options.chain(own).chain(host));
        all.push(remote(words).into());
        all
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// What `ssh` says last, where it does not get there.
    pub(crate) fn connect(&self) -> Result<(), String> {
        let command = self.command(&["true"]);
        let output = Command::new(&self.program)
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .output()
            .map_err(|error| format!("cannot run {}: {error}", self.program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        Err(last.unwrap_or("nothing").to_owned())
    }

    /// A command on the host, without what the user need not type.
    pub(crate) fn shown(&self, words: &[&str]) -> String {
        let mut all = vec![self.program.to_string_lossy().into_owned()];
        all.extend(self.host.iter().filter(|word| *word != "--").cloned());
        if !words.is_empty() {
            all.push(remote(words));
        }
        all.join(" ")
    }

    /// Ends this run's own connection.
    pub(crate) fn end(&self) {
        if let Some(directory) = &self.own {
            self.control("exit");
            let _ = fs::remove_dir_all(directory.path());
        }
    }

    /// Asks a connection that runs, if one does, to do something; says whether it does.
    fn control(&self, what: &str) -> bool {
        let status = Command::new(&self.program)
            .args(self.own_options())
            .args(["-O", what])
            .args(&self.host)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }

    fn own_options(&self) -> Vec<OsString> {
        let Some(directory) = &self.own else {
            return Vec::new();
        };
        let mut options: Vec<OsString> = OWN_OPTIONS.map(OsString::from).to_vec();
        options.extend(["-S".into(), socket(directory.path()).into_os_string()]);
        options
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.end();
    }
}

/// A command as the shell on the host reads it.
fn remote(words: &[&str]) -> String {
    // No word has a NUL: they come from arguments and variables of this process.
    shlex::try_join(words.iter().copied()).unwrap_or_default()
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("s")
}

/// A directory for a socket, whose path is short enough, and has no `%`, which is special to `ssh`.
fn private_directory() -> io::Result<TempDir> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let places = runtime
        .into_iter()
        .chain([env::temp_dir(), PathBuf::from("/tmp")]);
    let mut result = Err(io::Error::from(io::ErrorKind::NotFound));
    for place in places.filter(|place| place.is_absolute()) {
        let made = tempfile::Builder::new()
            .prefix("stream-layered-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(place);
        result = made.and_then(|directory| {
            let socket = socket(directory.path());
            let path = socket.as_os_str().as_encoded_bytes();
            if path.len() > LONGEST_SOCKET || path.contains(&b'%') {
                return Err(io::Error::other("the path of the directory is too long"));
            }
            Ok(directory)
        });
        if result.is_ok() {
            break;
        }
    }
    result
}

/// What to do where `ssh` says this.
pub(crate) fn advice(said: &str, login: &str) -> String {
    let has = |text: &str| said.contains(text);
    if has("Host key verification failed") || has("No matching host key") {
        format!("run `{login}` once, and compare the key that it shows with the host's")
    } else if has("Permission denied") || has("Too many authentication failures") {
        format!(
            "nobody can be asked for a password here: use a key (ssh-copy-id, ssh-add) until `{login}` asks for nothing"
        )
    } else if has("Could not resolve hostname") {
        "write the host as ssh's configuration or the network names it".to_owned()
    } else {
        format!("`{login}` has to work before")
    }
}
