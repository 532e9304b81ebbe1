//! Threads where the system gives few: a limit of processes (`ulimit -u`, a container's pids) counts
//! threads too. What works with several works with fewer, and with none it says so in one line.

use std::io;
use std::num::NonZeroUsize;
use std::sync::RwLock;
use std::thread::{self, Builder};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// How many threads the system gives at once now, up to `wanted`.
///
/// For libraries that start threads of their own and cannot do with fewer than they were told.
/// Another process of the same limit may take them meanwhile.
pub fn startable(wanted: usize) -> usize {
    let gate = RwLock::new(());
    let closed = gate.write();
    thread::scope(|scope| {
        let wait = || drop(gate.read());
        let start = |_: &usize| Builder::new().spawn_scoped(scope, wait).is_ok();
        let started = (0..wanted).take_while(start).count();
        drop(closed);
        started
    })
}

/// A pool of so many threads, named `name-INDEX`, or of fewer where the system does not give as many.
///
/// # Errors
///
/// The system does not give even one.
pub(crate) fn pool(threads: NonZeroUsize, name: &'static str) -> io::Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads.get())
        .thread_name(move |index| format!("{name}-{index}"))
        .build();
    match (pool, NonZeroUsize::new(threads.get() / 2)) {
        (Ok(pool), _) => Ok(pool),
        (Err(_), Some(fewer)) => self::pool(fewer, name),
        (Err(_), None) => Err(none_to_start()),
    }
}

/// What is said where even one thread is one too many.
pub(crate) fn none_to_start() -> io::Error {
    let why =
        "no thread can be started: a limit of processes (`ulimit -u`, or a container's) is reached";
    io::Error::new(io::ErrorKind::WouldBlock, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_are_wanted_where_there_is_no_limit() {
        assert_eq!(startable(0), 0);
        assert_eq!(startable(5), 5);
        let pool = pool(NonZeroUsize::new(3).unwrap(), "test").unwrap();
        assert_eq!(pool.current_num_threads(), 3);
    }
}
