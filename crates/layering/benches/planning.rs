//! How long planning takes, on made closures of nixpkgs' shape: many small paths and few large
//! ones, a few that nearly all need, and long chains.
//!
//!     cargo bench -p layering [-- PATHS…]

use std::time::{Duration, Instant};

use layering::{Closure, Plan, Request, Strategy};
use nix_compat::{PathInfo, StoreDir, StorePath};

const MAX_STORE_LAYERS: usize = 99;
const RUNS: usize = 5;

fn main() {
    let asked: Vec<usize> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let sizes = if asked.is_empty() {
        vec![350, 5_000, 20_000, 50_000]
    } else {
        asked
    };
    println!(
        "{:>7} {:>12} {:>12} {:>12} {:>18}  (milliseconds, median of {RUNS})",
        "paths", "popularity", "auto", "stable", "stable, next one"
    );
    for paths in sizes {
        let before = made(paths, "1");
        let now = made(paths, "2");
        let millis = |strategy: Strategy, previous: Option<Plan>| {
            let request = Request {
                previous,
                ..Request::new(strategy, MAX_STORE_LAYERS)
            };
            median(|| drop(layering::plan(&now, &request))).as_millis()
        };
        let previous =
            layering::plan(&before, &Request::new(Strategy::Stable, MAX_STORE_LAYERS)).ok();
        println!(
            "{paths:>7} {:>12} {:>12} {:>12} {:>18}",
            millis(Strategy::Popularity, None),
            millis(Strategy::Auto, None),
            millis(Strategy::Stable, None),
            millis(Strategy::Stable, previous)
        );
    }
}

fn median(run: impl Fn()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

/// A closure in which some paths have the given version, and all that need them other hashes.
fn made(paths: usize, version: &str) -> Closure {
    let mut random = Random(1);
    let mut made: Vec<PathInfo> = Vec::with_capacity(paths);
    for at in 0..paths {
        let mut references: Vec<StorePath> = Vec::new();
        // The last path needs what nothing else does, as an application does.
        let count = if at + 1 == paths { 40 } else { random.below(9) };
        for _ in 0..count.min(at) {
            let reference = match random.below(10) {
                // What nearly everything needs was built first.
                0..4 => random.below(at.min(30)),
                // Packages of one family need each other.
                4..7 => at - 1 - random.below(at.min(12)),
                _ => random.below(at),
            };
            references.push(made[reference].path.clone());
        }
        references.sort();
        references.dedup();
        let version = if random.below(50) == 0 { version } else { "0" };
        let name = format!("package{at}-{version}.0");
        // Every second doubling is rarer by four: few are large.
        let doublings = (0..12).take_while(|_| random.below(3) > 0).count();
        let nar_size = (1_000 << (2 * doublings)) + random.below(1_000) as u64;
        let mut hash = Random(7);
        let texts = references
            .iter()
            .map(StorePath::as_str)
            .chain([name.as_str()]);
        texts.for_each(|text| text.bytes().for_each(|byte| hash.stir(byte)));
        let hash: String = (0..32).map(|_| hash.digit()).collect();
        if let Ok(path) = StoreDir::default().parse_base_name(&format!("{hash}-{name}")) {
            made.push(PathInfo {
                path,
                nar_hash: None,
                nar_size,
                references,
            });
        }
    }
    Closure::new(made).unwrap_or_else(|error| panic!("{error}"))
}

/// The same numbers on any machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, most: usize) -> usize {
        self.next() as usize % most.max(1)
    }

    fn stir(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
        self.next();
    }

    fn digit(&mut self) -> char {
        char::from(b"0123456789abcdfghijklmnpqrsvwxyz"[self.below(32)])
    }
}
