//! One blob on its way into a repository.
//!
//! A blob that is known goes out in one PUT; one that is not, in one PATCH of unknown length,
//! and its digest afterwards in an empty PUT. When a connection breaks, the registry is asked
//! how far it has come, and the rest is sent from there; a registry that does not know any more
//! gets the blob from its beginning. A registry that takes no PATCH gets blobs in one PUT, after
//! those not yet known were read once to know them. One that takes no large requests gets pieces.

use std::io::{self, Read as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use oci::Digest;
use ureq::Body;
use ureq::http::{Method, header};

use crate::blob::{Blob, Content};
use crate::error::{Error, Place, Result};
use crate::exchange::{Answer, Attempts, Call, Trouble, refused};
use crate::manner::Manner;
use crate::outgoing::{EndedEarly, Outgoing, Source, skip};
use crate::progress::{Event, Meter};
use crate::repository::Repository;
use crate::session::{Session, bytes_there, location};
use crate::url::{resolve, with_query};

/// Above this size, the registry is asked whether it will take a request before its body is sent:
/// one that refuses early closes the connection, and its reason would be lost.
const EXPECT_ABOVE: u64 = 1 << 20;

/// After so many streams that left nothing behind, a blob is read once to know its size.
const VAIN_STREAMS: u32 = 2;

/// A request of an upload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    /// All bytes from here to the end, whose number is not known.
    Stream,
    /// So many bytes.
    Piece(u64),
    /// The last so many bytes, and the digest.
    Finish { digest: Digest, length: u64 },
}

/// Sends one blob.
pub(crate) struct Upload<'a> {
    pub(crate) repository: &'a Repository<'a>,
    pub(crate) blob: &'a dyn Blob,
    pub(crate) manner: &'a Manner,
    pub(crate) meter: Meter<'a>,
    /// Streams of unknown length of which the registry has nothing.
    pub(crate) vain_streams: u32,
    /// The most bytes that the registry ever had of it.
    pub(crate) furthest: u64,
}

