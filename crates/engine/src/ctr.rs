//! containerd's client `ctr`, as a program that is run.
//!
//! containerd calls `ctr` an unsupported tool for debugging, whose words may change with any
//! release. Why it all the same? The interface below it would bring gRPC, protocol buffers and an
//! asynchronous runtime, ten times the dependencies, for five calls; `ctr` is on every machine that
//! has containerd, since both are one release. So its version is read, and a warning names one that
//! was not tried.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use oci::Platform;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::error::{Error, Tried, no_connection};
use crate::send::Archive;
use crate::timeouts::Timeouts;

/// Releases of `ctr` that were tried.
const TRIED: [&str; 2] = ["1.6.", "2.1."];

/// How long `ctr` may take to end after it failed to read its input, or after it should have ended by
/// itself.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The client of one containerd.
pub(crate) struct Ctr {
    /// The program.
    pub(crate) program: OsString,
    /// Where containerd listens.
    pub(crate) address: String,
    /// containerd's namespace.
    pub(crate) namespace: String,
    pub(crate) timeouts: Timeouts,
    /// The engine's name in errors.
    pub(crate) engine: String,
}

impl Ctr {
    /// Asks containerd whether it is there; gives the version of `ctr`, if it tells.
    pub(crate) fn version(&self, within: Duration) -> Result<Option<String>, Tried> {
        let tried = |why: String| Tried {
            place: self.address.clone(),
            why,
        };
        // `ctr` says in the words of its libraries why it cannot connect.
        if let Err(error) = UnixStream::connect(&self.address) {
            return Err(tried(no_connection(&error)));
        }
        // `ctr` waits ten seconds for a connection on its own, and for an answer for ever.
        let (connect, total) = (format!("{within:?}"), format!("{:?}", within * 2));
        let words = [
            "--connect-timeout",
            &connect,
            "--timeout",
            &total,
            "version",
        ];
        let silent = || {
            tried(format!(
                "a program listens there, but does not answer within {within:?}"
            ))
        };
        match self.output("cannot ask for its version", &words, within * 2, None) {
            Ok(text) => Ok(client_version(&text)),
            Err(Error::Silent { .. }) => Err(silent()),
            Err(Error::Refused { message, .. }) if is_timeout(&message) => Err(silent()),
            Err(Error::Refused { message, .. }) => Err(tried(message)),
            Err(Error::Client { source, .. }) => Err(tried(format!(
                "cannot run ctr, containerd's client: {source}"
            ))),
            Err(error) => Err(tried(error.to_string())),
        }
    }

    /// Runs `ctr`, and gives what it prints. `what` is for errors.
    pub(crate) fn run(&self, what: &str, words: &[&str]) -> Result<String, Error> {
        let timeout = format!("{:?}", self.timeouts.request);
        let words = [&["--timeout", &timeout], words].concat();
        self.output(what, &words, self.timeouts.request, None)
    }

    /// Has `ctr` import an archive.
    pub(crate) fn import(&self, platform: &Platform, archive: Archive<'_>) -> Result<(), Error> {
        const WHAT: &str = "cannot import the image";
        let platform = platform.to_string();
        let words = ["images", "import", "--platform", &platform, "-"];
        self.output(WHAT, &words, self.timeouts.load, Some(archive))
            .map(drop)
    }

    /// Runs `ctr` with some input. It is ended, and an error, if it neither takes input nor ends
    /// within the time.
    fn output(
        &self,
        what: &str,
        words: &[&str],
        within: Duration,
        input: Option<Archive<'_>>,
    ) -> Result<String, Error> {
        let client = |source| Error::Client {
            what: what.to_owned(),
            client: "ctr",
            source,
        };
        let mut child = Command::new(&self.program)
            .args(["--address", &self.address, "--namespace", &self.namespace])
            .args(words)
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(client)?;
        let pipes = (child.stdout.take(), child.stderr.take());
        let readers = read_aside(pipes.0).and_then(|first| Ok((first, read_aside(pipes.1)?)));
        let (printed, told) = readers.map_err(|error| {
            end(&mut child);
            Error::Pipe(error)
        })?;
        let fed = match (input, child.stdin.take()) {
            (Some(archive), Some(stdin)) => feed(stdin, archive, within),
            _ => Ok(()),
        };
        let silent = |child: &mut Child| {
            end(child);
            Error::Silent {
                what: what.to_owned(),
                engine: self.engine.clone(),
                within,
            }
        };
        // Its input has ended. It says why it stopped, if it was the one that stopped.
        let patience = match fed {
            Ok(()) => within + LAST_WORDS,
            Err(Unfed::Silent) => return Err(silent(&mut child)),
            Err(Unfed::Broken) => LAST_WORDS,
        };
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        let texts = (told.recv_timeout(left()), printed.recv_timeout(left()));
        let (told, printed) = match texts {
            (Ok(told), Ok(printed)) => (told, printed),
            (Err(RecvTimeoutError::Timeout), _) | (_, Err(RecvTimeoutError::Timeout))
                if fed.is_ok() =>
            {
                return Err(silent(&mut child));
            }
            (told, printed) => {
                end(&mut child);
                (told.unwrap_or_default(), printed.unwrap_or_default())
            }
        };
        if child.wait().map_err(client)?.success() && fed.is_ok() {
            return Ok(printed);
        }
        Err(Error::Refused {
            what: what.to_owned(),
            engine: self.engine.clone(),
            message: message(&told),
        })
    }
}

