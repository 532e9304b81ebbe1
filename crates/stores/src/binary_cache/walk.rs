//! Walking a closure: many paths are asked for at once, each only once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix_compat::StorePath;
use rayon::{Scope, ThreadPool, ThreadPoolBuilder};

use super::error::BinaryCacheError;

/// Bytes of a thread's stack: there are many threads, and none goes deep.
const STACK: usize = 512 << 10;

/// Walks from `roots`. `find` gives what is known of a path, and what it refers to. At most
/// `threads` are asked for at once; a closure of more than `most` paths is an error.
///
/// Threads mostly wait for an answer, so there are as many as connections rather than processors,
/// in a pool of their own: the process's own pool must not wait for a network.
pub(super) fn walk<T: Send>(
    roots: &[StorePath],
    threads: usize,
    most: usize,
    find: impl Fn(&StorePath, Option<StorePath>) -> Result<(T, Vec<StorePath>), BinaryCacheError> + Sync,
) -> Result<BTreeMap<StorePath, T>, BinaryCacheError> {
    let walk = Walk {
        state: Mutex::new(State {
            seen: BTreeSet::new(),
            found: BTreeMap::new(),
            failed: None,
        }),
        most,
        find,
    };
    pool(threads)?.scope(|scope| walk.want(scope, roots, None));
    let state = walk
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some(error) => Err(error),
        None => Ok(state.found),
    }
}

/// This many threads, or fewer where the system does not give as many.
fn pool(threads: usize) -> Result<ThreadPool, BinaryCacheError> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .stack_size(STACK)
        .build();
    match pool {
        Err(_) if threads > 1 => self::pool(threads / 2),
        pool => pool.map_err(|error| BinaryCacheError::Thread(io::Error::other(error))),
    }
}

struct Walk<T, F> {
    state: Mutex<State<T>>,
    most: usize,
    find: F,
}

struct State<T> {
    /// The paths that were asked for, or are about to be.
    seen: BTreeSet<StorePath>,
    found: BTreeMap<StorePath, T>,
    /// Once it is there, no further path is asked for.
    failed: Option<BinaryCacheError>,
}

impl<T, F> Walk<T, F>
where
    T: Send,
    F: Fn(&StorePath, Option<StorePath>) -> Result<(T, Vec<StorePath>), BinaryCacheError> + Sync,
{
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A thread that panics ends the whole walk with its panic; what it left does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for those of the paths that were not asked for yet.
    fn want<'s>(&'s self, scope: &Scope<'s>, paths: &[StorePath], by: Option<&StorePath>) {
        let mut state = self.lock();
        for path in paths {
            if state.failed.is_some() {
                return;
            }
            if state.seen.insert(path.clone()) {
                let (path, by) = (path.clone(), by.cloned());
                scope.spawn(move |scope| self.ask(scope, path, by));
            }
            if state.seen.len() > self.most {
                state.failed = Some(BinaryCacheError::TooManyPaths(self.most));
            }
        }
    }

    fn ask<'s>(&'s self, scope: &Scope<'s>, path: StorePath, by: Option<StorePath>) {
        if self.lock().failed.is_some() {
            return;
        }
        match (self.find)(&path, by) {
            Ok((value, references)) => {
                self.want(scope, &references, Some(&path));
                self.lock().found.insert(path, value);
            }
            Err(error) => _ = self.lock().failed.get_or_insert(error),
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
    #[should_panic(expected = "of the test")]
    fn a_panic_does_not_hang() {
        let _ = walk(&[path(1)], 4, 100, |_, _| -> Result<((), Vec<_>), _> {
            panic!("of the test")
        });
    }
}
