//! Uploads that a registry has opened: where they are, and how far.

use ureq::http::{Uri, header};

use crate::error::{Error, Place, Result};
use crate::exchange::Answer;
use crate::url::resolve;

/// An upload that the registry has opened.
pub(crate) struct Session {
    pub(super) uri: Uri,
    /// Bytes that are there.
    pub(super) offset: u64,
    /// Whether it was gone on with after a broken connection.
    pub(super) resumed: bool,
}

impl Session {
    /// The session that an answer opened.
    ///
    /// # Errors
    ///
    /// The answer does not say where it is.
    pub(crate) fn of(answer: &Answer, place: &Place) -> Result<Self> {
        let location = answer.header(header::LOCATION);
        Ok(Self {
            uri: absolute(location, &answer.uri, place)?,
            offset: 0,
            resumed: false,
        })
    }

    /// Goes on at the address that an answer gives, if it gives one.
    pub(super) fn follow(&mut self, answer: &Answer, place: &Place) -> Result<()> {
        if let Some(next) = answer.header(header::LOCATION) {
            self.uri = absolute(Some(next), &answer.uri, place)?;
        }
        Ok(())
    }
}

fn absolute(location: Option<&str>, base: &Uri, place: &Place) -> Result<Uri> {
    location
        .and_then(|location| resolve(base, location))
        .ok_or_else(|| Error::Answer {
            place: place.clone(),
            why: "it opened an upload, but gives no usable Location for it".to_owned(),
        })
}

/// The number of bytes that an answer says are there.
pub(super) fn bytes_there(answer: &Answer) -> Option<u64> {
    answer.header(header::RANGE).and_then(range_end)
}

/// The number of bytes that the `Range` of an upload tells: `0-1023`, or `bytes=0-1023`.
///
/// `0-0` stands for one byte or for none, depending on the registry; so it says nothing.
pub(super) fn range_end(range: &str) -> Option<u64> {
    let range = range.trim();
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap_or(range)
        .split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    (first.trim() == "0" && last > 0)
        .then(|| last.checked_add(1))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_uploads() {
        for (range, bytes) in [
            ("0-1023", Some(1024)),
            ("bytes=0-1", Some(2)),
            (" 0-5 ", Some(6)),
            ("0-0", None),
            ("1-5", None),
            ("0--1", None),
            ("0-18446744073709551615", None),
            ("", None),
            ("5", None),
        ] {
            assert_eq!(range_end(range), bytes, "{range}");
        }
    }
}
