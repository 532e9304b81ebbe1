//! Which kernels the processor has, and the only way to call them.

#[cfg(target_arch = "x86_64")]
use crate::avx2;
#[cfg(target_arch = "x86_64")]
use crate::avx512;
use crate::message::{Block, Message, State};

/// The environment variable that overrides [`Lanes::detect`], for tests and measurements on
/// processors that have SHA instructions: a name of [`Lanes::available`], or anything else, such as
/// `off`, for none. It has no influence on any digest.
pub const SETTING: &str = "STREAM_LAYERED_LANES";

/// A way to hash several messages at once that this processor has.
#[derive(Clone, Copy)]
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
