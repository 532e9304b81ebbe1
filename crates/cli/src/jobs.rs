//! The number of threads that work at the same time.

use std::num::NonZeroUsize;

use anyhow::{Context, Result};

/// The number from `--jobs`, else from Nix's build environment, else one per CPU.
pub fn jobs(option: Option<NonZeroUsize>) -> NonZeroUsize {
    option
        .or_else(given_by_nix)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

/// Keeps the process's pool, in which planning runs, to so many threads. rayon gives it one for
/// each processor otherwise, once there is work for it, and more are of no use.
///
/// # Errors
///
/// The system gives no thread.
pub fn limit_pool(option: Option<NonZeroUsize>) -> Result<()> {
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let fewer = |jobs: &NonZeroUsize| *jobs < processors;
    let Some(jobs) = option.or_else(given_by_nix).filter(fewer) else {
        return Ok(());
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs.get());
    pool.build_global()
        .with_context(|| format!("cannot start {jobs} threads"))
}

fn given_by_nix() -> Option<NonZeroUsize> {
    std::env::var("NIX_BUILD_CORES").ok()?.parse().ok()
}
