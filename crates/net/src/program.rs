//! Programs whose input and output are a connection, as `docker system dial-stdio` behind ssh.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// How long a program may take to end after it closed its output.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How much is read of what a program says of its errors, in bytes: as much as a pipe holds.
const MOST_SAID: usize = 64 << 10;

/// A program that leads to a server.
#[derive(Debug)]
pub struct Program {
    words: Vec<OsString>,
    name: String,
}

/// A program that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct ProgramError {
    /// Its exit code; none where it could not be run, or a signal ended it.
    pub code: Option<i32>,
    /// The last line that it said, or else how it ended.
    pub said: String,
}

impl Program {
    /// The program that these words start: its name in `PATH` or its path, and its arguments. `name` is
    /// what people call the server that it leads to.
    pub fn new(words: Vec<OsString>, name: String) -> Self {
        Self { words, name }
    }

    /// Starts it. Away from the terminal: Ctrl-C is for this process, which may have something left to
    /// say to the server.
    pub(crate) fn start(&self) -> io::Result<(UnixStream, Running)> {
        let [program, arguments @ ..] = &self.words[..] else {
            return Err(io::Error::other("there is no command"));
        };
        let (ours, theirs) = UnixStream::pair()?;
        let (said, told) = io::pipe()?;
        // What it says may be long, and is read at its end alone.
        fcntl_setfl(&said, fcntl_getfl(&said)? | OFlags::NONBLOCK)?;
        fcntl_setfl(&told, fcntl_getfl(&told)? | OFlags::NONBLOCK)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::from(told))
            .process_group(0)
            .spawn()
            .map_err(|error| {
                let program = program.to_string_lossy();
                io::Error::other(ProgramError {
                    code: None,
                    said: format!("cannot run {program}: {error}"),
                })
            })?;
        Ok((ours, Running { child, said }))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A program that runs, as long as its connection is held.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    said: PipeReader,
}

impl Running {
    /// Fails where it has failed, or does not end though it has closed its output.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                None if start.elapsed() < LAST_WORDS => thread::sleep(Duration::from_millis(5)),
                None => return Ok(()),
                Some(status) => break status,
            }
        };
        if status.success() {
            return Ok(());
        }
        let mut said = vec![0; MOST_SAID];
        let count = self.said.read(&mut said).unwrap_or(0);
        let said = String::from_utf8_lossy(&said[..count]);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        Err(io::Error::other(ProgramError {
            code: status.code(),
            said: last.map_or_else(|| format!("it ended with {status}"), str::to_owned),
        }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
