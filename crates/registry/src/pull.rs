//! Reading blobs out of a registry, checked, and on over broken connections.

use std::io::{self, Read};

use net::content_range;
use oci::{Digest, DigestWriter};
use ureq::http::{Method, header};

use crate::error::{Error, Place, Result};
use crate::exchange::{Attempts, Trouble, refused, transport};
use crate::repository::Repository;

/// The bytes of a blob, as they come.
///
/// Its end is only given when size and digest are those that were asked for; otherwise the last
/// read is an error, and nothing that was read before may be relied on.
pub struct BlobReader<'r> {
    repository: &'r Repository<'r>,
    digest: Digest,
    size: u64,
    at: u64,
    hasher: Option<DigestWriter>,
    body: Option<Box<dyn Read + Send + Sync>>,
    attempts: Attempts,
}

impl<'c> Repository<'c> {
    /// Opens the blob of this digest and size for reading.
    ///
    /// # Errors
    ///
    /// The registry does not have it, or cannot be asked.
    pub fn blob(&'c self, digest: Digest, size: u64) -> Result<BlobReader<'c>> {
        let mut reader = BlobReader {
            repository: self,
            digest,
            size,
            at: 0,
            hasher: Some(DigestWriter::default()),
            body: None,
            attempts: Attempts::new(self.transport.retry),
        };
        reader.connect()?;
        Ok(reader)
    }

    /// A small blob as a whole, such as an image's configuration.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has more than `limit` bytes.
    pub fn blob_bytes(&self, digest: Digest, size: u64, limit: u64) -> Result<Vec<u8>> {
        let place = self.place(format!("blob {digest}"));
        if size > limit {
            return Err(Error::Answer {
                place,
                why: format!("it has {size} bytes, more than the {limit} that are read"),
            });
        }
        let mut bytes = Vec::new();
        self.blob(digest, size)?
            .read_to_end(&mut bytes)
            .map_err(|error| unwrap(error, &place))?;
        Ok(bytes)
    }
}

impl BlobReader<'_> {
    fn place(&self) -> Place {
        self.repository.place(format!("blob {}", self.digest))
    }

    /// Asks for the bytes from here on.
    fn connect(&mut self) -> Result<()> {
        let place = self.place();
        // The redirect to a storage server is followed anew each time: its address expires.
        let mut call = self.repository.call(
            Method::GET,
            &format!("blobs/{}", self.digest),
            place.clone(),
        )?;
        if self.at > 0 {
            call.headers
                .push((header::RANGE, format!("bytes={}-", self.at)));
        }
        let (response, _) = self
            .repository
            .transport
            .respond(&call, None, &mut self.attempts)?;
        let status = response.status().as_u16();
        let starts_at = match status {
            200 => 0,
            206 => {
                let range = response
                    .headers()
                    .get(header::CONTENT_RANGE)
                    .and_then(|value| value.to_str().ok());
                let part = range.and_then(content_range);
                let unsaid = || Error::Answer {
                    place: place.clone(),
                    why: "it does not say which bytes it gives".to_owned(),
                };
                part.ok_or_else(unsaid)?.start
            }
            _ => return Err(refused(&place, response)),
        };
        let mut body = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        // A registry that knows no ranges gives the blob from its beginning.
        let unwanted = self
            .at
            .checked_sub(starts_at)
            .ok_or_else(|| Error::Answer {
                place: place.clone(),
                why: format!("it gives bytes from {starts_at} on, not from {}", self.at),
            })?;
        let skipped = io::copy(&mut (&mut body).take(unwanted), &mut io::sink());
        self.body = match skipped {
            Ok(skipped) if skipped == unwanted => Some(Box::new(body)),
            // Broken once more: the next read finds out.
            _ => Some(Box::new(io::empty())),
        };
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let actual = hasher.finish().0;
        if actual == self.digest {
            return Ok(());
        }
        let who = "what the registry gave is not what was asked for; its storage or a proxy may be broken";
        Err(Error::DigestMismatch {
            place: self.place(),
            expected: self.digest,
            actual,
            who,
        })
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let left = self.size - self.at;
        if left == 0 {
            self.finish().map_err(io::Error::other)?;
            return Ok(0);
        }
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        loop {
            let result = match &mut self.body {
                Some(body) => body.read(&mut buffer[..most]),
                None => Ok(0),
            };
            let why = match result {
                Ok(0) => format!("it ended after {} of {} bytes", self.at, self.size),
                Ok(read) => {
                    self.at += read as u64;
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&buffer[..read]);
                    }
                    self.attempts.progressed();
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => format!(
                    "the connection broke after {} of {} bytes: {error}",
                    self.at, self.size
                ),
            };
            self.body = None;
            let place = self.place();
            let trouble = Trouble::Passing {
                error: transport(&place, why),
                wait: None,
            };
            self.attempts
                .after(trouble, &place)
                .map_err(io::Error::other)?;
            self.connect().map_err(io::Error::other)?;
        }
    }
}

/// The error of this crate that went through [`Read`].
fn unwrap(error: io::Error, place: &Place) -> Error {
    let why = error.to_string();
    match error.into_inner().map(|inner| inner.downcast::<Error>()) {
        Some(Ok(error)) => *error,
        _ => transport(place, why),
    }
}
