//! NARs as they were before a cache compressed them.
//!
//! The crate `image` decompresses base images by itself: it knows the compression by the file's
//! first bytes, not by a name. Both could share no more than the calls of the libraries, and only a
//! crate below both could hold these: `nix-compat`, which has no use for them.

use std::io::{self, BufRead, Read};

use brotli_decompressor::BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW;
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use nix_compat::narinfo::Compression;

/// What xz may take for its dictionary, in bytes: its highest level takes 65 MiB. zstd's own limit
/// is 128 MiB, its highest level's; the others cannot ask for more than 16 MiB.
const XZ_MEMORY: u64 = 80 << 20;

/// Decompresses whatever number of streams or frames stand one after the other. The output may be
/// without end: it is for the reader to stop.
pub(super) fn decompress<'a>(
    compression: Compression,
    input: impl BufRead + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            Box::new(XzDecoder::new_stream(input, stream))
        }
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(input)?),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(input)),
        Compression::Brotli => {
            let mut decoder = brotli_decompressor::Decompressor::new(input, 64 << 10);
            decoder.set_parameter(BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
            Box::new(decoder)
        }
    })
}
