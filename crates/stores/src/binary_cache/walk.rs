//! Walking a closure: many paths are asked for at once, each only once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix_compat::StorePath;

use super::error::BinaryCacheError;

/// A path, and what refers to it.
type Wanted = (StorePath, Option<StorePath>);

/// Walks from `roots`. `find` gives what is known of a path, and what it refers to. At most
/// `threads` are asked for at once; a closure of more than `most` paths is an error.
pub(super) fn walk<T: Send>(
    roots: &[StorePath],
    threads: usize,
    most: usize,
    find: impl Fn(&StorePath, Option<StorePath>) -> Result<(T, Vec<StorePath>), BinaryCacheError> + Sync,
) -> Result<BTreeMap<StorePath, T>, BinaryCacheError> {
    let walk = Walk {
        state: Mutex::new(State {
            wanted: Vec::new(),
            seen: BTreeSet::new(),
            asked: 0,
            found: BTreeMap::new(),
            failed: None,
            stopped: false,
        }),
        changed: Condvar::new(),
        most,
        find,
    };
    {
        let mut state = walk.lock();
        for root in roots {
            state.want(root, None);
        }
    }
    thread::scope(|scope| {
        for started in 0..threads.max(1) {
            let spawned = thread::Builder::new()
                .stack_size(512 << 10)
                .spawn_scoped(scope, || walk.work());
            match spawned {
                Ok(_) => {}
                // Some threads are enough.
                Err(_) if started > 0 => break,
                Err(error) => return Err(BinaryCacheError::Thread(error)),
            }
        }
        Ok(())
    })?;
    let state = walk
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some(error) => Err(error),
        None => Ok(state.found),
    }
}

struct Walk<T, F> {
    state: Mutex<State<T>>,
    /// Something is wanted, or nothing will be any more.
    changed: Condvar,
    most: usize,
    find: F,
}

struct State<T> {
    wanted: Vec<Wanted>,
    seen: BTreeSet<StorePath>,
    /// How many paths are being asked for.
    asked: usize,
    found: BTreeMap<StorePath, T>,
    failed: Option<BinaryCacheError>,
    /// No further path is to be asked for.
    stopped: bool,
}

impl<T> State<T> {
    /// Whether it was not wanted before.
    fn want(&mut self, path: &StorePath, by: Option<&StorePath>) -> bool {
        let new = self.seen.insert(path.clone());
        if new {
            self.wanted.push((path.clone(), by.cloned()));
        }
        new
    }
}

impl<T, F> Walk<T, F>
where
    F: Fn(&StorePath, Option<StorePath>) -> Result<(T, Vec<StorePath>), BinaryCacheError>,
{
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A thread that panics ends the whole walk with its panic; what it left does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        // Also when `find` panics: the others must not wait for what never comes.
        let _end = OnPanic(self);
        let mut state = self.lock();
        loop {
            if state.stopped {
                return;
            }
            let Some((path, by)) = state.wanted.pop() else {
                if state.asked == 0 {
                    return;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.asked += 1;
            drop(state);
            let found = (self.find)(&path, by);
            state = self.lock();
            state.asked -= 1;
            match found {
                Ok((value, references)) => {
                    for reference in &references {
                        if state.want(reference, Some(&path)) {
                            self.changed.notify_one();
                        }
                    }
                    state.found.insert(path, value);
                    if state.seen.len() > self.most {
                        state.failed = Some(BinaryCacheError::TooManyPaths(self.most));
                        state.stopped = true;
                    }
                }
                Err(error) => {
                    state.failed.get_or_insert(error);
                    state.stopped = true;
                }
            }
            if state.stopped || (state.asked == 0 && state.wanted.is_empty()) {
                self.changed.notify_all();
            }
        }
    }
}

struct OnPanic<'a, T, F>(&'a Walk<T, F>);

impl<T, F> Drop for OnPanic<'_, T, F> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.stopped = true;
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix_compat::StoreDir;

    use super::*;

    fn path(number: usize) -> StorePath {
        StoreDir::default()
            .parse_base_name(&format!("{number:032}-n"))
            .unwrap()
    }

    #[test]
    fn each_path_is_asked_for_once() {
        // A path refers to itself, to its double and the next: a graph with cycles and many ways.
        let asked = AtomicUsize::new(0);
        let found = walk(&[path(1)], 8, 1000, |of, _| {
            asked.fetch_add(1, Ordering::Relaxed);
            let number: usize = of.hash().parse().unwrap();
            let references = [number, number * 2, number + 1].map(|n| path(n % 500));
            Ok((number, references.to_vec()))
        })
        .unwrap();
        assert_eq!(found.len(), 500);
        assert_eq!(asked.into_inner(), 500);
        assert!(found.iter().all(|(of, &number)| *of == path(number)));
    }

    #[test]
    fn a_closure_without_end_is_an_error() {
        let error = walk(&[path(1)], 4, 100, |of, _| {
            let number: usize = of.hash().parse().unwrap();
            Ok(((), vec![path(number + 1)]))
        });
        assert!(matches!(error, Err(BinaryCacheError::TooManyPaths(100))));
    }

    #[test]
    fn an_error_ends_the_walk_and_knows_who_asked() {
        let error = walk(&[path(1)], 4, 100, |of, by| {
            let number: usize = of.hash().parse().unwrap();
            if number < 50 {
                return Ok(((), vec![path(number + 1)]));
            }
            Err(BinaryCacheError::Missing {
                path: of.clone(),
                needed_by: by,
                caches: vec!["here".to_owned()],
            })
        })
        .unwrap_err()
        .to_string();
        assert!(
            error.contains(&format!("{}, which {} refers to", path(50), path(49))),
            "{error}"
        );
    }

    #[test]
    #[should_panic(expected = "scoped thread panicked")]
    fn a_panic_does_not_hang() {
        let _ = walk(&[path(1)], 4, 100, |_, _| -> Result<((), Vec<_>), _> {
            panic!("of the test")
        });
    }
}
