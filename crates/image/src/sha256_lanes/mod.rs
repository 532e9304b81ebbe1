//! SHA-256 of several messages at once, in the lanes of vector registers, for processors without
//! instructions for SHA-256: there it is several times as fast as one message after the other.
//!
//! The vector code is written with the processor's intrinsics. The same in plain arithmetic over
//! arrays is taken apart into scalar code by the compiler once its rounds are unrolled, and has half
//! the speed or less where they are not.

#[cfg(target_arch = "x86_64")]
#[macro_use]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::Digest;

/// What SHA-256 works on: messages are padded to whole blocks.
pub(crate) type Block = [u8; 64];

/// The state of a message's hash: FIPS 180-4, 5.3.3 to start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State([u32; 8]);

impl Default for State {
    fn default() -> Self {
        Self([
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ])
    }
}

impl State {
    /// The digest, once the padding was taken in.
    pub(crate) fn digest(&self) -> Digest {
        let mut bytes = [0; 32];
        for (out, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.0) {
            *out = word.to_be_bytes();
        }
        Digest::from_sha256(bytes)
    }
}

/// The bytes that end a message of `length` bytes, up to the end of a block: a one, zeros, and the
/// length in bits (FIPS 180-4, 5.1.1). They are between 9 and 72.
pub(crate) fn padding(length: u64) -> impl Iterator<Item = u8> {
    let zeros = 63 - (length + 8) % 64;
    std::iter::once(0x80)
        .chain(std::iter::repeat_n(0, zeros as usize))
        .chain((length * 8).to_be_bytes())
}

/// Blocks that are to be taken into a state.
pub(crate) struct Message<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) blocks: &'a [Block],
}

/// A way to hash several messages at once that this processor has.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "never made"))]
pub(crate) struct Lanes {
    width: usize,
    /// Takes so many blocks of each of at most `width` messages, which have as many or more.
    ///
    /// # Safety
    ///
    /// The processor has the features that `detect` asked for.
    many: unsafe fn(&mut [Message<'_>], usize),
    /// Takes all blocks of one message; as for `many`.
    one: unsafe fn(&mut State, &[Block]),
}

/// With as few messages as this, taking one after the other is faster than leaving most lanes
/// empty: a lane alone has less than half the speed of the code for one message.
const FEW: usize = 2;

impl Lanes {
    /// The best way, if there is one that pays: where the processor has instructions for SHA-256,
    /// they are faster.
    pub(crate) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("sha") {
            return None;
        }
        Self::available().into_iter().next()
    }

    /// All ways that the processor has, the best first. Registers of 128 bits are no way: they gain
    /// nothing.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut ways = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                ways.push(Self {
                    width: avx512::WIDTH,
                    many: avx512::many,
                    one: avx512::one,
                });
            }
            if is_x86_feature_detected!("avx2") {
                ways.push(Self {
                    width: avx2::WIDTH,
                    many: avx2::many,
                    one: avx2::one,
                });
            }
        }
        ways
    }

    /// Whether so many messages at once are faster than one after the other.
    pub(crate) fn pays_for(&self, messages: usize) -> bool {
        messages > FEW
    }

    /// Most messages at once.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Takes the blocks of the messages, as many of each as the shortest has; gives that number.
    ///
    /// # Panics
    ///
    /// There are more messages than lanes.
    #[expect(
        unsafe_code,
        reason = "calls of functions that need features of the processor"
    )]
    pub(crate) fn compress(&self, messages: &mut [Message<'_>]) -> usize {
        assert!(messages.len() <= self.width, "too many messages");
        let count = messages.iter().map(|m| m.blocks.len()).min().unwrap_or(0);
        if messages.len() > FEW {
            // SAFETY: `detect` saw the features of the functions that it gave.
            unsafe { (self.many)(messages, count) }
        } else {
            for message in messages {
                // SAFETY: as above.
                unsafe { (self.one)(message.state, &message.blocks[..count]) }
            }
        }
        count
    }
}

#[cfg(test)]
mod tests;
