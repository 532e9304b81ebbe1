//! Sixteen lanes, with AVX-512, which can rotate, and has any function of three bits.

use core::arch::x86_64::*;

use crate::constants::K;
use crate::message::{Block, Message, State};

pub(super) const WIDTH: usize = 16;

type V = __m512i;

vectors!("avx512f,avx512bw,bmi1,bmi2");

#[target_feature(enable = "avx512f")]
#[inline]
fn vector(words: [u32; WIDTH]) -> V {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = words.map(u32::cast_signed);
    _mm512_setr_epi32(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(a: V, b: V) -> V {
    _mm512_add_epi32(a, b)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn broadcast(word: u32) -> V {
    _mm512_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<0b1001_0110>(a, b, c)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn choose(e: V, f: V, g: V) -> V {
    _mm512_ternarylogic_epi32::<0b1100_1010>(e, f, g)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn majority(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<0b1110_1000>(a, b, c)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn sum_0(a: V) -> V {
    xor(
        _mm512_ror_epi32::<2>(a),
        _mm512_ror_epi32::<13>(a),
        _mm512_ror_epi32::<22>(a),
    )
}

#[target_feature(enable = "avx512f")]
#[inline]
fn sum_1(e: V) -> V {
    xor(
        _mm512_ror_epi32::<6>(e),
        _mm512_ror_epi32::<11>(e),
        _mm512_ror_epi32::<25>(e),
    )
}

#[target_feature(enable = "avx512f")]
#[inline]
fn sigma_0(w: V) -> V {
    xor(
        _mm512_ror_epi32::<7>(w),
        _mm512_ror_epi32::<18>(w),
        _mm512_srli_epi32::<3>(w),
    )
}

#[target_feature(enable = "avx512f")]
#[inline]
fn sigma_1(w: V) -> V {
    xor(
        _mm512_ror_epi32::<17>(w),
        _mm512_ror_epi32::<19>(w),
        _mm512_srli_epi32::<10>(w),
    )
}

/// A matrix of sixteen by sixteen words is transposed: within 128 bits first, then these.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn words(blocks: &[&[Block]; WIDTH], at: usize) -> [V; 16] {
    // The words are big-endian.
    let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    macro_rules! row {
        ($lane:literal) => {{
            let (words, _) = blocks[$lane][at].as_chunks();
            let word = |i: usize| u32::from_le_bytes(words[i]);
            _mm512_shuffle_epi8(
                vector([
                    word(0),
                    word(1),
                    word(2),
                    word(3),
                    word(4),
                    word(5),
                    word(6),
                    word(7),
                    word(8),
                    word(9),
                    word(10),
                    word(11),
                    word(12),
                    word(13),
                    word(14),
                    word(15),
                ]),
                swap,
            )
        }};
    }
    // Of four lanes, words i, i + 4, i + 8, i + 12, for i from 0 to 3.
    macro_rules! four_lanes {
        ($a:literal $b:literal $c:literal $d:literal) => {{
            let (a, b, c, d) = (row!($a), row!($b), row!($c), row!($d));
            let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            [
                _mm512_unpacklo_epi64(ab_low, cd_low),
                _mm512_unpackhi_epi64(ab_low, cd_low),
                _mm512_unpacklo_epi64(ab_high, cd_high),
                _mm512_unpackhi_epi64(ab_high, cd_high),
            ]
        }};
    }
    let (a, b) = (four_lanes!(0 1 2 3), four_lanes!(4 5 6 7));
    let (c, d) = (four_lanes!(8 9 10 11), four_lanes!(12 13 14 15));
    // Of all lanes, the same.
    macro_rules! all_lanes {
        ($i:literal) => {{
            let (ab_low, ab_high) = (
                _mm512_shuffle_i32x4::<0b01_00_01_00>(a[$i], b[$i]),
                _mm512_shuffle_i32x4::<0b11_10_11_10>(a[$i], b[$i]),
            );
            let (cd_low, cd_high) = (
                _mm512_shuffle_i32x4::<0b01_00_01_00>(c[$i], d[$i]),
                _mm512_shuffle_i32x4::<0b11_10_11_10>(c[$i], d[$i]),
            );
            [
                _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_low, cd_low),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_low, cd_low),
                _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_high, cd_high),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_high, cd_high),
            ]
        }};
    }
    let [w0, w4, w8, w12] = all_lanes!(0);
    let [w1, w5, w9, w13] = all_lanes!(1);
    let [w2, w6, w10, w14] = all_lanes!(2);
    let [w3, w7, w11, w15] = all_lanes!(3);
    [
        w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15,
    ]
}
