//! The small files of a cache: `nix-cache-info`, narinfo files, listings.

use std::io::{self, BufReader, Read};
use std::time::{Duration, Instant};

use nix_compat::narinfo::Compression;

use super::decompress::decompress;
use super::error::{BinaryCacheError, FetchError};
use super::http::Client;
use super::place::Place;

/// How a small file is fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The longest that is read, in bytes, before and after decompression.
    pub(super) length: u64,
    /// How long all of it may take, from the first byte on. A server that sends one byte now and then
    /// is never silent for long, and would keep the program for days.
    pub(super) time: Duration,
}

/// The bytes of a small file, decompressed if the server says that it is compressed; nothing if the
/// cache has no such file.
pub(super) fn fetch(
    place: &Place,
    client: &Client,
    name: &str,
    limits: Limits,
) -> Result<Option<Vec<u8>>, BinaryCacheError> {
    let failed = |source| BinaryCacheError::Fetch {
        url: place.shown_file(name),
        source,
    };
    let Some(fetched) = place.open(client, name).map_err(failed)? else {
        return Ok(None);
    };
    let most = limits.length;
    let inner = InTime {
        inner: fetched.data,
        start: Instant::now(),
        most: limits.time,
    };
    let data: Box<dyn Read + Send> = match fetched.encoding {
        None => Box::new(inner),
        Some(encoding) => Compression::parse(&encoding)
            .map_err(io::Error::other)
            .and_then(|compression| decompress(compression, BufReader::new(inner.take(most))))
            .map_err(|error| failed(FetchError::Io(error)))?,
    };
    let mut bytes = Vec::new();
    data.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(FetchError::Io(error)))?;
    if bytes.len() as u64 > most {
        return Err(failed(FetchError::TooLong(most)));
    }
    Ok(Some(bytes))
}

/// Ends with an error once it has taken too long.
struct InTime<R> {
    inner: R,
    start: Instant,
    most: Duration,
}

impl<R: Read> Read for InTime<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start.elapsed() > self.most {
            let why = format!("it is not whole after {} s", self.most.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        self.inner.read(buffer)
    }
}
