//! Two messages in turn, with the SHA instructions of x86. More are no faster: two keep the unit for
//! the rounds busy.

use core::arch::x86_64::*;

use crate::constants::K;
use crate::message::{Block, Message};

pub(super) const WIDTH: usize = 2;

type V = __m128i;

interleaved!("sha,sse4.1");

#[target_feature(enable = "sse4.1")]
#[inline]
fn vector(words: [u32; 4]) -> V {
    let [a, b, c, d] = words.map(u32::cast_signed);
    _mm_setr_epi32(a, b, c, d)
}

#[target_feature(enable = "sse4.1")]
#[inline]
fn array(vector: V) -> [u32; 4] {
    [
        _mm_extract_epi32::<0>(vector),
        _mm_extract_epi32::<1>(vector),
        _mm_extract_epi32::<2>(vector),
        _mm_extract_epi32::<3>(vector),
    ]
    .map(i32::cast_unsigned)
}

#[target_feature(enable = "sse4.1")]
#[inline]
fn add(a: V, b: V) -> V {
    _mm_add_epi32(a, b)
}

/// The instruction for two rounds wants the words a, b, e, f in one register and c, d, g, h in another,
/// the first ones on top.
#[target_feature(enable = "sse4.1")]
#[inline]
fn pack(&[a, b, c, d, e, f, g, h]: &[u32; 8]) -> [V; 2] {
    [vector([f, e, b, a]), vector([h, g, d, c])]
}

#[target_feature(enable = "sse4.1")]
#[inline]
fn unpack([abef, cdgh]: [V; 2]) -> [u32; 8] {
    let ([f, e, b, a], [h, g, d, c]) = (array(abef), array(cdgh));
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "sse4.1")]
#[inline]
fn four_words(block: &Block, i: usize) -> V {
    // The words are big-endian.
    let swap = _mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let (words, _) = block.as_chunks();
    let word = |at: usize| u32::from_le_bytes(words[4 * i + at]);
    _mm_shuffle_epi8(vector([word(0), word(1), word(2), word(3)]), swap)
}

#[target_feature(enable = "sha,sse4.1")]
#[inline]
fn next_words([w0, w4, w8, w12]: [V; 4]) -> V {
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), _mm_alignr_epi8::<4>(w12, w8));
    _mm_sha256msg2_epu32(sum, w12)
}

#[target_feature(enable = "sha,sse4.1")]
#[inline]
fn four_rounds([abef, cdgh]: [V; 2], words: V) -> [V; 2] {
    // What was a, b, e, f is c, d, g, h two rounds later.
    let after_two = _mm_sha256rnds2_epu32(cdgh, abef, words);
    let words = _mm_shuffle_epi32::<0b11_10>(words);
    [_mm_sha256rnds2_epu32(abef, after_two, words), after_two]
}
