//! SHA-256 of several messages at once, each in a lane of vector registers.
//!
//! **Who gains.** Processors with AVX2 or AVX-512 and without instructions for SHA-256: Intel's
//! servers before Ice Lake (2021; Haswell, Broadwell, Skylake-SP and Cascade Lake, which many clouds
//! and build machines still are) and its desktops before Rocket Lake. Eight lanes hash 1,680 MB/s
//! with one thread there, sixteen 3,270 MB/s, and the best code for one message about 550 MB/s
//! (OpenSSL's). With the instructions (AMD since Zen, ARMv8, Intel since then) one message is hashed
//! at 1,820 MB/s, without threads that take turns, and [`Lanes::detect`] gives none: to stream an
//! image of 1 GB takes 1.09 s of processor time then, as much as with sixteen lanes, and 1.36 s with
//! eight.
//!
//! **What it costs.** This crate, with the only `unsafe` of the workspace. Its caller must have
//! several messages under way, of which each needs a thread that reads it, and messages of different
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
mod lanes;
mod message;
#[cfg(test)]
mod tests;

pub use lanes::{Lanes, SETTING};
pub use message::{Block, Message, State, padding};
