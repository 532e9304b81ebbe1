//! zstd: one frame, which the library itself cuts into jobs for its threads.

use std::io::{self, Write};

use zstd::Encoder;
use zstd::zstd_safe::CParameter;

/// Bytes that one thread compresses at once. The library's own choice is larger, and its memory
/// grows with it; it reaches the bytes.
const JOB: u32 = 2 << 20;

/// Starts a frame. There is always a thread of the library's own: without any, its bytes are others.
pub fn encoder<W: Write>(writer: W, level: i32, threads: usize) -> io::Result<Encoder<'static, W>> {
    let mut encoder = Encoder::new(writer, level)?;
    encoder.multithread(threads.max(1) as u32)?;
    encoder.set_parameter(CParameter::JobSize(JOB))?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}
