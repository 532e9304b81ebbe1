//! containerd's client `ctr`, as a program that is run.
//!
//! containerd calls `ctr` an unsupported tool for debugging, whose words may change with any
//! release. Why it all the same? The interface below it would bring gRPC, protocol buffers and an
//! asynchronous runtime, ten times the dependencies, for five calls; `ctr` is on every machine that
//! has containerd, since both are one release. So its version is read, and a warning names one that
//! was not tried.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use oci::Platform;

use crate::error::{Error, Tried, no_connection};
use crate::program::{Failure, Program};
use crate::send::Archive;
use crate::timeouts::Timeouts;

/// Releases of `ctr` that were tried.
const TRIED: [&str; 3] = ["1.6.", "1.7.", "2.1."];

/// The client of one containerd.
pub(crate) struct Ctr {
    /// `ctr`, or a command that has it run elsewhere, and the words that say which containerd and
    /// namespace.
    pub(crate) program: Program,
    /// Where containerd listens, if that is on this machine.
    pub(crate) socket: Option<String>,
    pub(crate) timeouts: Timeouts,
    /// The engine's name in errors.
    pub(crate) engine: String,
}

impl Ctr {
    /// Asks containerd whether it is there; gives the version of `ctr`, if it tells.
    pub(crate) fn version(&self, within: Duration) -> Result<Option<String>, Tried> {
        let tried = |why: String| Tried {
            place: match &self.socket {
                Some(socket) => socket.clone(),
                None => format!("`{} version`", self.program),
            },
            why,
        };
        // `ctr` says in the words of its libraries why it cannot connect.
        if let Some(socket) = &self.socket
            && let Err(error) = UnixStream::connect(socket)
        {
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
        Err(tried(match self.program.run(&words, within * 2) {
            Ok(text) => return Ok(client_version(&text)),
            Err(Failure::Failed(told)) if !is_timeout(&message(&told)) => message(&told),
            Err(Failure::Silent | Failure::Failed(_)) => match self.socket {
                Some(_) => {
                    format!("a program listens there, but does not answer within {within:?}")
                }
                None => format!("no answer within {:?}", within * 2),
            },
            Err(Failure::NotRun(error)) => {
                let name = self.program.name().to_string_lossy();
                format!("cannot run {name}: {error}")
            }
            Err(Failure::Pipe(error)) => error.to_string(),
        }))
    }

    /// Runs `ctr`, and gives what it prints. `what` is for errors.
    pub(crate) fn run(&self, what: &str, words: &[&str]) -> Result<String, Error> {
        let within = self.timeouts.request;
        let timeout = format!("{within:?}");
        let words = [&["--timeout", &timeout], words].concat();
        let printed = self.program.run(&words, within);
        printed.map_err(|failure| self.error(what, failure, within))
    }

    /// Has `ctr` import an archive.
    pub(crate) fn import(
        &self,
        platform: &Platform,
        mut archive: Archive<'_>,
    ) -> Result<(), Error> {
        const WHAT: &str = "cannot import the image";
        let within = self.timeouts.load;
        let platform = platform.to_string();
        let words = ["images", "import", "--platform", &platform, "-"];
        let printed = self.program.feed(&words, within, &mut archive);
        printed
            .map(drop)
            .map_err(|failure| self.error(WHAT, failure, within))
    }

    fn error(&self, what: &str, failure: Failure, within: Duration) -> Error {
        let (what, engine) = (what.to_owned(), self.engine.clone());
        match failure {
            Failure::NotRun(source) => Error::Client {
                what,
                client: self.program.name().to_string_lossy().into_owned(),
                source,
            },
            Failure::Pipe(error) => Error::Pipe(error),
            Failure::Silent => Error::Silent {
                what,
                engine,
                within,
            },
            Failure::Failed(told) => Error::Refused {
                what,
                engine,
                message: message(&told),
            },
        }
    }
}

/// What a line of `ctr` about its failure starts with.
const OWN: &str = "ctr: ";

/// What `ctr` says last, without the words of its libraries before.
fn message(told: &str) -> String {
    // Whoever runs `ctr` elsewhere may say afterwards that it failed.
    let own = told.lines().rfind(|line| line.starts_with(OWN));
    let last = || told.lines().rfind(|line| !line.trim().is_empty());
    let last = own.or_else(last).unwrap_or("nothing");
    let last = last.trim_start_matches(OWN);
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
        let tried = TRIED.map(|release| format!("{release}x")).join(", ");
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
            ("ctr: no y\nssh: exit status 1\n", "no y"),
            ("sh: ctr: not found\n", "sh: ctr: not found"),
            ("", "nothing"),
        ] {
            assert_eq!(message(told), expected);
        }
        let text = "ctr: failed to dial \"/a\": context deadline exceeded: connection error: \
                    desc = \"transport: error while dialing: dial unix:///a: timeout\"";
        assert!(is_timeout(&message(text)));
    }
}
