//! What follows when a request of an upload did not succeed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ureq::http::{Method, header};

use super::Upload;
use super::request::Request;
use super::session::{Session, range_end};
use crate::error::{Error, Result};
use crate::exchange::Trouble;
use crate::progress::Event;
use crate::url::resolve;

/// How an upload goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    /// The same request once more: with a token, or to another address.
    Repeat,
    /// The same request without `Expect`.
    WithoutExpect,
    /// A new upload, without PATCH from now on.
    WithoutPatch,
    /// A new upload, in smaller pieces.
    SmallerPieces,
    /// From where the registry says that it is.
    Ask,
    /// From where it is; where the registry does not say, from where it was: it refused to be asked
    /// so often, before it took anything.
    AskLater,
    /// A new upload.
    Restart,
    /// Not at all.
    GiveUp,
}

impl Recovery {
    /// `resumed`: whether the session was gone on with after a broken connection.
    fn of(trouble: &Trouble, request: Request, resumed: bool) -> Self {
        let status = match trouble {
            Trouble::Authorize | Trouble::Elsewhere(_) => return Self::Repeat,
            Trouble::Passing { error, .. } if error.status() == Some(429) => {
                return Self::AskLater;
            }
            // The connection broke, or an answer such as 503 that may be better next time.
            Trouble::Passing { .. } => return Self::Ask,
            Trouble::Final(error) => error.status(),
        };
        let is_patch = !matches!(request, Request::Finish { .. });
        match (status, is_patch, resumed) {
            // The session has expired.
            (Some(404), _, _) => Self::Restart,
            // It stands elsewhere than we thought.
            (Some(416), _, _) => Self::Ask,
            (Some(413), _, _) => Self::SmallerPieces,
            (Some(417), _, _) => Self::WithoutExpect,
            (Some(405 | 411 | 415 | 501), true, _) => Self::WithoutPatch,
            // Some answer so to a PATCH in chunks; but after a break it can also mean 416.
            (Some(400), true, false) => Self::WithoutPatch,
            (Some(400), _, true) => Self::Restart,
            _ => Self::GiveUp,
        }
    }
}

