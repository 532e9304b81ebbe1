//! A program that is run: it is given input, and ended if it is silent for too long.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// How long a program may take to end after its input broke off, or after it should have ended by
/// itself.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long it may take until a program is ended that was stopped.
const STEP: Duration = Duration::from_millis(100);

/// Most that is kept of what a program prints, in bytes: a list of a million blobs.
const MAX_PRINTED: u64 = 128 << 20;

/// A program, and the words that stand before those of each call.
pub(crate) struct Program {
    words: Vec<OsString>,
    /// Whether Ctrl-C is not for it.
    is_apart: bool,
    is_stopped: AtomicBool,
    /// Held while it has input.
    feeding: Mutex<()>,
}

/// Why a program did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot be run.
    NotRun(io::Error),
    /// A pipe to it cannot be made, or no thread that reads it.
    Pipe(io::Error),
    /// It did neither take input nor end in time.
    Silent,
    /// It failed, and said this.
    Failed(String),
}

impl Program {
    /// The program that the first word names, in `PATH` or by its path.
    pub(crate) fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            is_apart: false,
            is_stopped: AtomicBool::new(false),
            feeding: Mutex::new(()),
        }
    }

    /// Has Ctrl-C be for this process alone, which then ends the program as it should be ended. Not for
    /// a program that asks for passwords: it could not read the terminal.
    #[must_use]
    pub(crate) fn apart(self) -> Self {
        Self {
            is_apart: true,
            ..self
        }
    }

    /// The program's name or path.
    pub(crate) fn name(&self) -> &OsStr {
        self.words.first().map_or(OsStr::new(""), |word| word)
    }

    /// Runs it, and gives what it prints. It is ended if it does not end in time.
    pub(crate) fn run(&self, words: &[&str], within: Duration) -> Result<String, Failure> {
        self.output(words, within, None)
    }

    /// Runs it with some input, and gives what it prints. It is ended if it neither takes input nor ends
    /// within that time, or is [stopped](Self::stop).
    pub(crate) fn feed(
        &self,
        words: &[&str],
        within: Duration,
        input: &mut dyn Read,
    ) -> Result<String, Failure> {
        let _feeding = self.feeding.lock().unwrap_or_else(PoisonError::into_inner);
        self.output(words, within, Some(input))
    }

    /// Ends it where it is fed, now and later; waits until it has ended, if not for long.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + LAST_WORDS * 2;
        while self.feeding.try_lock().is_err() && Instant::now() < deadline {
            thread::sleep(STEP);
        }
    }

    /// Whether it was [stopped](Self::stop).
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn output(
        &self,
        words: &[&str],
        within: Duration,
        input: Option<&mut dyn Read>,
    ) -> Result<String, Failure> {
        let mut command = Command::new(self.name());
        command.args(self.words.iter().skip(1)).args(words);
        if self.is_apart {
            command.process_group(0);
        }
        let is_fed = input.is_some();
        command.stdin(if is_fed {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.spawn().map_err(Failure::NotRun)?);
        let child = &mut running.0;
        let printed = read_aside(child.stdout.take()).map_err(Failure::Pipe)?;
        let told = read_aside(child.stderr.take()).map_err(Failure::Pipe)?;
        let stop = || is_fed && self.is_stopped();
        let fed = match (input, child.stdin.take()) {
            (Some(input), Some(stdin)) => feed(stdin, input, within, &stop),
            _ => Ok(()),
        };
        // Where its input broke off, it puts away what it has, and says why.
        let patience = match fed {
            Ok(()) => within + LAST_WORDS,
            Err(_) => LAST_WORDS,
        };
        let deadline = Instant::now() + patience;
        let told = receive(&told, deadline, &stop);
        let printed = receive(&printed, deadline, &stop);
        if fed == Err(Unfed::Silent) || fed.is_ok() && (told.is_none() || printed.is_none()) {
            return Err(if stop() {
                Failure::Failed("stopped".to_owned())
            } else {
                Failure::Silent
            });
        }
        let (told, printed) = (told.unwrap_or_default(), printed.unwrap_or_default());
        if fed.is_ok() && child.wait().map_err(Failure::NotRun)?.success() {
            return Ok(printed);
        }
        // Older `docker exec` prints what it cannot run.
        let is_told = !told.trim().is_empty();
        Err(Failure::Failed(if is_told { told } else { printed }))
    }
}

