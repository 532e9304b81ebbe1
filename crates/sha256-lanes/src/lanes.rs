//! Which kernels the processor has, and the only way to call them.

#[cfg(target_arch = "aarch64")]
use crate::armv8;
use crate::message::{Block, Message, State};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512, sha_ni};

/// The environment variable that overrides [`Lanes::detect`], for tests and measurements: a name of
/// [`Lanes::available`], or anything else, such as `off`, for none. It has no influence on any digest.
pub const SETTING: &str = "STREAM_LAYERED_LANES";

/// A way to hash several messages at once that this processor has.
#[derive(Clone, Copy)]
pub struct Lanes {
    name: &'static str,
    width: usize,
    /// Fewer messages than these are faster one after the other.
    least: usize,
    /// Takes so many blocks of each of at most `width` messages, which have as many or more.
    ///
    /// # Safety
    ///
    /// The processor has the features that `available` checks before it makes these `Lanes`.
    many: unsafe fn(&mut [Message<'_>], usize),
    /// Takes all blocks of one message; as for `many`.
    one: unsafe fn(&mut State, &[Block]),
}

impl Lanes {
    /// The best way that the processor has, or none. [`SETTING`] overrides this.
    pub fn detect() -> Option<Self> {
        let setting = std::env::var_os(SETTING);
        let is_chosen = |way: &Self| setting.as_ref().is_none_or(|name| name == way.name);
        Self::available().into_iter().find(is_chosen)
    }

    /// All ways that the processor has, the best first: `sha-ni` or `armv8`, `avx512`, `avx2`.
    /// Registers of 128 bits are no way without SHA instructions: they gain nothing.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            expect(unused_mut)
        )]
        let mut ways = Vec::new();
        // These checks are what makes the calls in `compress` sound: they ask for every feature that
        // the kernels are compiled with, and that the system keeps such registers.
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") {
            ways.push(Self {
                name: "sha-ni",
                width: sha_ni::WIDTH,
                least: 2,
                many: sha_ni::many,
                one: lone,
            });
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("sha2")
        {
            ways.push(Self {
                name: "armv8",
                width: armv8::WIDTH,
                least: 2,
                many: armv8::many,
                one: lone,
            });
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                ways.push(Self {
                    name: "avx512",
                    width: avx512::WIDTH,
                    least: VECTORS_LEAST,
                    many: avx512::many,
                    one: avx512::one,
                });
            }
            if is_x86_feature_detected!("avx2") {
                ways.push(Self {
                    name: "avx2",
                    width: avx2::WIDTH,
                    least: VECTORS_LEAST,
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
        messages >= self.least
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
        if self.pays_for(messages.len()) {
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

/// With fewer messages, a vector's lanes are too empty: a lane alone has less than half the speed of
/// the code for one message.
#[cfg(target_arch = "x86_64")]
const VECTORS_LEAST: usize = 3;

/// One message, where the processor has instructions for SHA-256: `sha2` finds them too.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn lone(state: &mut State, blocks: &[Block]) {
    sha2::block_api::compress256(&mut state.0, blocks);
}