impl<'a> Upload<'a> {
    /// Sends the blob, and gives its digest and size. `session` may have been opened already.
    pub(crate) fn run(mut self, mut session: Option<Session>) -> Result<(Digest, u64)> {
        let place = self
            .repository
            .place(format!("upload of {}", self.meter.name()));
        let mut attempts = Attempts::new(&self.repository.client.options.retry);
        let mut source = Source::new();
        loop {
            let mut current = match session.take() {
                Some(session) => session,
                None => self.begin(&place)?,
            };
            let request = match self.next_request(current.offset) {
                Some(request) => request,
                None => {
                    self.measure()?;
                    session = Some(current);
                    continue;
                }
            };
            match self.send(request, &mut current, &mut source, &place, &attempts) {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => {
                    self.note_progress(current.offset, &mut attempts);
                    session = Some(current);
                }
                Err(trouble) => {
                    session =
                        self.recover(trouble, request, current, &source, &mut attempts, &place)?;
                }
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
    fn note_progress(&mut self, offset: u64, attempts: &mut Attempts<'_>) {
        if offset > self.furthest {
            self.furthest = offset;
            attempts.progressed();
        }
    }

    fn begin(&self, place: &Place) -> Result<Session> {
        let call = self
            .repository
            .call(Method::POST, "blobs/uploads/", place.clone())?;
        let answer = self.repository.client.answer(&call, Some(&[]))?;
        if answer.status.as_u16() != 202 {
            return Err(answer.refused(place));
        }
        Session::of(&answer, place)
    }

    /// What to send next; nothing if the blob must be known first.
    fn next_request(&self, offset: u64) -> Option<Request> {
        let patch_refused = self.manner.patch_refused.load(Ordering::Relaxed);
        let piece = self.manner.piece().filter(|_| !patch_refused);
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
            Content::Unknown
                if patch_refused || piece.is_some() || self.vain_streams >= VAIN_STREAMS =>
            {
                None
            }
            Content::Unknown => Some(Request::Stream),
        }
    }

    /// Reads the blob to its end, so that it becomes known.
    fn measure(&self) -> Result<()> {
        let mut reader = self.blob.open().map_err(|error| self.unreadable(error))?;
        skip(&mut *reader, u64::MAX, &self.manner.stop).map_err(|error| self.unreadable(error))?;
        self.known().map(|_| ())
    }

    fn known(&self) -> Result<(Digest, u64)> {
        match self.blob.content() {
            Content::Known { digest, size } => Ok((digest, size)),
            Content::Unknown => Err(Error::BlobUnknown {
                name: self.meter.name().to_owned(),
            }),
        }
    }

    fn unreadable(&self, source: io::Error) -> Error {
        if self.manner.stop.load(Ordering::Relaxed) {
            return Error::Stopped;
        }
        Error::Blob {
            name: self.meter.name().to_owned(),
            source,
        }
    }

    /// Makes one request. Gives the blob's digest and size when it has arrived.
    fn send(
        &mut self,
        request: Request,
        session: &mut Session,
        source: &mut Source<'a>,
        place: &Place,
        attempts: &Attempts<'_>,
    ) -> Result<Option<(Digest, u64)>, Trouble> {
        let (method, length) = match request {
            Request::Stream => (Method::PATCH, None),
            Request::Piece(length) => (Method::PATCH, Some(length)),
            Request::Finish { length, .. } => (Method::PUT, Some(length)),
        };
        if length != Some(0) {
            let blob = self.blob;
            source
                .go_to(session.offset, || blob.open(), &self.manner.stop)
                .map_err(|error| Trouble::Final(self.unreadable(error)))?;
        }
        let uri = match request {
            Request::Finish { digest, .. } => {
                let url = with_query(&session.uri.to_string(), "digest", &digest.to_string());
                url.parse().map_err(|_| {
                    let why = format!("{url} is no address");
                    Trouble::Final(Error::Answer {
                        place: place.clone(),
                        why,
                    })
                })?
            }
            _ => session.uri.clone(),
        };
        let mut call = self.repository.call_to(method, uri, place.clone());
        call.headers
            .push((header::CONTENT_TYPE, "application/octet-stream".to_owned()));
        if let Request::Piece(length) = request {
            let last = session.offset + length - 1;
            call.headers
                .push((header::CONTENT_RANGE, format!("{}-{last}", session.offset)));
        }
        if length.is_none_or(|length| length > EXPECT_ABOVE)
            && !self.manner.expect_refused.load(Ordering::Relaxed)
        {
            call.headers
                .push((header::EXPECT, "100-continue".to_owned()));
        }
        let size = match self.blob.content() {
            Content::Known { size, .. } => Some(size),
            Content::Unknown => None,
        };
        let mut outgoing = Outgoing {
            source,
            left: length,
            stop: &self.manner.stop,
            meter: &mut self.meter,
            size,
            failed: None,
        };
        let result =
            self.repository
                .client
                .attempt(&call, &call.uri, Some(&mut outgoing), length, attempts);
        // What the blob itself says comes first: the connection broke because of it.
        if let Some(error) = outgoing.failed.take() {
            let error = match error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<EndedEarly>())
            {
                Some(ended) => Error::BlobSize {
                    name: self.meter.name().to_owned(),
                    expected: size.unwrap_or(ended.0),
                    actual: ended.0,
                },
                None => self.unreadable(error),
            };
            return Err(Trouble::Final(error));
        }
        let response = result?;
        let status = response.status().as_u16();
        let answer = self.read(&call, response)?;
        match (request, status) {
            (Request::Finish { digest, .. }, 200..=299) => {
                self.repository
                    .expect_digest(&answer, place, digest)
                    .map_err(Trouble::Final)?;
                self.known().map(Some).map_err(Trouble::Final)
            }
            (_, 200..=299) => {
                session.offset = source.at;
                if request == Request::Stream {
                    let (_, expected) = self.known().map_err(Trouble::Final)?;
                    if expected != source.at {
                        let name = self.meter.name().to_owned();
                        return Err(Trouble::Final(Error::BlobSize {
                            name,
                            expected,
                            actual: source.at,
                        }));
                    }
                }
                if let Some(next) = answer.header(header::LOCATION) {
                    session.uri = location(Some(next), &call.uri, place).map_err(Trouble::Final)?;
                }
                let short = answer
                    .header(header::RANGE)
                    .and_then(bytes_there)
                    .filter(|there| *there != session.offset);
                match short {
                    // It lost some of what it said it would take.
                    Some(there) => Err(Trouble::Passing {
                        error: Error::Answer {
                            place: place.clone(),
                            why: format!("it has {there} bytes of {}", session.offset),
                        },
                        wait: Some(Duration::ZERO),
                    }),
                    None => Ok(None),
                }
            }
            _ => Err(Trouble::Final(answer.refused(place))),
        }
    }

    fn read(
        &self,
        call: &Call<'_>,
        response: ureq::http::Response<Body>,
    ) -> Result<Answer, Trouble> {
        if !response.status().is_success() {
            return Err(Trouble::Final(refused(&call.place, response)));
        }
        let (parts, mut body) = response.into_parts();
        // There is nothing in it to read; the connection can be used again when it is done.
        let _ = io::copy(&mut body.as_reader().take(64 << 10), &mut io::sink());
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: Vec::new(),
            uri: call.uri.clone(),
        })
    }

    /// What to go on with after trouble: the same session, or none for a new one.
    fn recover(
        &mut self,
        trouble: Trouble,
        request: Request,
        mut session: Session,
        source: &Source<'_>,
        attempts: &mut Attempts<'_>,
        place: &Place,
    ) -> Result<Option<Session>> {
        let again = |error| Trouble::Passing {
            error,
            wait: Some(Duration::ZERO),
        };
        let ask = match &trouble {
            Trouble::Authorize => {
                attempts.after(trouble, place)?;
                return Ok(Some(session));
            }
            Trouble::Elsewhere(_) => {
                if let Some(uri) = attempts.after(trouble, place)? {
                    session.uri = uri;
                }
                return Ok(Some(session));
            }
            Trouble::Passing { .. } => true,
            Trouble::Final(error) => match (error.status(), request) {
                (Some(413), _) => {
                    let tried = match request {
                        Request::Piece(length) => Some(length),
                        _ => self.manner.piece(),
                    };
                    if !self.manner.shrink(tried) {
                        attempts.after(trouble, place)?;
                    }
                    return Ok(None);
                }
                (Some(417), _) if !self.manner.expect_refused.swap(true, Ordering::Relaxed) => {
                    return Ok(Some(session));
                }
                (Some(405 | 411 | 415 | 501), Request::Stream | Request::Piece(_)) => {
                    self.manner.patch_refused.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
                (Some(400), Request::Stream | Request::Piece(_)) if !session.resumed => {
                    self.manner.patch_refused.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
                // The session has expired, or stands elsewhere than we thought.
                (Some(404), _) => false,
                (Some(416), _) => true,
                (Some(400), _) if session.resumed => false,
                _ => {
                    attempts.after(trouble, place)?;
                    return Ok(None);
                }
            },
        };
        let trouble = match trouble {
            Trouble::Final(error) => again(error),
            other => other,
        };
        if let Trouble::Passing { error, .. } = &trouble {
            self.meter.event(&Event::Waiting {
                why: &error.to_string(),
            });
        }
        attempts.after(trouble, place)?;
        if self.manner.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let before = session.offset;
        let resumed = if ask && !self.manner.patch_refused.load(Ordering::Relaxed) {
            self.ask(session, source.at, attempts, place)?
        } else {
            None
        };
        if request == Request::Stream
            && resumed
                .as_ref()
                .is_none_or(|session| session.offset <= before)
        {
            self.vain_streams += 1;
        }
        if let Some(session) = &resumed {
            self.note_progress(session.offset, attempts);
        }
        Ok(resumed)
    }

    /// Asks the registry how far the upload has come. None if it does not know of it any more.
    fn ask(
        &self,
        session: Session,
        read: u64,
        attempts: &mut Attempts<'_>,
        place: &Place,
    ) -> Result<Option<Session>> {
        let call = self
            .repository
            .call_to(Method::GET, session.uri.clone(), place.clone());
        let (response, uri) = match self.repository.client.respond(&call, None, attempts) {
            Ok(answered) => answered,
            // It answers, but not about this upload.
            Err(Error::Status { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !response.status().is_success() {
            return Ok(None);
        }
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let Some(offset) = text(header::RANGE)
            .and_then(bytes_there)
            .filter(|offset| *offset <= read)
        else {
            return Ok(None);
        };
        let next = text(header::LOCATION)
            .and_then(|location| resolve(&uri, location))
            .unwrap_or(session.uri);
        Ok(Some(Session {
            uri: next,
            offset,
            resumed: true,
        }))
    }
}
