use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::hasher::Hasher;
use crate::lanes::Lanes;
use crate::message::{Message, State, padding};

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

    #[test]
    fn hashers_in_turn_have_nothing_to_do_with_each_other(
        // Which hasher takes how many bytes.
        turns in proptest::collection::vec((0..4usize, 0..300_000usize), 0..30),
        moved in any::<bool>(),
    ) {
        let mut hashers: [_; 4] = std::array::from_fn(|_| (Hasher::default(), Sha256::new()));
        for (turn, &(which, length)) in turns.iter().enumerate() {
            let bytes = Running::new(length, turn as u8).message;
            let (hasher, expected) = &mut hashers[which];
            expected.update(&bytes);
            if moved && turn % 3 == 0 {
                std::thread::scope(|scope| scope.spawn(|| hasher.update(&bytes)).join().unwrap());
            } else {
                hasher.update(&bytes);
            }
        }
        for (hasher, expected) in hashers {
            prop_assert_eq!(hasher.finish(), <[u8; 32]>::from(expected.finalize()));
        }
    }
}

#[test]
fn hashers_on_several_threads_at_once() {
    let bytes = Running::new(1 << 20, 1).message;
    let expected = <[u8; 32]>::from(Sha256::digest(&bytes));
    // Two hashers change places between two threads, so that each finds the other waiting.
    let mut hashers = [Hasher::default(), Hasher::default()];
    for piece in bytes.chunks(128 << 10) {
        std::thread::scope(|scope| {
            for hasher in &mut hashers {
                scope.spawn(|| hasher.update(piece));
            }
        });
        hashers.reverse();
    }
    for hasher in hashers {
        assert_eq!(hasher.finish(), expected);
    }
}
