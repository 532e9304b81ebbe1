//! zstd: one frame, which the library itself cuts into jobs for its threads.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use zstd::Encoder;
use zstd::zstd_safe::CParameter;

use crate::threads;

/// Bytes that one thread compresses at once. The library's own choice is larger, and its memory
/// grows with it; it reaches the bytes.
const JOB: u32 = 2 << 20;

/// Starts a frame. There is always a thread of the library's own: without any, its bytes are others.
pub fn encoder<W: Write>(
    writer: W,
    level: i32,
    threads: NonZeroUsize,
) -> io::Result<Encoder<'static, W>> {
    // The library fails where it does not get as many as it was told.
    let threads = threads::startable(threads.get());
    if threads == 0 {
        return Err(threads::none_to_start());
    }
    let mut encoder = Encoder::new(writer, level)?;
    encoder.multithread(threads as u32)?;
    encoder.set_parameter(CParameter::JobSize(JOB))?;
    encoder.include_checksum(true)?;
    // The library starts them when it is first called: now, before others take them.
    encoder.write(&[]).map_err(|_| threads::none_to_start())?;
    Ok(encoder)
}
