//! Times of an image: when it was created, and what its files are dated.

use time::format_description::well_known::{Iso8601, Rfc3339};
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

/// A moment, with the offset from UTC that it is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp(OffsetDateTime);

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a time: `now`, `2024-02-29T12:34:56Z`, `20240229123456` (a flake's lastModifiedDate) \
     or `@1709210096` (seconds since 1970) was expected"
)]
pub struct ParseTimeError(String);

impl Timestamp {
    /// One second after 1970 began: what Nix dates its files.
    pub const NIX: Self = Self(time::macros::datetime!(1970-01-01 00:00:01 UTC));

    /// The machine's time.
    pub fn now() -> Self {
        Self(OffsetDateTime::now_utc())
    }

    /// Reads a time in ISO 8601 (without an offset: UTC), a flake's `lastModifiedDate`, `@` and
    /// seconds since 1970, or `now`, which is taken from `now`.
    ///
    /// # Errors
    ///
    /// The text is none of these.
    pub fn parse(text: &str, now: Self) -> Result<Self, ParseTimeError> {
        let error = || ParseTimeError(text.chars().take(100).collect());
        if text == "now" {
            return Ok(now);
        }
        if let Some(seconds) = text.strip_prefix('@') {
            let seconds = seconds.parse().map_err(|_| error())?;
            return OffsetDateTime::from_unix_timestamp(seconds)
                .map(Self)
                .map_err(|_| error());
        }
        let compact = format_description!("[year][month][day][hour][minute][second]");
        // `date` takes a space where ISO 8601 has a `T`, and a day alone.
        let spaced = text.replacen(' ', "T", 1);
        OffsetDateTime::parse(&spaced, &Rfc3339)
            .or_else(|_| OffsetDateTime::parse(&spaced, &Iso8601::PARSING))
            .or_else(|_| {
                PrimitiveDateTime::parse(&spaced, &Iso8601::PARSING)
                    .map(PrimitiveDateTime::assume_utc)
            })
            .or_else(|_| PrimitiveDateTime::parse(text, compact).map(PrimitiveDateTime::assume_utc))
            .or_else(|_| {
                Date::parse(text, &Iso8601::PARSING).map(|day| day.midnight().assume_utc())
            })
            .ok()
            // The last hours of the year 9999 west of Greenwich are in the year 10000, which has no text.
            .filter(|time| time.checked_to_offset(time::UtcOffset::UTC).is_some())
            .map(Self)
            .ok_or_else(error)
    }

    /// The same moment in whole seconds of UTC.
    pub fn in_utc(self) -> Self {
        let utc = self.0.to_offset(time::UtcOffset::UTC);
        Self(utc.replace_nanosecond(0).unwrap_or(utc))
    }

    /// Seconds since 1970; a fraction is cut off towards zero.
    pub fn seconds(self) -> i64 {
        let nanoseconds = self.0.unix_timestamp_nanos();
        (nanoseconds / 1_000_000_000) as i64
    }

    /// The text that Python's `isoformat` gives: microseconds only where there are any, and always
    /// a numeric offset.
    pub fn python_text(self) -> String {
        let whole = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        let offset = format_description!("[offset_hour sign:mandatory]:[offset_minute]");
        let fraction = match self.0.microsecond() {
            0 => String::new(),
            microseconds => format!(".{microseconds:06}"),
        };
        // The descriptions name only parts that every time has.
        let part = |description| self.0.format(description).unwrap_or_default();
        format!("{}{fraction}{}", part(whole), part(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_whose_utc_has_no_text_is_refused() {
        let parse = |text| Timestamp::parse(text, Timestamp::NIX);
        assert!(parse("9999-12-31T23:59:59-01:00").is_err());
        let last = parse("9999-12-31T23:59:59+01:00").unwrap();
        assert_eq!(last.in_utc().python_text(), "9999-12-31T22:59:59+00:00");
    }

    #[test]
    fn each_form_is_read() {
        let cases = [
            ("1970-01-01T00:00:01Z", "1970-01-01T00:00:01+00:00", 1),
            (
                "2024-02-29T12:34:56+02:00",
                "2024-02-29T12:34:56+02:00",
                1_709_202_896,
            ),
            (
                "2024-02-29T12:34:56.5-03:30",
                "2024-02-29T12:34:56.500000-03:30",
                1_709_222_696,
            ),
            (
                "2024-02-29T12:34:56",
                "2024-02-29T12:34:56+00:00",
                1_709_210_096,
            ),
            (
                "2024-02-29 12:34:56",
                "2024-02-29T12:34:56+00:00",
                1_709_210_096,
            ),
            ("2024-02-29", "2024-02-29T00:00:00+00:00", 1_709_164_800),
            ("20240229123456", "2024-02-29T12:34:56+00:00", 1_709_210_096),
            ("@1709210096", "2024-02-29T12:34:56+00:00", 1_709_210_096),
            ("1969-12-31T23:59:59+00:00", "1969-12-31T23:59:59+00:00", -1),
            ("now", "1970-01-01T00:00:01+00:00", 1),
        ];
        for (text, python, seconds) in cases {
            let time = Timestamp::parse(text, Timestamp::NIX).unwrap();
            assert_eq!(
                (time.python_text().as_str(), time.seconds()),
                (python, seconds),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "yesterday",
            "2024-13-01T00:00:00Z",
            "@",
            "@x",
            "99999999999999",
            "2024-02-30T00:00:00Z",
        ] {
            assert!(Timestamp::parse(text, Timestamp::NIX).is_err(), "{text}");
        }
    }
}
