//! Who may work on layers, in which order, and until when.
//!
//! Threads make layers while others wait for them. A [`Schedule`] is what all of them share: it
//! starts the work in order, wakes those who wait, and ends everything once one thread failed. What
//! takes memory, such as to compress, needs one of its [`Permits`].

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::sink::{CopyError, Sink, Stop};
use crate::threads;

/// What threads that work on the layers of one image share.
#[derive(Default)]
pub(crate) struct Schedule {
    is_stopped: AtomicBool,
    /// The failure that came first, which is the cause of the others.
    failure: Mutex<Option<Error>>,
    changed: Condvar,
}

impl Schedule {
    /// Works on each of `indices` on `threads` threads, the first ones first, while `body` runs on
    /// this thread.
    ///
    /// Not a parallel map that is collected: `body` writes the first layer while the others are
    /// still worked on, and waits for each with [`wait_until`](Self::wait_until).
    ///
    /// # Errors
    ///
    /// The first failure, of the work or of `body`; all other work is stopped then.
    pub(crate) fn run<T>(
        &self,
        threads: NonZeroUsize,
        indices: &[usize],
        work: impl Fn(usize) -> Result<(), Error> + Sync,
        body: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let tasks = indices.iter().map(|&index| {
            let work = &work;
            move || work(index)
        });
        self.run_tasks(threads, tasks.collect(), body)
    }

    /// Runs `tasks` on `threads` threads, the first ones first, while `body` runs on this thread.
    pub(crate) fn run_tasks<T>(
        &self,
        threads: NonZeroUsize,
        tasks: Vec<impl FnOnce() -> Result<(), Error> + Send>,
        body: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let threads = threads.min(NonZeroUsize::new(tasks.len()).unwrap_or(NonZeroUsize::MIN));
        // A pool of its own: tasks wait for `body`, and `body` may compress on the global pool.
        let pool = threads::pool(threads, "layers").map_err(Error::Threads)?;
        let result = pool.in_place_scope_fifo(|scope| {
            for task in tasks {
                scope.spawn_fifo(move |_| {
                    if self.is_stopped() {
                        return;
                    }
                    if let Err(error) = task() {
                        self.fail(error);
                    }
                });
            }
            // Also when `body` panics: the threads must not wait for it then.
            let stop = StopOnDrop(self);
            let result = body();
            if result.is_ok() {
                std::mem::forget(stop);
            }
            result
        });
        match (result, self.failure().take()) {
            (Err(Error::Cancelled) | Ok(_), Some(failure)) => Err(failure),
            (result, _) => result,
        }
    }

    /// Waits until `ready` gives something. It is asked again after each [`wake`](Self::wake), and
    /// must not take long.
    ///
    /// # Errors
    ///
    /// The work was stopped.
    pub(crate) fn wait_until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> Result<T, Stop> {
        let mut failure = self.failure();
        loop {
            if self.is_stopped() {
                return Err(Stop::Cancelled);
            }
            if let Some(value) = ready() {
                return Ok(value);
            }
            failure = self
                .changed
                .wait(failure)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has all who wait look again.
    pub(crate) fn wake(&self) {
        // Who is between its look and its wait holds the lock, and would miss it otherwise.
        drop(self.failure());
        self.changed.notify_all();
    }

    /// Stops all work because of `error`.
    pub(crate) fn fail(&self, error: Error) {
        let mut failure = self.failure();
        if !matches!(error, Error::Cancelled) && failure.is_none() {
            *failure = Some(error);
        }
        drop(failure);
        self.stop();
    }

    /// Stops all work.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Whether the work is stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// A sink that takes no more once the work is stopped, so that a thread in the middle of a layer
    /// ends.
    pub(crate) fn stoppable<S>(&self, sink: S) -> Stoppable<'_, S> {
        Stoppable {
            sink,
            schedule: self,
        }
    }

    fn failure(&self) -> MutexGuard<'_, Option<Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the work when it is dropped.
struct StopOnDrop<'a>(&'a Schedule);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A bound on how many do something at once.
pub(crate) struct Permits {
    free: Mutex<usize>,
}

/// A permit, until it is dropped.
pub(crate) struct Permit<'a> {
    permits: &'a Permits,
    schedule: &'a Schedule,
}

