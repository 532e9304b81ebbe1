//! Replays the seeds of fuzz targets in tests: the seeds, and what one wrong byte or a cut makes of
//! them. A fuzzer looks much further; this needs none.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

/// Runs a check on each seed in `fuzz/seeds/TARGET` of a crate, and on what is near it: the seed is cut,
/// and a byte is wrong, at each place of it, or at about `places` of them where it is longer.
///
/// # Panics
///
/// The check does, a seed cannot be read, or there are fewer than `least` of them.
pub fn replay(crate_root: &str, target: &str, least: usize, places: usize, check: impl Fn(&[u8])) {
    let seeds = Path::new(crate_root).join("fuzz/seeds").join(target);
    let mut count = 0;
    for seed in fs::read_dir(&seeds).expect("the seeds are there") {
        let seed = seed.and_then(|seed| fs::read(seed.path()));
        let seed = seed.expect("a seed can be read");
        check(&seed);
        for at in (0..seed.len()).step_by(seed.len() / places + 1) {
            check(&seed[..at]);
            let mut wrong = seed.clone();
            for byte in [
                0,
                0xff,
                b'/',
                b'\n',
                b'9',
                b'"',
                seed[at] ^ 1,
                seed[at] ^ 0x80,
            ] {
                wrong[at] = byte;
                check(&wrong);
            }
        }
        count += 1;
    }
    assert!(count >= least, "{}: the seeds are gone", seeds.display());
}
