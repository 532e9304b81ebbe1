//! Several messages in turn, for processors that have instructions for SHA-256.
//!
//! An instruction of the rounds waits for the one before it of the same message, and takes several
//! cycles. Those of other messages run meanwhile.

/// Makes `many` of a module that has vectors `V` of four words, `WIDTH`, and these functions:
/// `vector` and `array` (from and to four words), `add`, `pack` and `unpack` (a state as two vectors,
/// and back), `four_words` (of a block, from the word `4 * i` on), `next_words` (the four words of the
/// message schedule that follow sixteen others), and `four_rounds` (a state after four rounds, of
/// which the words and constants are given as their sums).
macro_rules! interleaved {
    ($features:literal) => {
        /// Takes `count` blocks of each of at most [`WIDTH`] messages.
        #[target_feature(enable = $features)]
        pub(super) fn many(messages: &mut [Message<'_>], count: usize) {
            for messages in messages.chunks_mut(WIDTH) {
                match messages {
                    [a, b, c, d] => in_turn([a, b, c, d], count),
                    [a, b, c] => in_turn([a, b, c], count),
                    [a, b] => in_turn([a, b], count),
                    messages => messages.iter_mut().for_each(|a| in_turn([a], count)),
                }
            }
        }

        #[target_feature(enable = $features)]
        fn in_turn<const N: usize>(messages: [&mut Message<'_>; N], count: usize) {
            let blocks = messages.each_ref().map(|message| &message.blocks[..count]);
            let mut states = [[vector([0; 4]); 2]; N];
            for (state, message) in states.iter_mut().zip(&messages) {
                *state = pack(&message.state.0);
            }
            for at in 0..count {
                let before = states;
                let mut w = [[vector([0; 4]); 4]; N];
                for (w, blocks) in w.iter_mut().zip(&blocks) {
                    let block = &blocks[at];
                    *w = [
                        four_words(block, 0),
                        four_words(block, 1),
                        four_words(block, 2),
                        four_words(block, 3),
                    ];
                }
                macro_rules! four_rounds_each {
                    ($i:literal) => {
                        let k = vector([K[4 * $i], K[4 * $i + 1], K[4 * $i + 2], K[4 * $i + 3]]);
                        for (state, w) in states.iter_mut().zip(&mut w) {
                            // A ring of sixteen words.
                            if $i >= 4 {
                                w[$i % 4] = next_words([
                                    w[$i % 4],
                                    w[($i + 1) % 4],
                                    w[($i + 2) % 4],
                                    w[($i + 3) % 4],
                                ]);
                            }
                            *state = four_rounds(*state, add(w[$i % 4], k));
                        }
                    };
                }
                four_rounds_each!(0);
                four_rounds_each!(1);
                four_rounds_each!(2);
                four_rounds_each!(3);
                four_rounds_each!(4);
                four_rounds_each!(5);
                four_rounds_each!(6);
                four_rounds_each!(7);
                four_rounds_each!(8);
                four_rounds_each!(9);
                four_rounds_each!(10);
                four_rounds_each!(11);
                four_rounds_each!(12);
                four_rounds_each!(13);
                four_rounds_each!(14);
                four_rounds_each!(15);
                for (state, before) in states.iter_mut().zip(before) {
                    *state = [add(state[0], before[0]), add(state[1], before[1])];
                }
            }
            for (message, state) in messages.into_iter().zip(states) {
                message.state.0 = unpack(state);
            }
        }
    };
}
