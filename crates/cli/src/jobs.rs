//! How many threads work at once.

use std::num::NonZeroUsize;

/// `--jobs`, what Nix gives a build, or one for each processor.
pub fn jobs(option: Option<NonZeroUsize>) -> NonZeroUsize {
    let of_nix = || {
        std::env::var("NIX_BUILD_CORES")
            .ok()?
            .parse::<NonZeroUsize>()
            .ok()
    };
    option
        .or_else(of_nix)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}
