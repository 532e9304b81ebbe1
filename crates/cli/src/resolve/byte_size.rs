//! Sizes as they are typed.

/// A number of bytes, which may have a unit: kB, MB, GB, or KiB, MiB, GiB.
pub fn byte_size(text: &str) -> Result<u64, &'static str> {
    const EXPECTED: &str = "expected a number of bytes, or one with kB, MB, GB, KiB, MiB or GiB";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match text[digits.len()..].trim_start() {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(EXPECTED),
    };
    let number: u64 = digits.parse().map_err(|_| EXPECTED)?;
    number.checked_mul(unit).ok_or("that is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_unless_they_have_a_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1234", Some(1234)),
            ("5 MB", Some(5_000_000)),
            ("4GiB", Some(4 << 30)),
            ("1kB", Some(1000)),
            ("", None),
            ("GiB", None),
            ("4G", None),
            ("-1", None),
            ("1.5GB", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551615kB", None),
        ] {
            assert_eq!(byte_size(text).ok(), expected, "{text}");
        }
    }
}
