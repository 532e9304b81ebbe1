//! SHA-256 of several messages at once: in turn with SHA instructions, or each in a lane of vector
//! registers.
//!
//! **Who gains.** All processors of servers of the last ten years. With SHA instructions (AMD since
//! Zen, Intel since Ice Lake, ARMv8) one message waits for the latency of its own rounds: an AMD EPYC
//! hashes one at 1,820 MB/s a core, two in turn at 3,290 MB/s, three and four no faster. How much ARM
//! processors gain was not measured. Without them (Intel's servers before 2021, its desktops before
//! Rocket Lake), eight lanes of AVX2 hash 1,680 MB/s with one thread, sixteen of AVX-512 3,270 MB/s,
//! and the best code for one message about 550 MB/s (OpenSSL's).
//!
//! **What it costs.** This crate, with the only `unsafe` of the workspace. Its caller must have
//! several messages under way: layers, or several digests of the same data, see [`Hasher`].
//!
//! **Why not a crate?** `sha2` and `ring` hash one message at a time. Those that take several are
//! bindings of a C library (isa-l_crypto) that needs its own assembler.
//!
//! The kernels are written with the processor's intrinsics. The same in plain arithmetic over
//! arrays is taken apart into scalar code by the compiler once its rounds are unrolled, and has half
//! the speed or less where they are not.
//!
//! **Another kernel** is a module with a `WIDTH` and a function `many`, and an entry in
//! [`Lanes::available`]; the tests try every entry.
//!
//! **Why it is sound.** The kernels have no pointers: words come out of slices, whose bounds are
//! checked, and go in and out of vectors by safe intrinsics. What is left are the calls of functions
//! that need features of the processor, in [`Lanes::compress`], and the words of a vector as an array
//! in `vectors`.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[macro_use]
mod interleaved;
#[cfg(target_arch = "x86_64")]
#[macro_use]
mod vectors;
#[cfg(target_arch = "aarch64")]
mod armv8;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod constants;
mod hasher;
mod lanes;
mod message;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(test)]
mod tests;

pub use hasher::Hasher;
pub use lanes::{Lanes, SETTING};
pub use message::{Block, Message, State, padding};