/// As it is typed into a shell.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        match shlex::try_join(words.iter().map(AsRef::as_ref)) {
            Ok(text) => f.write_str(&text),
            Err(_) => f.write_str(&words.join(" ")),
        }
    }
}

/// A child that is ended when it is no longer waited for.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Why a program did not take all of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfed {
    /// It took nothing for too long.
    Silent,
    /// It takes no more, or there is no more and what it has is not whole.
    Broken,
}

/// Gives a program its input.
fn feed(
    mut stdin: ChildStdin,
    input: &mut dyn Read,
    within: Duration,
    stop: &dyn Fn() -> bool,
) -> Result<(), Unfed> {
    let broken = |_| Unfed::Broken;
    let flags = fcntl_getfl(&stdin).map_err(|_| Unfed::Broken)?;
    fcntl_setfl(&stdin, flags | OFlags::NONBLOCK).map_err(|_| Unfed::Broken)?;
    let step = Timespec::try_from(within.min(STEP)).map_err(|_| Unfed::Broken)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = input.read(&mut buffer).map_err(broken)?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        let mut waits_since = None;
        while !rest.is_empty() {
            if stop() {
                return Err(Unfed::Broken);
            }
            match stdin.write(rest) {
                Ok(written) => {
                    rest = &rest[written..];
                    waits_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if waits_since.get_or_insert_with(Instant::now).elapsed() >= within {
                        return Err(Unfed::Silent);
                    }
                    let _ = poll(&mut [PollFd::new(&stdin, PollFlags::OUT)], Some(&step));
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
        if let Some(pipe) = pipe {
            let _ = pipe.take(MAX_PRINTED).read_to_end(&mut bytes);
        }
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    })?;
    Ok(receiver)
}

/// What a program has printed when it ends, if it does so in time.
fn receive(
    printed: &Receiver<String>,
    deadline: Instant,
    stop: &dyn Fn() -> bool,
) -> Option<String> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match printed.recv_timeout(left.min(STEP)) {
            Err(RecvTimeoutError::Timeout) if !left.is_zero() && !stop() => {}
            received => return received.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(200);
    const LATE: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Program {
        Program::new(["sh", "-c", script])
    }

    #[test]
    fn what_it_prints_is_given_and_what_it_says_when_it_fails() {
        assert_eq!(shell("echo a; echo b >&2").run(&[], LATE).unwrap(), "a\n");
        let failure = shell("echo a; echo b >&2; exit 3").run(&[], LATE);
        assert!(matches!(failure, Err(Failure::Failed(told)) if told == "b\n"));
        let failure = shell("echo a; exit 3").run(&[], LATE);
        assert!(matches!(failure, Err(Failure::Failed(told)) if told == "a\n"));
        let failure = Program::new(["/there/is/none"]).run(&[], LATE);
        assert!(matches!(failure, Err(Failure::NotRun(_))));
        assert_eq!(shell("cat").feed(&[], LATE, &mut &b"a"[..]).unwrap(), "a");
    }

    #[test]
    fn who_is_silent_is_ended() {
        let failure = Program::new(["sleep"]).run(&["60"], SOON);
        assert!(matches!(failure, Err(Failure::Silent)));
        let failure = Program::new(["sleep", "60"]).feed(&[], SOON, &mut io::repeat(0));
        assert!(matches!(failure, Err(Failure::Silent)));
    }

    /// It sees the end of its input, and cleans up.
    #[test]
    fn who_is_stopped_may_say_its_last_words() {
        let program = shell("cat >/dev/null; echo ended >&2; exit 1");
        thread::scope(|scope| {
            let fed = scope.spawn(|| program.feed(&[], LATE, &mut io::repeat(0)));
            thread::sleep(SOON);
            program.stop();
            let failure = fed.join().unwrap();
            assert!(matches!(failure, Err(Failure::Failed(told)) if told == "ended\n"));
        });
        let failure = program.feed(&[], LATE, &mut io::repeat(0));
        assert!(failure.is_err(), "it does not start again");
        assert!(program.run(&[], LATE).is_err());
    }

    #[test]
    fn it_is_shown_as_it_is_typed() {
        assert_eq!(Program::new(["a b", "c"]).to_string(), "'a b' c");
    }
}
