//! Parts of files.

/// Which part of a file an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Bytes of the file before the part.
    pub start: u64,
    /// Bytes of the whole file, where the server says it.
    pub length: Option<u64>,
}

/// Reads the value of `Content-Range`: `bytes START-END/LENGTH`, where the length may be `*`
/// (RFC 9110, section 14.4).
pub fn content_range(value: &str) -> Option<ContentRange> {
    let (range, length) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let length = match length {
        "*" => None,
        length => Some(length.parse().ok()?),
    };
    let start = start.trim().parse().ok()?;
    Some(ContentRange { start, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_answers() {
        for (value, start, length) in [
            ("bytes 5-9/10", 5, Some(10)),
            ("bytes 5-9/*", 5, None),
            (" bytes 0-0/1 ", 0, Some(1)),
        ] {
            assert_eq!(content_range(value), Some(ContentRange { start, length }));
        }
        for value in [
            "",
            "bytes */10",
            "bytes 5/10",
            "lines 1-2/3",
            "bytes a-9/10",
            "bytes 5-9/x",
        ] {
            assert_eq!(content_range(value), None, "{value}");
        }
    }
}
