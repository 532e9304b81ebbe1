//! Text fit for a terminal and for logs, whoever wrote it: a binary cache, a registry, the files of a
//! base image, or the user.
//!
//! Everything that the program prints for people goes through here last. So no control character
//! reaches the terminal, where it could hide or forge text, no secret reaches a log, and no line is
//! longer than somebody wants to read.

use std::fmt::Write as _;

use nix_compat::shown::steers;

/// Longest line, in characters.
const MAX_LINE: usize = 2000;

/// Characters that stay of a longer line's end, which says the cause.
const TAIL: usize = 600;

/// Shortest secret key in base 64. A public one has 44 characters.
const SECRET_KEY: usize = 80;

/// One line: also line breaks are escaped, and what is too long is cut.
pub fn line(text: &str) -> String {
    let text = escaped(&without_secrets(text), |_| false);
    let length = text.chars().count();
    if length <= MAX_LINE {
        return text;
    }
    let start: String = text.chars().take(MAX_LINE - TAIL).collect();
    let end: String = text.chars().skip(length - TAIL).collect();
    format!("{start} … {end}")
}

/// Lines of a table or a list. Their breaks stay.
pub fn lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

/// JSON, with the same meaning: what its own rules leave in strings, and a terminal obeys, is escaped
/// by them.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if !steers(character) || character == '\n' {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

fn escaped(text: &str, is_kept: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if !steers(character) || is_kept(character) {
            out.push(character);
        } else {
            out.extend(character.escape_default());
        }
    }
    out
}

/// The text without the secrets that somebody may have typed where none belong, or that a server
/// repeats: passwords in addresses, tokens, signatures of addresses, secret keys.
///
/// The parts of the program do not print secrets themselves; this is for what they cannot know.
pub fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Whether the word before announces a token.
    let mut is_expected = false;
    let is_border = |c: char| c.is_whitespace() || "\"'`<>".contains(c);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_border).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let trimmed = word.trim_end_matches([',', ';', ':', '.', ')', ']', '}']);
        if is_expected && is_token(trimmed) {
            out.push('…');
        } else {
            out += &without_secrets_in_word(trimmed);
        }
        out += &word[trimmed.len()..];
        if !word.is_empty() {
            let lower = trimmed.to_ascii_lowercase();
            let announcing = ["bearer", "basic", "authorization"];
            is_expected = announcing.iter().any(|end| lower.ends_with(end));
        }
        let border = after.chars().next().map_or(0, char::len_utf8);
        out += &after[..border];
        rest = &after[border..];
    }
    out
}

/// Whether a word is a token or base 64, and no word of a language.
fn is_token(word: &str) -> bool {
    let is_one = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let looks_random = |b: &u8| b.is_ascii_digit() || b.is_ascii_uppercase() || *b == b'=';
    word.len() >= 8 && word.bytes().all(is_one) && word.as_bytes()[1..].iter().any(looks_random)
}

fn without_secrets_in_word(word: &str) -> String {
    // A list of addresses; their passwords may have commas, too.
    let mut addresses: Vec<String> = Vec::new();
    for part in word.split(',') {
        match addresses.last_mut() {
            Some(last) if !part.contains("://") => {
                last.push(',');
                *last += part;
            }
            _ => addresses.push(part.to_owned()),
        }
    }
    let addresses: Vec<String> = addresses
        .iter()
        .map(|text| without_password(text))
        .collect();
    let mut word = addresses.join(",");
    if let Some((before, query)) = word.split_once('?') {
        let pairs: Vec<String> = query.split('&').map(without_value).collect();
        word = format!("{before}?{}", pairs.join("&"));
    }
    match word.rsplit_once(':') {
        Some((name, key)) if is_secret_key(key) => format!("{name}:…"),
        _ => word,
    }
}

fn is_secret_key(key: &str) -> bool {
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    key.len() >= SECRET_KEY && key.bytes().all(is_base64)
}

/// `https://user:password@host/path` without what stands before the `@`.
fn without_password(word: &str) -> String {
    let (scheme, rest) = match word.find("://") {
        Some(at) => word.split_at(at + 3),
        None => ("", word),
    };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..host_end];
    let user_end = match authority.rfind('@') {
        // A user without a password, or an image's digest behind the `@`. `https://TOKEN@host` is secret.
        Some(at)
            if !authority[..at].contains(':')
                && (scheme.is_empty() || scheme.ends_with("ssh://")) =>
        {
            None
        }
        Some(at) if is_digest(&rest[at + 1..]) => None,
        Some(at) => Some(at),
        // A password with a `/` in it ends later. A port would be a number.
        None => {
            let port = authority.split_once(':').map(|(_, port)| port);
            let is_password = !scheme.is_empty()
                && port.is_some_and(|port| {
                    !port.is_empty() && !port.bytes().all(|b| b.is_ascii_digit())
                });
            rest.rfind('@').filter(|_| is_password)
        }
    };
    match user_end {
        Some(at) => format!("{scheme}…@{}", &rest[at + 1..]),
        None => word.to_owned(),
    }
}

