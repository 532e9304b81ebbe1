//! One blob on its way into a repository.
//!
//! A blob that is known goes out in one PUT; one that is not, in one PATCH of unknown length,
//! and its digest afterwards in an empty PUT. When a connection breaks, the registry is asked
//! how far it has come, and the rest is sent from there; a registry that does not know any more
//! gets the blob from its beginning. A registry that takes no PATCH gets blobs in one PUT, after
//! those not yet known were read once to know them. One that takes no large requests gets pieces.
//!
//! The blob's first bytes are at hand before the registry is asked for anything: a layer may wait
//! for its turn to be compressed, and a request that is open meanwhile would be closed as idle.

mod body;
mod recovery;
mod request;
mod session;

use std::io::{self, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oci::Digest;
use ureq::http::{Method, header};

use self::body::{Body, EndedEarly, Source};
use self::request::Request;
pub(crate) use self::session::Session;
use crate::blob::{Blob, Content};
use crate::error::{Error, Place, Result};
use crate::exchange::{Answer, Attempts, Call, Trouble, refused};
use crate::progress::Meter;
use crate::quirks::Quirks;
use crate::repository::Repository;
use crate::url::with_query;

/// Above this size in bytes, the registry is asked whether it will take a request before its body
/// is sent: one that refuses early closes the connection, and its reason would be lost.
const EXPECT_ABOVE: u64 = 1 << 20;

/// After so many streams that left nothing behind, a blob is read once to know its size.
const VAIN_STREAMS: u32 = 2;

/// Sends one blob.
pub(crate) struct Upload<'a> {
    repository: &'a Repository<'a>,
    blob: &'a dyn Blob,
    quirks: &'a Quirks,
    /// Set when another blob of the push failed.
    stop: &'a AtomicBool,
    meter: Meter<'a>,
    place: Place,
    source: Source<'a>,
    attempts: Attempts,
    /// Streams of unknown length of which the registry has nothing.
    vain_streams: u32,
    /// The most bytes that the registry ever had of it.
    furthest: u64,
}

/// What a request brought.
enum Sent {
    /// The blob is there.
    Whole,
    /// The registry has more of it.
    Part,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(
        repository: &'a Repository<'a>,
        blob: &'a dyn Blob,
        quirks: &'a Quirks,
        stop: &'a AtomicBool,
        meter: Meter<'a>,
    ) -> Self {
        Self {
            place: repository.place(format!("upload of {}", meter.name())),
            source: Source::new(blob, stop),
            attempts: Attempts::new(repository.transport.retry),
            repository,
            blob,
            quirks,
            stop,
            meter,
            vain_streams: 0,
            furthest: 0,
        }
    }

