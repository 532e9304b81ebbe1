//! SHA-256 of several messages at once, each in a lane of vector registers.
//!
//! **Who gains.** Processors with AVX2 or AVX-512 and without instructions for SHA-256: Intel's
//! servers before Ice Lake (2021; Haswell, Broadwell, Skylake-SP and Cascade Lake, which many clouds
//! and build machines still are) and its desktops before Rocket Lake. Eight lanes hash more than
//! twice as fast there as the best code for one message. With the instructions (AMD since Zen, ARMv8,
//! Intel since then) one message after the other is at least as fast, and [`Lanes::detect`] gives
//! none.
//!
//! **What it costs.** This crate, with the only `unsafe` of the workspace, and its caller must have
//! several messages under way, of which each needs a thread that reads it. Messages of different
//! lengths leave lanes empty in the end.
//!
//! **Why not a crate?** `sha2` and `ring` hash one message at a time. Those that take several are
//! bindings of a C library (isa-l_crypto) that needs its own assembler.
//!
//! The vector code is written with the processor's intrinsics. The same in plain arithmetic over
//! arrays is taken apart into scalar code by the compiler once its rounds are unrolled, and has half
//! the speed or less where they are not.
//!
//! **Another kernel** (two streams with SHA-NI, ARMv8) is a module with a `WIDTH` and the functions
//! `many` and `one`, and an entry in [`Lanes::available`]; the tests try every entry.

#[cfg(target_arch = "x86_64")]
#[macro_use]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// What SHA-256 works on: messages are padded to whole blocks.
pub type Block = [u8; 64];

/// The state of a message's hash: FIPS 180-4, 5.3.3 to start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State([u32; 8]);

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
    /// The digest, once the [`padding`] was taken in.
    pub fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (out, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.0) {
            *out = word.to_be_bytes();
        }
        bytes
    }
}

/// The bytes that end a message of `length` bytes, up to the end of a block: a one, zeros, and the
/// length in bits (FIPS 180-4, 5.1.1). They are between 9 and 72.
pub fn padding(length: u64) -> impl Iterator<Item = u8> {
    let zeros = 63 - (length + 8) % 64;
    std::iter::once(0x80)
        .chain(std::iter::repeat_n(0, zeros as usize))
        .chain((length * 8).to_be_bytes())
}

/// Blocks that are to be taken into a state.
pub struct Message<'a> {
    /// What was taken in before.
    pub state: &'a mut State,
    /// What is taken in next, or the start of it.
    pub blocks: &'a [Block],
}

/// The environment variable that overrides [`Lanes::detect`], for tests and measurements on
/// processors that have SHA instructions: a name of [`Lanes::available`], or anything else, such as
/// `off`, for none. It has no influence on any digest.
pub const SETTING: &str = "STREAM_LAYERED_LANES";

/// A way to hash several messages at once that this processor has.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "never made"))]
pub struct Lanes {
    name: &'static str,
    width: usize,
    /// Takes so many blocks of each of at most `width` messages, which have as many or more.
    ///
    /// # Safety
    ///
    /// The processor has the features that `available` checks before it makes these `Lanes`.
    many: unsafe fn(&mut [Message<'_>], usize),
    /// Takes all blocks of one message; as for `many`.
    one: unsafe fn(&mut State, &[Block]),
}

/// With as few messages as this, taking one after the other is faster than leaving most lanes
/// empty: a lane alone has less than half the speed of the code for one message.
const FEW: usize = 2;

impl Lanes {
    /// The best way, if there is one that pays: where the processor has instructions for SHA-256,
    /// they are faster. [`SETTING`] overrides this.
    pub fn detect() -> Option<Self> {
        if let Some(name) = std::env::var_os(SETTING) {
            return Self::available().into_iter().find(|way| name == way.name);
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("sha") {
            return None;
        }
        Self::available().into_iter().next()
    }

    /// All ways that the processor has, the best first: `avx512` and `avx2`. Registers of 128 bits
    /// are no way: they gain nothing.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut ways = Vec::new();
        // These checks are what makes the calls in `compress` sound: they ask for every feature that
        // the kernels are compiled with, and that the system keeps such registers.
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                ways.push(Self {
                    name: "avx512",
                    width: avx512::WIDTH,
                    many: avx512::many,
                    one: avx512::one,
                });
            }
            if is_x86_feature_detected!("avx2") {
                ways.push(Self {
                    name: "avx2",
                    width: avx2::WIDTH,
                    many: avx2::many,
                    one: avx2::one,
                });
            }
        }
        ways
    }

    /// The name that [`SETTING`] takes.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether so many messages at once are faster than one after the other.
    pub fn pays_for(&self, messages: usize) -> bool {
        messages > FEW
    }

    /// Most messages at once.
    pub fn width(&self) -> usize {
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
    pub fn compress(&self, messages: &mut [Message<'_>]) -> usize {
        assert!(messages.len() <= self.width, "too many messages");
        let count = messages.iter().map(|m| m.blocks.len()).min().unwrap_or(0);
        if messages.len() > FEW {
            // SAFETY: only `available` makes `Lanes`, after it has seen the features of `many`.
            unsafe { (self.many)(messages, count) }
        } else {
            for message in messages {
                // SAFETY: as above, the features of `one`.
                unsafe { (self.one)(message.state, &message.blocks[..count]) }
            }
        }
        count
    }
}

#[cfg(test)]
mod tests;