fn is_digest(text: &str) -> bool {
    text.starts_with("sha256:") || text.starts_with("sha512:")
}

/// `NAME=VALUE` of an address without the value, if the name says that it is secret.
fn without_value(pair: &str) -> String {
    const SECRETS: [&str; 8] = [
        "token",
        "secret",
        "password",
        "passwd",
        "sig",
        "signature",
        "credential",
        "key",
    ];
    match pair.split_once('=') {
        Some((name, _))
            if SECRETS
                .iter()
                .any(|secret| name.to_ascii_lowercase().ends_with(secret)) =>
        {
            format!("{name}=…")
        }
        _ => pair.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_escapes() {
        assert_eq!(
            line("a\u{1b}[31mb\u{7}\0\r\n\t"),
            "a\\u{1b}[31mb\\u{7}\\u{0}\\r\\n\\t"
        );
        assert_eq!(
            line("\u{9b}31m\u{7f}\u{202e}x"),
            "\\u{9b}31m\\u{7f}\\u{202e}x"
        );
        assert_eq!(lines("a\u{1b}]0;x\u{7}\nb"), "a\\u{1b}]0;x\\u{7}\nb");
        for text in ["ünï 日本 🦀 … └ █▏", "back\\slash \"quotes\""] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = serde_json::json!({"a": "\u{9b}31m\u{202e}\u{7f}\u{e0041}\n\u{1b}"});
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| !steers(c) || c == '\n'), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }

    #[test]
    fn long_lines_keep_their_start_and_their_end() {
        let text = format!("error: {}: the cause", "x".repeat(100_000));
        let cut = line(&text);
        assert!(cut.chars().count() < MAX_LINE + 10);
        assert!(
            cut.starts_with("error: xx") && cut.ends_with("xx: the cause"),
            "{cut}"
        );
    }

    #[test]
    fn secrets_are_left_out() {
        let secret = "c2VjcmV0".repeat(11);
        for (text, shown) in [
            (
                "cannot fetch https://me:pw@host/x: gone",
                "cannot fetch https://…@host/x: gone",
            ),
            ("`https://me:p@w@host:1/x`", "`https://…@host:1/x`"),
            ("https://me:p/w@host/x", "https://…@host/x"),
            ("https://token@host", "https://…@host"),
            ("https://a:b@c,https://d:e,f@g", "https://…@c,https://…@g"),
            ("s3://KEY:SECRET@bucket?region=x", "s3://…@bucket?region=x"),
            ("\"me:pw@host/app\"", "\"…@host/app\""),
            ("a=https://me:pw@host,b", "a=https://…@host,b"),
            (
                "https://h/x?a=1&X-Amz-Signature=00ff&b=2",
                "https://h/x?a=1&X-Amz-Signature=…&b=2",
            ),
            ("https://h/x?token=abc", "https://h/x?token=…"),
            (
                "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.x",
                "Authorization: Bearer …",
            ),
            (
                "authorization: Basic dXNlcjpwdw==",
                "authorization: Basic …",
            ),
            ("Bearer abcdef0123456789", "Bearer …"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
        for (before, after) in [("", ""), ("--trusted-key ", ": bad"), ("`", "`, and")] {
            let text = format!("{before}cache-1:{secret}{after}");
            assert_eq!(without_secrets(&text), format!("{before}cache-1:…{after}"));
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let hex = "0".repeat(64);
        for text in [
            format!("localhost:5000/a:1@sha256:{hex}"),
            format!("app:1@sha256:{hex}"),
            "docker://localhost:5000/app:1".to_owned(),
            format!("docker://app:1@sha256:{hex}"),
            "https://host:443/pkg@1.0/x".to_owned(),
            "WWW-Authenticate: Bearer realm=\"https://host/token\"".to_owned(),
            "Basic authentication is not offered".to_owned(),
            "layer 1 of 2: hello-2.10, 1.2 kB".to_owned(),
            "mail me@host".to_owned(),
            "ssh://me@host".to_owned(),
            "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=".to_owned(),
            "{\"a\": [1]}".to_owned(),
            String::new(),
        ] {
            assert_eq!(without_secrets(&text), text);
        }
    }
}
