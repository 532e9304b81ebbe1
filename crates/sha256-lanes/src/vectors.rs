//! The rounds of SHA-256 (FIPS 180-4, 6.2), for any kind of vector.

/// Makes `many` and `one` of a module that has vectors `V` of `WIDTH` words, and these functions:
/// `vector` (from an array of words), `add`, `broadcast` (a word to all lanes), `choose`, `majority`, `sum_0`, `sum_1`, `sigma_0`, `sigma_1` (FIPS 180-4, 4.1.2), and `words`
/// (the words of a block from each lane, by their place in the block).
macro_rules! vectors {
    ($features:literal) => {
        /// The words of a vector.
        #[target_feature(enable = $features)]
        #[inline]
        #[expect(unsafe_code, reason = "safe intrinsics only take out one word at a time")]
        fn array(vector: V) -> [u32; WIDTH] {
            // SAFETY: both are plain data, any bits are valid in them, and transmute checks that
            // they have the same size.
            unsafe { core::mem::transmute(vector) }
        }

        /// Takes `count` blocks of each of at most [`WIDTH`] messages.
        #[target_feature(enable = $features)]
        pub(super) fn many(messages: &mut [Message<'_>], count: usize) {
            // Lanes that no message uses do the work of the first, for nothing.
            let Some(first) = messages.first() else {
                return;
            };
            let mut blocks = [first.blocks; WIDTH];
            let mut state = [[0; WIDTH]; 8];
            for (lane, message) in messages.iter().enumerate() {
                blocks[lane] = message.blocks;
                for (words, &word) in state.iter_mut().zip(&message.state.0) {
                    words[lane] = word;
                }
            }
            rounds(&mut state, &blocks.map(|blocks| &blocks[..count]), count);
            for (lane, message) in messages.iter_mut().enumerate() {
                for (words, word) in state.iter().zip(&mut message.state.0) {
                    *word = words[lane];
                }
            }
        }

        #[target_feature(enable = $features)]
        fn rounds(state: &mut [[u32; WIDTH]; 8], blocks: &[&[Block]; WIDTH], count: usize) {
            let [a, b, c, d, e, f, g, h] = *state;
            let mut sums = [
                vector(a), vector(b), vector(c), vector(d),
                vector(e), vector(f), vector(g), vector(h),
            ];
            for at in 0..count {
                let mut w = words(blocks, at);
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = sums;
                // Names move from round to round in place of values.
                macro_rules! round {
                    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $w:expr, $k:expr) => {
                        $h = add(add($h, add($w, broadcast($k))), add(choose($e, $f, $g), sum_1($e)));
                        $d = add($d, $h);
                        $h = add($h, add(sum_0($a), majority($a, $b, $c)));
                    };
                }
                macro_rules! eight_rounds {
                    ($w:expr, $k:expr) => {
                        round!(a b c d e f g h, w[$w], K[$k]);
                        round!(h a b c d e f g, w[$w + 1], K[$k + 1]);
                        round!(g h a b c d e f, w[$w + 2], K[$k + 2]);
                        round!(f g h a b c d e, w[$w + 3], K[$k + 3]);
                        round!(e f g h a b c d, w[$w + 4], K[$k + 4]);
                        round!(d e f g h a b c, w[$w + 5], K[$k + 5]);
                        round!(c d e f g h a b, w[$w + 6], K[$k + 6]);
                        round!(b c d e f g h a, w[$w + 7], K[$k + 7]);
                    };
                }
                eight_rounds!(0, 0);
                eight_rounds!(8, 8);
                for k in [16, 32, 48] {
                    for i in 0..16 {
                        w[i] = next_word(&w, i);
                    }
                    eight_rounds!(0, k);
                    eight_rounds!(8, k + 8);
                }
                let [sa, sb, sc, sd, se, sf, sg, sh] = sums;
                sums = [
                    add(sa, a), add(sb, b), add(sc, c), add(sd, d),
                    add(se, e), add(sf, f), add(sg, g), add(sh, h),
                ];
            }
            let [a, b, c, d, e, f, g, h] = sums;
            *state = [
                array(a), array(b), array(c), array(d),
                array(e), array(f), array(g), array(h),
            ];
        }

        /// The word of the message schedule that follows 16 others, which are a ring.
        #[target_feature(enable = $features)]
        #[inline]
        fn next_word(w: &[V; 16], i: usize) -> V {
            add(
                add(w[i], sigma_0(w[(i + 1) % 16])),
                add(w[(i + 9) % 16], sigma_1(w[(i + 14) % 16])),
            )
        }

        /// Takes all blocks of one message: the message schedules of [`WIDTH`] blocks are made at
        /// once, since they do not depend on one another; the rounds are one after the other.
        #[target_feature(enable = $features)]
        pub(super) fn one(state: &mut State, blocks: &[Block]) {
            let mut schedule = [[0; WIDTH]; 64];
            for blocks in blocks.chunks(WIDTH) {
                let mut lanes = [blocks; WIDTH];
                for (lane, one) in lanes.iter_mut().zip(blocks.chunks(1)) {
                    *lane = one;
                }
                let mut w = words(&lanes, 0);
                for (i, out) in schedule.iter_mut().enumerate() {
                    let word = w[i % 16];
                    *out = array(add(word, broadcast(K[i])));
                    w[i % 16] = next_word(&w, i % 16);
                }
                for lane in 0..blocks.len() {
                    scalar_rounds(&mut state.0, &schedule, lane);
                }
            }
        }

        #[target_feature(enable = $features)]
        #[inline]
        fn scalar_rounds(state: &mut [u32; 8], schedule: &[[u32; WIDTH]; 64], lane: usize) {
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
            macro_rules! round {
                ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $i:expr) => {
                    $h = $h
                        .wrapping_add(schedule[$i][lane])
                        .wrapping_add(($e & $f).wrapping_add(!$e & $g))
                        .wrapping_add($e.rotate_right(6) ^ $e.rotate_right(11) ^ $e.rotate_right(25));
                    $d = $d.wrapping_add($h);
                    $h = $h
                        .wrapping_add($b ^ (($a ^ $b) & ($b ^ $c)))
                        .wrapping_add($a.rotate_right(2) ^ $a.rotate_right(13) ^ $a.rotate_right(22));
                };
            }
            for i in 0..8 {
                let i = 8 * i;
                round!(a b c d e f g h, i);
                round!(h a b c d e f g, i + 1);
                round!(g h a b c d e f, i + 2);
                round!(f g h a b c d e, i + 3);
                round!(e f g h a b c d, i + 4);
                round!(d e f g h a b c, i + 5);
                round!(c d e f g h a b, i + 6);
                round!(b c d e f g h a, i + 7);
            }
            for (sum, word) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                *sum = sum.wrapping_add(word);
            }
        }
    };
}
