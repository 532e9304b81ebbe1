//! Up to four messages in turn, with the SHA instructions of ARMv8.

use core::arch::aarch64::*;

use crate::constants::K;
use crate::message::{Block, Message};

pub(super) const WIDTH: usize = 4;

type V = uint32x4_t;

interleaved!("neon,sha2");

#[target_feature(enable = "neon")]
#[inline]
fn vector([a, b, c, d]: [u32; 4]) -> V {
    let two = |low: u32, high: u32| vcreate_u32(u64::from(low) | u64::from(high) << 32);
    vcombine_u32(two(a, b), two(c, d))
}

#[target_feature(enable = "neon")]
#[inline]
fn array(vector: V) -> [u32; 4] {
    [
        vgetq_lane_u32::<0>(vector),
        vgetq_lane_u32::<1>(vector),
        vgetq_lane_u32::<2>(vector),
        vgetq_lane_u32::<3>(vector),
    ]
}

#[target_feature(enable = "neon")]
#[inline]
fn add(a: V, b: V) -> V {
    vaddq_u32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn pack(&[a, b, c, d, e, f, g, h]: &[u32; 8]) -> [V; 2] {
    [vector([a, b, c, d]), vector([e, f, g, h])]
}

#[target_feature(enable = "neon")]
#[inline]
fn unpack([abcd, efgh]: [V; 2]) -> [u32; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (array(abcd), array(efgh));
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "neon")]
#[inline]
fn four_words(block: &Block, i: usize) -> V {
    // The words are big-endian.
    let (halves, _) = block.as_chunks();
    let half = |at: usize| vcreate_u8(u64::from_le_bytes(halves[2 * i + at]));
    vreinterpretq_u32_u8(vrev32q_u8(vcombine_u8(half(0), half(1))))
}

#[target_feature(enable = "neon,sha2")]
#[inline]
fn next_words([w0, w4, w8, w12]: [V; 4]) -> V {
    vsha256su1q_u32(vsha256su0q_u32(w0, w4), w8, w12)
}

#[target_feature(enable = "neon,sha2")]
#[inline]
fn four_rounds([abcd, efgh]: [V; 2], words: V) -> [V; 2] {
    [
        vsha256hq_u32(abcd, efgh, words),
        vsha256h2q_u32(efgh, abcd, words),
    ]
}
