use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

/// A message on its way through a lane.
struct Running {
    message: Vec<u8>,
    padded: Vec<u8>,
    taken: usize,
    state: State,
}

impl Running {
    fn new(length: usize, seed: u8) -> Self {
        let message: Vec<u8> = (0..length)
            .map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8) ^ seed)
            .collect();
        let mut padded = message.clone();
        padded.extend(padding(length as u64));
        Self {
            message,
            padded,
            taken: 0,
            state: State::default(),
        }
    }

    fn rest(&self) -> usize {
        self.padded.len() / 64 - self.taken
    }

    fn next(&mut self, most: usize) -> Message<'_> {
        let (blocks, rest) = self.padded.as_chunks();
        assert!(rest.is_empty());
        let blocks = &blocks[self.taken..];
        Message {
            state: &mut self.state,
            blocks: &blocks[..most.min(blocks.len())],
        }
    }
}

/// Hashes messages of these lengths, at most `width` at once and a few blocks a time.
fn check(lanes: &Lanes, lengths: &[usize], width: usize, steps: &[usize]) {
    let mut waiting: Vec<Running> = lengths
        .iter()
        .enumerate()
        .map(|(i, &length)| Running::new(length, i as u8))
        .collect();
    let mut running = Vec::new();
    let mut steps = steps.iter().cycle();
    loop {
        while running.len() < width
            && let Some(next) = waiting.pop()
        {
            running.push(next);
        }
        if running.is_empty() {
            return;
        }
        let most = *steps.next().unwrap();
        let mut messages: Vec<_> = running.iter_mut().map(|r| r.next(most)).collect();
        let count = lanes.compress(&mut messages);
        assert!(count > 0);
        running.retain_mut(|running| {
            running.taken += count;
            if running.rest() > 0 {
                return true;
            }
            assert_eq!(
                running.state.digest(),
                <[u8; 32]>::from(Sha256::digest(&running.message)),
                "{}",
                lanes.name()
            );
            false
        });
    }
}

#[test]
fn every_length_of_padding() {
    for lanes in Lanes::available() {
        check(&lanes, &(0..200).collect::<Vec<_>>(), lanes.width(), &[1]);
        check(&lanes, &(0..200).collect::<Vec<_>>(), 1, &[100]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn messages_start_and_end_at_any_block(
        lengths in proptest::collection::vec(0..5000usize, 0..40),
        width in 1..=16usize,
        steps in proptest::collection::vec(1..40usize, 1..5),
    ) {
        for lanes in Lanes::available() {
            check(&lanes, &lengths, width.min(lanes.width()), &steps);
        }
    }
}

/// Prints MB/s of CPU time: `cargo test --release -p sha256-lanes -- --ignored --nocapture speed_of_lanes`.
#[test]
#[ignore = "a measurement"]
fn speed_of_lanes() {
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
