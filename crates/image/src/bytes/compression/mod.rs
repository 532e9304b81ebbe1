//! Compression of layers and archives, by several threads, with the same bytes for any number of
//! them.
//!
//! Digests of compressed layers are kept and compared between machines: the block size, the level
//! and the compressor's own version reach the bytes, and a change of any is a break of the format
//! that moves [`Compression::format`].

mod gzip;
mod zstd;

use std::fmt;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::str::FromStr;

use oci::media_type;

/// The maximum number of threads that compress at once: each holds a few MiB.
const MAX_THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// How something is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip at this level, in members of 1 MiB each, without names and times.
    Gzip(i32),
    /// zstd at this level.
    Zstd(i32),
}

/// gzip's own default.
const GZIP_LEVEL: i32 = 6;

/// zstd's own default: smaller than gzip at level 6, and three times as fast.
const ZSTD_LEVEL: i32 = 3;

/// A text that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a compression: none, gzip, gzip:LEVEL (1 to 12), zstd or zstd:LEVEL (1 to 19) was expected"
)]
pub struct ParseCompressionError(String);

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once(':') {
            None if text == "none" => Some(Self::None),
            None if text == "gzip" || text == "gz" => Some(Self::Gzip(GZIP_LEVEL)),
            None if text == "zstd" => Some(Self::Zstd(ZSTD_LEVEL)),
            Some(("gzip", level)) => level_within(level, 12).map(Self::Gzip),
            Some(("zstd", level)) => level_within(level, 19).map(Self::Zstd),
            _ => None,
        };
        parsed.ok_or_else(|| ParseCompressionError(text.to_owned()))
    }
}

fn level_within(text: &str, most: i32) -> Option<i32> {
    let level = text.parse().ok();
    level.filter(|level| (1..=most).contains(level))
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// The libdeflate whose bytes gzip's are, as [`Compression::format`] names it.
const LIBDEFLATE: &str = "1.26";

/// The crate that it comes with. `Cargo.toml` demands exactly this one: only with it are the pinned
/// digests below known to hold.
#[cfg(test)]
const LIBDEFLATE_CRATE: &str = "1.26.1";

impl Compression {
    /// gzip for layers that somebody waits for: a third of the time of level 6 less, for 4 % more
    /// bytes.
    pub const LAYER_GZIP: Self = Self::Gzip(2);

    /// Names everything that reaches the compressed bytes: the same text, the same bytes.
    pub fn format(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Gzip(level) => format!("gzip libdeflate-{LIBDEFLATE} level={level} member=1MiB"),
            Self::Zstd(level) => format!(
                "zstd libzstd-{} level={level} job=2MiB",
                ::zstd::zstd_safe::version_string()
            ),
        }
    }

    /// The media type of a layer that is compressed so.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => media_type::LAYER,
            Self::Gzip(_) => media_type::LAYER_GZIP,
            Self::Zstd(_) => media_type::LAYER_ZSTD,
        }
    }

    /// Starts to compress to `writer`.
    ///
    /// # Errors
    ///
    /// The compressor cannot be set up, or the system gives it no thread.
    pub fn encoder<W: Write>(self, writer: W, jobs: NonZeroUsize) -> io::Result<Encoder<W>> {
        let jobs = jobs.min(MAX_THREADS);
        Ok(Encoder(match self {
            Self::None => Inner::None(writer),
            Self::Gzip(level) => Inner::Gzip(gzip::Encoder::new(writer, level, jobs)?),
            Self::Zstd(level) => Inner::Zstd(zstd::encoder(writer, level, jobs)?),
        }))
    }
}

/// A writer that compresses to another.
pub struct Encoder<W: Write>(Inner<W>);

enum Inner<W: Write> {
    None(W),
    Gzip(gzip::Encoder<W>),
    Zstd(::zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Writes what is left; gives the writer back.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Inner::None(writer) => Ok(writer),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::None(writer) => writer.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing a compressor would put a mark into its bytes.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use oci::Digest;

    fn compress(compression: Compression, bytes: &[u8], jobs: usize, piece: usize) -> Vec<u8> {
        let mut encoder = compression
            .encoder(Vec::new(), NonZeroUsize::new(jobs).unwrap())
            .unwrap();
        for piece in bytes.chunks(piece) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap()
    }

    fn decompress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::None => out.extend_from_slice(bytes),
            Compression::Gzip(_) => {
                flate2::read::MultiGzDecoder::new(bytes)
                    .read_to_end(&mut out)
                    .unwrap();
            }
            Compression::Zstd(_) => {
                ::zstd::Decoder::new(bytes)
                    .unwrap()
                    .read_to_end(&mut out)
                    .unwrap();
            }
        }
        out
    }

    /// Some MiB that compress neither to nothing nor not at all.
    fn sample() -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        };
        (0..5 << 20)
            .map(|at: usize| {
                if at % 7 < 3 {
                    next() as u8
                } else {
                    (at >> 5) as u8
                }
            })
            .collect()
    }

    #[test]
    fn bytes_depend_neither_on_threads_nor_on_the_size_of_writes() {
        let bytes = sample();
        for compression in [
            Compression::None,
            Compression::Gzip(2),
            Compression::Gzip(6),
            Compression::Zstd(3),
            Compression::Zstd(1),
        ] {
            let expected = compress(compression, &bytes, 1, bytes.len());
            assert_eq!(decompress(compression, &expected), bytes);
            for (jobs, piece) in [(1, 511), (2, 1 << 16), (3, 1 << 20), (16, 70_001)] {
                assert!(
                    compress(compression, &bytes, jobs, piece) == expected,
                    "{compression} {jobs} {piece}"
                );
            }
        }
    }

    /// A new version of a compressor that writes other bytes must move [`Compression::format`].
    #[test]
    fn bytes_are_those_of_the_format_s_name() {
        for (compression, digest) in [
            (Compression::LAYER_GZIP, "fa291e5e066cd225"),
            (Compression::Gzip(6), "7317271f586aaf59"),
            (Compression::Zstd(3), "4e8abcebfccd45d3"),
        ] {
            let found = Digest::of(&compress(compression, &sample(), 2, 1 << 16));
            assert_eq!(&found.hex()[..16], digest, "{compression}");
        }
    }

    /// libdeflate itself tells no version, so the name has that of the crate it comes with, to the
    /// last digit: any new one may write other bytes.
    #[test]
    fn the_format_names_the_libdeflate_that_is_built_in() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        let name = "name = \"libdeflate-sys\"\nversion = \"";
        let (_, version) = lock.split_once(name).unwrap();
        let (version, _) = version.split_once('"').unwrap();
        assert_eq!(version, LIBDEFLATE_CRATE);
        assert!(version.starts_with(LIBDEFLATE), "{version}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn anything_comes_back(bytes in any::<Vec<u8>>()) {
            for compression in [Compression::Gzip(6), Compression::Zstd(3)] {
                let compressed = compress(compression, &bytes, 2, 100);
                prop_assert_eq!(&decompress(compression, &compressed), &bytes);
            }
        }
    }
}