    /// Sends the blob, and gives its digest and size in bytes. `session` may have been opened
    /// already.
    pub(crate) fn run(mut self, mut session: Option<Session>) -> Result<(Digest, u64)> {
        loop {
            let offset = session.as_ref().map_or(0, |session| session.offset);
            let Some(request) = self.next_request(offset) else {
                let drained = self.source.drain();
                drained.map_err(|error| self.unreadable(error))?;
                self.known()?;
                continue;
            };
            if request.length() != Some(0) {
                let there = self.source.go_to(offset);
                there.map_err(|error| self.unreadable(error))?;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let mut current = match session.take() {
                Some(session) => session,
                None => self.begin()?,
            };
            match self.send(request, &mut current) {
                Ok(Sent::Whole) => return self.known(),
                Ok(Sent::Part) => {
                    self.note_progress(current.offset);
                    session = Some(current);
                }
                Err(trouble) => session = self.recover(trouble, request, current)?,
            }
            if let (Request::Finish { digest, .. }, None) = (request, &session)
                && let Content::Known { size, .. } = self.blob.content()
                // The end may have been reached although its answer was lost.
                && self.repository.has_blob(digest, size)?
            {
                return Ok((digest, size));
            }
        }
    }

    /// As long as the registry gets further, what went wrong before does not count.
    fn note_progress(&mut self, offset: u64) {
        if offset > self.furthest {
            self.furthest = offset;
            self.attempts.progressed();
        }
    }

    /// Opens an upload.
    fn begin(&self) -> Result<Session> {
        let call = self
            .repository
            .call(Method::POST, "blobs/uploads/", self.place.clone())?;
        let answer = self.repository.transport.answer(&call, Some(&[]))?;
        if answer.status.as_u16() != 202 {
            return Err(answer.refused(&self.place));
        }
        Session::of(&answer, &self.place)
    }

    /// What to send from `offset` on; nothing if the blob must be known first.
    fn next_request(&self, offset: u64) -> Option<Request> {
        let takes_patch = self.quirks.takes_patch();
        let piece = self.quirks.piece().filter(|_| takes_patch);
        match self.blob.content() {
            Content::Known { digest, size } => {
                let length = size - offset.min(size);
                Some(match piece {
                    Some(piece) if length > piece => Request::Piece(piece),
                    // Pieces end with a request of their own, as does a stream.
                    _ if offset > 0 && length > 0 => Request::Piece(length),
                    _ => Request::Finish { digest, length },
                })
            }
            Content::Unknown => {
                let may_stream = takes_patch && piece.is_none() && self.vain_streams < VAIN_STREAMS;
                may_stream.then_some(Request::Stream)
            }
        }
    }

    fn known(&self) -> Result<(Digest, u64)> {
        match self.blob.content() {
            Content::Known { digest, size } => Ok((digest, size)),
            Content::Unknown => Err(Error::BlobUnknown {
                name: self.meter.name().to_owned(),
            }),
        }
    }

    fn size(&self) -> Option<u64> {
        match self.blob.content() {
            Content::Known { size, .. } => Some(size),
            Content::Unknown => None,
        }
    }

    fn unreadable(&self, source: io::Error) -> Error {
        if self.stop.load(Ordering::Relaxed) {
            return Error::Stopped;
        }
        Error::Blob {
            name: self.meter.name().to_owned(),
            source,
        }
    }

    /// Makes one request, and moves the session on.
    fn send(&mut self, request: Request, session: &mut Session) -> Result<Sent, Trouble> {
        let call = self.call(request, session).map_err(Trouble::Final)?;
        let answer = self.exchange(&call, request.length())?;
        let (repository, place) = (self.repository, &self.place);
        if let Request::Finish { digest, .. } = request {
            let stored = repository.expect_digest(&answer, place, digest);
            return stored.map(|()| Sent::Whole).map_err(Trouble::Final);
        }
        session.offset = self.source.at();
        if request == Request::Stream {
            self.is_whole().map_err(Trouble::Final)?;
        }
        session.follow(&answer, place).map_err(Trouble::Final)?;
        match session::bytes_there(&answer) {
            // It lost some of what it said it would take.
            Some(there) if there != session.offset => Err(Trouble::Passing {
                error: Error::Answer {
                    place: place.clone(),
                    why: format!("it has {there} bytes of {}", session.offset),
                },
                wait: Some(Duration::ZERO),
            }),
            _ => Ok(Sent::Part),
        }
    }

    /// The request without its body.
    fn call(&self, request: Request, session: &Session) -> Result<Call<'a>> {
        let uri = match request {
            Request::Finish { digest, .. } => {
                let url = with_query(&session.uri.to_string(), "digest", &digest.to_string());
                url.parse().map_err(|_| Error::Answer {
                    place: self.place.clone(),
                    why: format!("{url} is not an address"),
                })?
            }
            _ => session.uri.clone(),
        };
        let mut call = self
            .repository
            .call_to(request.method(), uri, self.place.clone());
        let mut header = |name, text| call.headers.push((name, text));
        header(header::CONTENT_TYPE, "application/octet-stream".to_owned());
        if let Request::Piece(length) = request {
            let last = session.offset + length - 1;
            header(header::CONTENT_RANGE, format!("{}-{last}", session.offset));
        }
        let is_large = request.length().is_none_or(|length| length > EXPECT_ABOVE);
        if is_large && self.quirks.takes_expect() {
            header(header::EXPECT, "100-continue".to_owned());
        }
        Ok(call)
    }

    /// Sends the request with `length` bytes of the blob, or all that are left, and reads the
    /// answer, which is one of success.
    fn exchange(&mut self, call: &Call<'_>, length: Option<u64>) -> Result<Answer, Trouble> {
        let size = self.size();
        let mut body = Body {
            source: &mut self.source,
            left: length,
            meter: &mut self.meter,
            size,
            failed: None,
        };
        let client = self.repository.transport;
        let result = client.attempt(call, &call.uri, Some(&mut body), length, &self.attempts);
        // What the blob itself says comes first: the connection broke because of it.
        if let Some(error) = body.failed.take() {
            return Err(Trouble::Final(self.unsendable(error)));
        }
        let response = result?;
        if !response.status().is_success() {
            return Err(Trouble::Final(refused(&call.place, response)));
        }
        let (parts, mut content) = response.into_parts();
        // There is nothing in it to read; the connection can be used again when it is done.
        let _ = io::copy(&mut content.as_reader().take(64 << 10), &mut io::sink());
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: Vec::new(),
            uri: call.uri.clone(),
        })
    }

    /// What it means that the blob could not be read while it was sent.
    fn unsendable(&self, error: io::Error) -> Error {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<EndedEarly>()) {
            Some(&EndedEarly(actual)) => Error::BlobSize {
                name: self.meter.name().to_owned(),
                expected: self.size().unwrap_or(actual),
                actual,
            },
            None => self.unreadable(error),
        }
    }

    /// Checks that a stream had as many bytes as the blob turned out to have.
    fn is_whole(&self) -> Result<()> {
        let (_, expected) = self.known()?;
        let actual = self.source.at();
        if actual == expected {
            return Ok(());
        }
        Err(Error::BlobSize {
            name: self.meter.name().to_owned(),
            expected,
            actual,
        })
    }
}