/// Why a program did not take all of its input.
#[derive(Clone, Copy)]
enum Unfed {
    /// It took nothing for too long.
    Silent,
    /// It takes no more, or there is no more and what it has is not whole.
    Broken,
}

/// Gives a program its input.
fn feed(mut stdin: ChildStdin, mut archive: Archive<'_>, within: Duration) -> Result<(), Unfed> {
    let broken = |_| Unfed::Broken;
    let flags = fcntl_getfl(&stdin).map_err(|_| Unfed::Broken)?;
    fcntl_setfl(&stdin, flags | OFlags::NONBLOCK).map_err(|_| Unfed::Broken)?;
    let timeout = Timespec::try_from(within).map_err(|_| Unfed::Broken)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = archive.read(&mut buffer).map_err(broken)?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            match stdin.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut writable = [PollFd::new(&stdin, PollFlags::OUT)];
                    if poll(&mut writable, Some(&timeout)) == Ok(0) {
                        return Err(Unfed::Silent);
                    }
                }
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

/// Reads what a program prints, to its end. The thread is left alone if that never comes.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> io::Result<Receiver<String>> {
    let (sender, receiver) = channel();
    thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    })?;
    Ok(receiver)
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// What `ctr` says last, without the words of its libraries before.
fn message(told: &str) -> String {
    let last = told.lines().rfind(|line| !line.trim().is_empty());
    let last = last.unwrap_or("nothing").trim_start_matches("ctr: ");
    match (last.find("rpc error: code = "), last.find(" desc = ")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}{}", &last[..start], &last[end + " desc = ".len()..])
        }
        _ => last.to_owned(),
    }
}

/// Whether `ctr` says that nobody answered it in time.
fn is_timeout(message: &str) -> bool {
    message.contains("deadline exceeded") || message.contains("DeadlineExceeded")
}

/// The version that `ctr version` gives of itself, before that of containerd.
fn client_version(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim);
    let mut versions = lines.filter_map(|line| line.strip_prefix("Version:"));
    let version = versions.next()?.trim().trim_start_matches('v');
    (!version.is_empty()).then(|| version.to_owned())
}

/// A warning about a version that was not tried.
pub(crate) fn untried(version: &str) -> Option<String> {
    let is_tried = TRIED.iter().any(|release| version.starts_with(release));
    (!is_tried).then(|| {
        let tried = TRIED.map(|release| format!("{release}x")).join(" and ");
        format!("ctr {version} was not tried with this program ({tried} were)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_ctr_is_read_and_judged() {
        let text = "Client:\n  Version:  1.6.20~ds1\n  Revision: x\n\nServer:\n  Version:  9\n";
        assert_eq!(client_version(text).as_deref(), Some("1.6.20~ds1"));
        assert_eq!(
            client_version("Client:\n  Version:  v2.1.9\n").as_deref(),
            Some("2.1.9")
        );
        assert_eq!(client_version(""), None);
        assert_eq!(untried("1.6.20~ds1"), None);
        assert_eq!(untried("2.1.9"), None);
        let warning = untried("3.0.0").unwrap();
        assert!(warning.contains("ctr 3.0.0 was not tried"), "{warning}");
    }

    #[test]
    fn what_ctr_says_last_is_told_without_the_words_of_its_libraries() {
        for (told, expected) in [
            ("a\nctr: disk full\n\n", "disk full"),
            (
                "ctr: rpc error: code = Unknown desc = disk full",
                "disk full",
            ),
            ("ctr: x: rpc error: code = NotFound desc = no y", "x: no y"),
            ("", "nothing"),
        ] {
            assert_eq!(message(told), expected);
        }
        let text = "ctr: failed to dial \"/a\": context deadline exceeded: connection error: \
                    desc = \"transport: error while dialing: dial unix:///a: timeout\"";
        assert!(is_timeout(&message(text)));
    }
}
