//! Names that images have in an engine while one is loaded, and what becomes of them when a run is
//! killed: the next one removes the names of processes that are gone. Who loads from another machine or
//! container cannot see which those are, and removes names that are a day old.

use std::fmt;
use std::fs;
use std::process;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use oci::Digest;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Repository of the names that images have while they are loaded. No registry has it.
pub(crate) const LOADING: &str = "stream-layered.invalid/loading";

/// Repository of all probes.
pub(crate) const PROBE: &str = "stream-layered-probe";

/// Seconds after which no load goes on any more. containerd keeps blobs without a name as long.
const LONGEST_LOAD: u64 = 24 * 60 * 60;

/// The name that this process's image has while it is loaded. Another process that loads the same one
/// does not take it away.
pub(crate) fn loading_name() -> String {
    format!("{LOADING}:{}", Owner::this_process())
}

/// The process that a temporary name belongs to. Its text fits into an image's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Which processes its number counts among. An engine may be used by several machines, and by
    /// containers that have processes of their own; only its age tells of what ran elsewhere.
    space: String,
    pid: u32,
    /// When it started, in ticks since the system's start: numbers are given again.
    start: u64,
    /// When it first loaded something, in seconds since 1970 by its own clock.
    since: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn this_process() -> Self {
        let pid = process::id();
        Self {
            space: process_space().unwrap_or_else(|| UNKNOWN.to_owned()),
            pid,
            start: start_of(pid).unwrap_or(0),
            since: *SINCE.get_or_init(now),
        }
    }

    /// Reads what [`Display`](fmt::Display) writes, also where more follows after another `-`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        Some(Self {
            space: parts.next()?.to_owned(),
            pid: parts.next()?.parse().ok()?,
            start: parts.next()?.parse().ok()?,
            since: parts.next()?.parse().ok()?,
        })
    }

    /// The owner of an image's name, if that is a temporary one.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let mut tags = [LOADING, PROBE].iter().filter_map(|repository| {
            let tag = name.strip_prefix(repository)?;
            tag.strip_prefix(':')
        });
        Self::parse(tags.next()?)
    }

    /// Whether it does not run any more, or cannot.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone_at(now())
    }

    fn is_gone_at(&self, now: u64) -> bool {
        if process_space().is_none_or(|space| space != self.space) {
            return now.saturating_sub(self.since) > LONGEST_LOAD;
        }
        match start_of(self.pid) {
            Some(start) => start != self.start,
            // Other users' processes may be hidden, which the system call tells.
            None => !is_running(self.pid),
        }
    }
}

/// When this process first loaded something.
static SINCE: OnceLock<u64> = OnceLock::new();

/// Seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            space,
            pid,
            start,
            since,
        } = self;
        write!(f, "{space}-{pid}-{start}-{since}")
    }
}

/// The space of systems that do not tell.
const UNKNOWN: &str = "unknown";

/// The system's run and the namespace of processes, as eight characters.
fn process_space() -> Option<String> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let text = [&boot, namespace.as_os_str().as_encoded_bytes()].concat();
    Some(Digest::of(&text).hex()[..8].to_owned())
}

fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// The field `starttime` of `/proc/PID/stat` (`man 5 proc`), the 22nd. The second one is the
/// program's name in brackets, which may hold anything.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_back() {
        let own = Owner::this_process();
        assert_eq!(Owner::parse(&own.to_string()), Some(own.clone()));
        assert_eq!(Owner::parse(&format!("{own}-0123456789ab")), Some(own));
        for text in ["", "1", "a-b-c-d", "a-1-1", "4242"] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_tell_their_owner() {
        let own = Owner::this_process();
        assert_eq!(Owner::of_name(&loading_name()), Some(own.clone()));
        let probe = format!("{PROBE}:{own}-0123456789ab");
        assert_eq!(Owner::of_name(&probe), Some(own.clone()));
        for name in [
            "app:1".to_owned(),
            format!("{LOADING}:latest"),
            format!("{LOADING}/other:{own}"),
            format!("app:{own}"),
        ] {
            assert_eq!(Owner::of_name(&name), None, "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn whose_process_is_gone_is_told_by_its_start() {
        let own = Owner::this_process();
        assert!(!own.is_gone());
        let earlier = Owner {
            start: own.start - 1,
            ..own.clone()
        };
        assert!(earlier.is_gone(), "another one has its number now");
        let never = Owner { pid: 0, ..own };
        assert!(never.is_gone());
        let elsewhere = Owner {
            space: "01234567".to_owned(),
            ..earlier
        };
        assert!(!elsewhere.is_gone(), "what runs elsewhere is not known");
        let since = elsewhere.since;
        assert!(!elsewhere.is_gone_at(since + LONGEST_LOAD));
        assert!(elsewhere.is_gone_at(since + LONGEST_LOAD + 1));
        assert!(!elsewhere.is_gone_at(0), "its clock is ahead");
        let own = Owner::this_process();
        assert!(!own.is_gone_at(u64::MAX), "who runs is not gone");
    }
}