impl Upload<'_> {
    /// What to go on with after trouble: the same session, or none for a new one.
    ///
    /// # Errors
    ///
    /// The trouble, where there is no going on.
    pub(super) fn recover(
        &mut self,
        trouble: Trouble,
        request: Request,
        mut session: Session,
    ) -> Result<Option<Session>> {
        let recovery = Recovery::of(&trouble, request, session.resumed);
        match recovery {
            Recovery::Repeat => {
                if let Some(uri) = self.attempts.after(trouble, &self.place)? {
                    session.uri = uri;
                }
                Ok(Some(session))
            }
            Recovery::WithoutExpect if self.quirks.expect_refused() => Ok(Some(session)),
            Recovery::WithoutPatch => {
                self.quirks.patch_refused();
                Ok(None)
            }
            Recovery::SmallerPieces if self.quirks.too_large(request.length()) => Ok(None),
            Recovery::WithoutExpect | Recovery::SmallerPieces | Recovery::GiveUp => {
                self.attempts.after(trouble, &self.place)?;
                Ok(None)
            }
            Recovery::AskLater => {
                let before = Session {
                    uri: session.uri.clone(),
                    resumed: true,
                    ..session
                };
                self.wait(trouble)?;
                let asked = match self.quirks.takes_patch() {
                    true => self.ask(session)?,
                    false => None,
                };
                Ok(Some(asked.unwrap_or(before)))
            }
            Recovery::Ask | Recovery::Restart => {
                self.wait(trouble)?;
                self.resume(request, session, recovery == Recovery::Ask)
            }
        }
    }

    /// Waits before the next attempt: as long as the registry wants, or not at all where it answered
    /// about this upload.
    fn wait(&mut self, trouble: Trouble) -> Result<()> {
        let trouble = match trouble {
            Trouble::Final(error) => Trouble::Passing {
                error,
                wait: Some(Duration::ZERO),
            },
            other => other,
        };
        if let Trouble::Passing { error, .. } = &trouble {
            self.meter.event(&Event::Waiting {
                why: &error.to_string(),
            });
        }
        self.attempts.after(trouble, &self.place)?;
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        Ok(())
    }

    /// The session to go on with, where the registry still knows it and takes parts of a blob.
    fn resume(&mut self, request: Request, session: Session, ask: bool) -> Result<Option<Session>> {
        let before = session.offset;
        let resumed = if ask && self.quirks.takes_patch() {
            self.ask(session)?
        } else {
            None
        };
        let offset = resumed.as_ref().map(|session| session.offset);
        if request == Request::Stream && offset.is_none_or(|offset| offset <= before) {
            self.vain_streams += 1;
        }
        if let Some(offset) = offset {
            self.note_progress(offset);
        }
        Ok(resumed)
    }

    /// Asks the registry how far the upload has come. None if it does not know of it any more, or
    /// says that it has more than it was sent.
    fn ask(&mut self, session: Session) -> Result<Option<Session>> {
        let call = self
            .repository
            .call_to(Method::GET, session.uri.clone(), self.place.clone());
        let client = self.repository.transport;
        let (response, uri) = match client.respond(&call, None, &mut self.attempts) {
            Ok(answered) => answered,
            // It answers, but not about this upload.
            Err(Error::Status { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !response.status().is_success() {
            return Ok(None);
        }
        let text = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok()
        };
        let offset = text(header::RANGE).and_then(range_end);
        let Some(offset) = offset.filter(|offset| *offset <= self.source.at()) else {
            return Ok(None);
        };
        let next = text(header::LOCATION).and_then(|location| resolve(&uri, location));
        Ok(Some(Session {
            uri: next.unwrap_or(session.uri),
            offset,
            resumed: true,
        }))
    }
}

#[cfg(test)]
mod tests {
    use oci::Digest;

    use super::*;
    use crate::error::Place;

    fn answered(status: u16) -> Trouble {
        Trouble::Final(Error::Status {
            place: Place::new("r", "a", "upload"),
            status,
            code: String::new(),
            message: String::new(),
            attempts: 1,
        })
    }

    #[test]
    fn each_status_has_its_recovery_for_each_request() {
        use Recovery::{Ask, GiveUp, Restart, SmallerPieces, WithoutExpect, WithoutPatch};
        let finish = Request::Finish {
            digest: Digest::of(b""),
            length: 5,
        };
        // For a stream, a piece and the end; then for the same in a session that was resumed.
        for (status, first, resumed) in [
            (400, [WithoutPatch, WithoutPatch, GiveUp], [Restart; 3]),
            (401, [GiveUp; 3], [GiveUp; 3]),
            (403, [GiveUp; 3], [GiveUp; 3]),
            (404, [Restart; 3], [Restart; 3]),
            (
                405,
                [WithoutPatch, WithoutPatch, GiveUp],
                [WithoutPatch, WithoutPatch, GiveUp],
            ),
            (
                411,
                [WithoutPatch, WithoutPatch, GiveUp],
                [WithoutPatch, WithoutPatch, GiveUp],
            ),
            (413, [SmallerPieces; 3], [SmallerPieces; 3]),
            (
                415,
                [WithoutPatch, WithoutPatch, GiveUp],
                [WithoutPatch, WithoutPatch, GiveUp],
            ),
            (416, [Ask; 3], [Ask; 3]),
            (417, [WithoutExpect; 3], [WithoutExpect; 3]),
            (
                501,
                [WithoutPatch, WithoutPatch, GiveUp],
                [WithoutPatch, WithoutPatch, GiveUp],
            ),
        ] {
            let requests = [Request::Stream, Request::Piece(5), finish];
            let of = |was_resumed| {
                requests.map(|request| Recovery::of(&answered(status), request, was_resumed))
            };
            assert_eq!((of(false), of(true)), (first, resumed), "{status}");
        }
    }
}
