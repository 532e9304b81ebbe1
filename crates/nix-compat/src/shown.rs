//! Texts from outside, fit for a terminal.

/// Longest text that is shown whole, in characters.
const MOST: usize = 300;

/// A text of a cache, an archive or a database as errors show it: without control characters,
/// which could steer a terminal, and cut after 300 characters.
///
/// Control characters and those that change the direction or the width of what follows are escaped
/// as Rust escapes them (`\n`, `\x1b`, `\u{202e}`), and a byte that is not UTF-8 as `\xff`.
pub fn shown(text: impl AsRef<[u8]>) -> String {
    let mut shown = String::new();
    let mut left = MOST;
    for chunk in text.as_ref().utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                return shown + "…";
            }
            left -= 1;
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii_control() => {
                    shown.extend(byte.escape_ascii().map(char::from));
                }
                _ if steers(character) => shown.extend(character.escape_unicode()),
                _ => shown.push(character),
            }
        }
        for byte in chunk.invalid() {
            if left == 0 {
                return shown + "…";
            }
            left -= 1;
            shown.extend(byte.escape_ascii().map(char::from));
        }
    }
    shown
}

/// Whether a terminal does something else with a character than to show it: it controls the
/// terminal, changes the order of others, or hides between them.
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        for (text, expected) in [
            (&b"nar/x.nar"[..], "nar/x.nar"),
            ("Zoë's `ß`".as_bytes(), "Zoë's `ß`"),
            (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            (b"a\0b\r\nc\x7f", "a\\x00b\\r\\nc\\x7f"),
            (
                "\u{9b}31m \u{202e}txt".as_bytes(),
                "\\u{9b}31m \\u{202e}txt",
            ),
            (b"\xff\x80x", "\\xff\\x80x"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown("x".repeat(300)), "x".repeat(300));
        assert_eq!(shown("é".repeat(100_000)), "é".repeat(300) + "…");
        assert_eq!(shown([0xff; 500]).chars().count(), 300 * 4 + 1);
    }
}
