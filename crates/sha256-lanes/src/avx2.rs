//! Eight lanes, with AVX2.

use core::arch::x86_64::*;

use crate::constants::K;
use crate::message::{Block, Message, State};

pub(super) const WIDTH: usize = 8;

type V = __m256i;

vectors!("avx2,bmi1,bmi2");

#[target_feature(enable = "avx2")]
#[inline]
fn vector(words: [u32; WIDTH]) -> V {
    let [a, b, c, d, e, f, g, h] = words.map(u32::cast_signed);
    _mm256_setr_epi32(a, b, c, d, e, f, g, h)
}

#[target_feature(enable = "avx2")]
#[inline]
fn add(a: V, b: V) -> V {
    _mm256_add_epi32(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn broadcast(word: u32) -> V {
    _mm256_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor(a: V, b: V) -> V {
    _mm256_xor_si256(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn choose(e: V, f: V, g: V) -> V {
    xor(g, _mm256_and_si256(e, xor(f, g)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn majority(a: V, b: V, c: V) -> V {
    xor(b, _mm256_and_si256(xor(a, b), xor(b, c)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn rotate<const RIGHT: i32, const LEFT: i32>(a: V) -> V {
    const { assert!(RIGHT + LEFT == 32) };
    _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(a), _mm256_slli_epi32::<LEFT>(a))
}

#[target_feature(enable = "avx2")]
#[inline]
fn sum_0(a: V) -> V {
    xor(
        xor(rotate::<2, 30>(a), rotate::<13, 19>(a)),
        rotate::<22, 10>(a),
    )
}

#[target_feature(enable = "avx2")]
#[inline]
fn sum_1(e: V) -> V {
    xor(
        xor(rotate::<6, 26>(e), rotate::<11, 21>(e)),
        rotate::<25, 7>(e),
    )
}

#[target_feature(enable = "avx2")]
#[inline]
fn sigma_0(w: V) -> V {
    xor(
        xor(rotate::<7, 25>(w), rotate::<18, 14>(w)),
        _mm256_srli_epi32::<3>(w),
    )
}

#[target_feature(enable = "avx2")]
#[inline]
fn sigma_1(w: V) -> V {
    xor(
        xor(rotate::<17, 15>(w), rotate::<19, 13>(w)),
        _mm256_srli_epi32::<10>(w),
    )
}

#[target_feature(enable = "avx2")]
#[inline]
fn words(blocks: &[&[Block]; WIDTH], at: usize) -> [V; 16] {
    let [a, b, c, d, e, f, g, h] = half_words::<0>(blocks, at);
    let [i, j, k, l, m, n, o, p] = half_words::<8>(blocks, at);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// Eight words of each block, from word `FROM` on: a matrix of eight by eight is transposed.
#[target_feature(enable = "avx2")]
#[inline]
fn half_words<const FROM: usize>(blocks: &[&[Block]; WIDTH], at: usize) -> [V; 8] {
    // The words are big-endian.
    let swap = _mm256_setr_epi8(
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, //
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
    );
    macro_rules! row {
        ($lane:literal) => {{
            let (words, _) = blocks[$lane][at].as_chunks();
            let word = |i: usize| u32::from_le_bytes(words[FROM + i]);
            _mm256_shuffle_epi8(
                vector([
                    word(0),
                    word(1),
                    word(2),
                    word(3),
                    word(4),
                    word(5),
                    word(6),
                    word(7),
                ]),
                swap,
            )
        }};
    }
    // Words 0 to 3, and 4 to 7, of four lanes each.
    macro_rules! four_lanes {
        ($a:literal $b:literal $c:literal $d:literal) => {{
            let (a, b, c, d) = (row!($a), row!($b), row!($c), row!($d));
            let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            [
                _mm256_unpacklo_epi64(ab_low, cd_low),
                _mm256_unpackhi_epi64(ab_low, cd_low),
                _mm256_unpacklo_epi64(ab_high, cd_high),
                _mm256_unpackhi_epi64(ab_high, cd_high),
            ]
        }};
    }
    let [a0, a1, a2, a3] = four_lanes!(0 1 2 3);
    let [b0, b1, b2, b3] = four_lanes!(4 5 6 7);
    [
        _mm256_permute2x128_si256::<0x20>(a0, b0),
        _mm256_permute2x128_si256::<0x20>(a1, b1),
        _mm256_permute2x128_si256::<0x20>(a2, b2),
        _mm256_permute2x128_si256::<0x20>(a3, b3),
        _mm256_permute2x128_si256::<0x31>(a0, b0),
        _mm256_permute2x128_si256::<0x31>(a1, b1),
        _mm256_permute2x128_si256::<0x31>(a2, b2),
        _mm256_permute2x128_si256::<0x31>(a3, b3),
    ]
}