impl Permits {
    /// So many.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// The work was stopped.
    pub(crate) fn take<'a>(&'a self, schedule: &'a Schedule) -> Result<Permit<'a>, Stop> {
        schedule.wait_until(|| {
            let mut free = self.free();
            *free = free.checked_sub(1)?;
            Some(Permit {
                permits: self,
                schedule,
            })
        })
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.permits.free() += 1;
        self.schedule.wake();
    }
}

/// See [`Schedule::stoppable`].
pub(crate) struct Stoppable<'a, S> {
    sink: S,
    schedule: &'a Schedule,
}

impl<S> Stoppable<'_, S> {
    /// The sink.
    pub(crate) fn into_inner(self) -> S {
        self.sink
    }

    fn check(&self) -> Result<(), Stop> {
        if self.schedule.is_stopped() {
            Err(Stop::Cancelled)
        } else {
            Ok(())
        }
    }
}

impl<S: Sink> Sink for Stoppable<'_, S> {
    const TAKES_CONTENTS: bool = S::TAKES_CONTENTS;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.check()?;
        self.sink.write(bytes)
    }

    fn copy_stream(&mut self, stream: &mut dyn Read, size: u64) -> Result<u64, CopyError> {
        self.check().map_err(CopyError::Write)?;
        let mut stream = StoppableReader {
            stream,
            schedule: self.schedule,
        };
        match self.sink.copy_stream(&mut stream, size) {
            Err(CopyError::Read(_)) if self.schedule.is_stopped() => {
                Err(CopyError::Write(Stop::Cancelled))
            }
            result => result,
        }
    }
}

/// A stream of which nothing more is read once the work is stopped. The sink's caller sees to it
/// that its error is not taken for one of the stream.
struct StoppableReader<'a> {
    stream: &'a mut dyn Read,
    schedule: &'a Schedule,
}

impl Read for StoppableReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.schedule.is_stopped() {
            return Err(io::Error::other("stopped"));
        }
        self.stream.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    fn failure() -> Error {
        Error::Output(io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn permits_are_never_exceeded() {
        let (schedule, permits) = (Schedule::default(), Permits::new(2));
        let (held, most, all) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let work = |_| {
            let permit = permits.take(&schedule)?;
            let now = held.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            std::thread::yield_now();
            held.fetch_sub(1, Ordering::SeqCst);
            drop(permit);
            all.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let indices: Vec<usize> = (0..200).collect();
        schedule.run(threads(8), &indices, work, || Ok(())).unwrap();
        assert_eq!(all.into_inner(), 200);
        assert!(most.into_inner() <= 2);
    }

    #[test]
    fn the_first_ones_come_first_and_the_body_sees_each_as_it_is_done() {
        let schedule = Schedule::default();
        let done = Mutex::new(Vec::new());
        let work = |index| {
            done.lock().unwrap().push(index);
            schedule.wake();
            Ok(())
        };
        let indices: Vec<usize> = (0..100).collect();
        let seen = schedule.run(threads(1), &indices, work, || {
            for index in 0..100 {
                schedule.wait_until(|| done.lock().unwrap().contains(&index).then_some(()))?;
            }
            Ok(done.lock().unwrap().clone())
        });
        assert_eq!(seen.unwrap(), indices);
    }

    #[test]
    fn a_failure_ends_all_who_wait_and_is_told() {
        let (schedule, permits) = (Schedule::default(), Permits::new(1));
        let held = permits.take(&schedule).unwrap();
        let work = |index| match index {
            3 => Err(failure()),
            _ => permits.take(&schedule).map(drop).map_err(Error::from),
        };
        let result = schedule.run(threads(4), &[0, 1, 2, 3, 4, 5], work, || {
            Ok(schedule.wait_until(|| None::<()>)?)
        });
        drop(held);
        assert!(matches!(result, Err(Error::Output(_))), "{result:?}");
        assert!(permits.take(&schedule).is_err());
    }

    #[test]
    fn a_body_that_fails_or_panics_ends_the_work() {
        for panics in [false, true] {
            let schedule = Schedule::default();
            let work = |_| Ok(schedule.wait_until(|| None)?);
            let run = || {
                schedule.run(threads(2), &[0, 1, 2], work, || {
                    assert!(!panics);
                    Err::<(), _>(failure())
                })
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            match result {
                Ok(result) => assert!(matches!(result, Err(Error::Output(_)))),
                Err(_) => assert!(panics),
            }
        }
    }
}
