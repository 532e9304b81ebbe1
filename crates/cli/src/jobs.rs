//! The number of threads that work at the same time.

use std::num::NonZeroUsize;

use anyhow::{Context, Result};
use image::threads;

/// Threads that a run needs beside those of the pool, at the least.
const BESIDE: usize = 4;

/// The number from `--jobs`, else from Nix's build environment, else one per CPU.
pub fn jobs(option: Option<NonZeroUsize>) -> NonZeroUsize {
    option
        .or_else(given_by_nix)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

/// Keeps the process's pool, in which planning runs, to so many threads. rayon gives it one for
/// each processor otherwise, once there is work for it, and more are of no use. Where the system gives
/// few, this thread plans alone, and leaves them to the layers.
///
/// # Errors
///
/// The pool is there already, or the system gives no thread after all.
pub fn limit_pool(option: Option<NonZeroUsize>) -> Result<()> {
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = option
        .or_else(given_by_nix)
        .map_or(processors, |jobs| jobs.min(processors));
    let wanted = threads.get() + BESIDE;
    let pool = rayon::ThreadPoolBuilder::new();
    let pool = if threads == NonZeroUsize::MIN || threads::startable(wanted) < wanted {
        pool.num_threads(1).use_current_thread()
    } else if threads < processors {
        pool.num_threads(threads.get())
    } else {
        return Ok(());
    };
    pool.build_global()
        .with_context(|| format!("cannot start {threads} threads"))
}

/// How many blobs are sent at once: each takes a thread that sends and one that compresses.
pub fn senders(most: usize) -> usize {
    (threads::startable(2 * most) / 2).max(1)
}

fn given_by_nix() -> Option<NonZeroUsize> {
    std::env::var("NIX_BUILD_CORES").ok()?.parse().ok()
}
