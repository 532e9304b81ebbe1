//! Whether a command printed what a page shows of it.
//!
//! Pages show the output of a large closure, tests have a small one. So numbers, sizes, digests and
//! bars are equal to any others, as are the widths of columns. A line `…` stands for any lines, and
//! `…` in a line for any text.

/// Compares outputs; the error is the first line that is missing.
pub fn matches(expected: &[String], printed: &str) -> Result<(), String> {
    let printed: Vec<String> = printed.lines().map(plain).collect();
    let mut rest = &printed[..];
    let mut skips = false;
    for line in expected {
        if line == "…" {
            skips = true;
            continue;
        }
        let wanted = plain(line);
        let found = rest.iter().position(|line| line_matches(&wanted, line));
        match found {
            Some(at) if at == 0 || skips => rest = &rest[at + 1..],
            _ => return Err(line.clone()),
        }
        skips = false;
    }
    if skips || rest.is_empty() {
        return Ok(());
    }
    Err(format!("nothing more, but there is: {}", rest[0]))
}

/// A line without what differs from closure to closure.
fn plain(line: &str) -> String {
    let words = line.split_whitespace().map(plain_word);
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn plain_word(word: &str) -> String {
    if let Some((before, _)) = word.split_once("sha256:") {
        return format!("{before}sha256:");
    }
    if let Some((before, path)) = word.split_once("/nix/store/")
        && let Some(name) = path.get(33..)
    {
        return format!("{before}/nix/store/{}", numbers(name));
    }
    let bare = word.trim_end_matches(',');
    if ["B", "kB", "MB", "GB"].contains(&bare) {
        return word.replace(bare, "B");
    }
    // The eighths of a block that bars are made of.
    if word.chars().all(|c| ('█'..='▏').contains(&c)) {
        return String::new();
    }
    numbers(word)
}

/// Each number is one digit.
fn numbers(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars() {
        let is_number = c.is_ascii_digit();
        if is_number && out.ends_with("0.") {
            out.pop();
        } else if is_number && !out.ends_with('0') {
            out.push('0');
        } else if !is_number {
            out.push(c);
        }
    }
    out
}

fn line_matches(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut ends_open = false;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        ends_open = part.is_empty();
    }
    ends_open || rest.is_empty()
}

#[test]
fn outputs_match_but_for_their_numbers() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = "start\n2 of 94 layers are sent, 3.03 MB\nid sha256:0123\n";
    for expected in [
        "start\n3 of 5 layers are sent, 12 kB\nid sha256:89ab…",
        "…\n1 of  1 layers are sent, 1 B\n…",
        "start\n… are sent, …\n…",
    ] {
        assert_eq!(matches(&lines(expected), printed), Ok(()), "{expected}");
    }
    for expected in [
        "start",
        "start\n2 of 94 layers are gone, 3.03 MB\n…",
        "2 of 94 layers are sent, 3.03 MB\n…",
    ] {
        assert!(matches(&lines(expected), printed).is_err(), "{expected}");
    }
}
