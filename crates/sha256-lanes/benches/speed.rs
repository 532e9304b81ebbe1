//! Prints MB/s of processor time, for each kind of lanes and each number of messages:
//! `cargo bench -p sha256-lanes`.

use sha2::{Digest as _, Sha256};
use sha256_lanes::{Lanes, Message, State};

fn main() {
    let megabytes_a_second = |bytes: usize, run: &mut dyn FnMut()| {
        let now = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let mut best = f64::MAX;
        for _ in 0..10 {
            let before = now();
            run();
            let spent = now() - before;
            best = best.min(spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9);
        }
        bytes as f64 / best / 1e6
    };
    let block = vec![[1; 64]; 1024];
    let lone = megabytes_a_second(64 * 64 * 1024, &mut || {
        for _ in 0..64 {
            std::hint::black_box(Sha256::digest(block.as_flattened()));
        }
    });
    println!("sha2 {lone:.0}");
    for lanes in Lanes::available() {
        for count in 1..=lanes.width() {
            let mut states = vec![State::default(); count];
            let speed = megabytes_a_second(64 * 64 * 1024 * count, &mut || {
                for _ in 0..64 {
                    let mut messages: Vec<_> = states
                        .iter_mut()
                        .map(|state| Message {
                            state,
                            blocks: &block,
                        })
                        .collect();
                    lanes.compress(&mut messages);
                }
            });
            println!("{} {count} of {}: {speed:.0}", lanes.name(), lanes.width());
        }
    }
}
