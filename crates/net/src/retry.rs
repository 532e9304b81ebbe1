//! What is tried again, how often, and after which waits.

use std::io;
use std::thread;
use std::time::Duration;

use ureq::http::{HeaderMap, header};

/// How often something is tried, and how long the program waits in between.
///
/// The wait doubles from attempt to attempt. A server's `Retry-After` takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all; those that made progress are not counted.
    pub attempts: u32,
    /// The wait after the first attempt.
    pub first_wait: Duration,
    /// No wait is longer, whatever the server asks for.
    pub longest_wait: Duration,
}

impl Default for Retry {
    /// Six attempts within ten seconds: a server that restarts is back by then, and whoever typed
    /// a wrong name still waits for the answer.
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(300),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// Counts failed attempts, and waits between them.
#[derive(Debug, Clone)]
pub struct Attempts {
    retry: Retry,
    failed: u32,
}

impl Attempts {
    /// Nothing has failed yet.
    pub fn new(retry: Retry) -> Self {
        Self { retry, failed: 0 }
    }

    /// How many attempts failed since the last progress.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Something got across: what failed before does not count any more.
    pub fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Counts a failure, and waits: as long as the server asks, or twice as long as before. False
    /// where there is to be no further attempt.
    #[must_use]
    pub fn wait(&mut self, asked: Option<Duration>) -> bool {
        let Some(pause) = self.pause(asked) else {
            return false;
        };
        thread::sleep(pause);
        true
    }

    fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let doublings = self.failed.min(16);
        self.failed += 1;
        if self.failed >= self.retry.attempts {
            return None;
        }
        let doubled = self.retry.first_wait.saturating_mul(1 << doublings);
        Some(asked.unwrap_or(doubled).min(self.retry.longest_wait))
    }
}

/// `Retry-After` in seconds. Its other form, a date, would need this machine's clock to be right.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Whether a server that answers so may answer otherwise a little later.
pub fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether another attempt may go better than one that failed so. A name without an address, a
/// refused connection and a wrong certificate are mistakes of the user's, unless the server has
/// `answered` before: then it is being restarted, or moved.
pub fn may_pass(error: &ureq::Error, answered: bool) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::Rustls(_) => answered,
        ureq::Error::Io(error) => {
            answered
                || !matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidData
                )
        }
        ureq::Error::Timeout(_)
        | ureq::Error::Protocol(_)
        | ureq::Error::BodyStalled
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry {
        attempts: 5,
        first_wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(3),
    };

    #[test]
    fn waits_double_up_to_the_longest_and_come_to_an_end() {
        let mut attempts = Attempts::new(RETRY);
        let pauses: Vec<_> = (0..5).map(|_| attempts.pause(None)).collect();
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(
            pauses,
            [seconds(1), seconds(2), seconds(3), seconds(3), None]
        );
        assert_eq!(attempts.failed(), 5);
        attempts.progressed();
        assert_eq!(attempts.pause(None), seconds(1));
    }

    #[test]
    fn a_server_that_asks_for_a_wait_gets_it_within_limits() {
        let mut headers = HeaderMap::new();
        let mut attempts = Attempts::new(RETRY);
        for (value, expected) in [("2", Duration::from_secs(2)), ("86400", RETRY.longest_wait)] {
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            assert_eq!(attempts.pause(retry_after(&headers)), Some(expected));
        }
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        headers.insert(header::RETRY_AFTER, date.parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }

    #[test]
    fn mistakes_do_not_pass_but_restarts_do() {
        let io = |kind: io::ErrorKind| ureq::Error::Io(kind.into());
        assert!(!may_pass(&io(io::ErrorKind::ConnectionRefused), false));
        assert!(may_pass(&io(io::ErrorKind::ConnectionRefused), true));
        assert!(may_pass(&io(io::ErrorKind::ConnectionReset), false));
        assert!(!may_pass(&ureq::Error::HostNotFound, false));
        assert!(!may_pass(&ureq::Error::TooManyRedirects, true));
    }
}
