//! The text forms in which Nix lists store paths with their references: what
//! `exportReferencesGraph` writes (path, deriver, number of references, references) and what
//! `closureInfo` and `nix-store --dump-db` write (with NAR hash and size after the path).

use crate::nixhash::{NarHash, ParseHashError};
use crate::store_path::{ParseStorePathError, StoreDir, StorePath};

/// One store path of such a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The store path.
    pub path: StorePath,
    /// NAR hash and NAR size in bytes, in the form that has them.
    pub nar: Option<(NarHash, u64)>,
    /// References, in the order of the list.
    pub references: Vec<StorePath>,
}

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// A line should be a store path.
    #[error("line {line}: {why}")]
    Path {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        why: ParseStorePathError,
    },
    /// A line should be a hash.
    #[error("line {line}: {why}")]
    Hash {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        why: ParseHashError,
    },
    /// A line should be a number.
    #[error("line {line}: a number of {what} was expected")]
    Number {
        /// The line's number, from 1.
        line: usize,
        /// What the number counts.
        what: &'static str,
    },
    /// The text ends within a store path's lines.
    #[error("the list ends in the middle of {path}: it is not whole")]
    Truncated {
        /// The store path.
        path: StorePath,
    },
}

/// Reads a whole list. Which of the two forms it is shows in each path's second line: a hash, or
/// the deriver (which may be empty).
///
/// # Errors
///
/// A line is not what its place asks for, or the text ends too early.
pub fn parse(store_dir: &StoreDir, text: &str) -> Result<Vec<Registration>, RegistrationError> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .peekable();
    let mut registrations = Vec::new();
    while let Some((line, text)) = lines.next() {
        let path = parse_path(store_dir, line, text)?;
        let mut next = || {
            lines
                .next()
                .ok_or_else(|| RegistrationError::Truncated { path: path.clone() })
        };
        let (line, second) = next()?;
        let nar = if second.is_empty() || second.starts_with('/') {
            None
        } else {
            let hash =
                NarHash::parse(second).map_err(|why| RegistrationError::Hash { line, why })?;
            let (line, size) = next()?;
            let size = size.parse().map_err(|_| RegistrationError::Number {
                line,
                what: "bytes",
            })?;
            next()?;
            Some((hash, size))
        };
        let (line, count) = next()?;
        let count: usize = count.parse().map_err(|_| RegistrationError::Number {
            line,
            what: "references",
        })?;
        let mut references = Vec::new();
        for _ in 0..count {
            let (line, reference) = next()?;
            references.push(parse_path(store_dir, line, reference)?);
        }
        registrations.push(Registration {
            path,
            nar,
            references,
        });
    }
    Ok(registrations)
}

fn parse_path(
    store_dir: &StoreDir,
    line: usize,
    text: &str,
) -> Result<StorePath, RegistrationError> {
    store_dir
        .parse(text)
        .map_err(|why| RegistrationError::Path { line, why })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "/nix/store/zwyqd6z1qv0wif6l1110qdv1fwzfnffx-a";
    const B: &str = "/nix/store/1zj9bpvyg7c7yyxr0vv36bh6wj35hnkg-b";

    #[test]
    fn both_forms() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let with = format!("{A}\n{hash}\n120\n{A}.drv\n2\n{A}\n{B}\n{B}\n{hash}\n7\n\n0\n");
        let without = format!("{A}\n\n2\n{A}\n{B}\n{B}\n{B}.drv\n0\n");
        let store_dir = StoreDir::default();
        let a = store_dir.parse(A).unwrap();
        let b = store_dir.parse(B).unwrap();
        let with = parse(&store_dir, &with).unwrap();
        assert_eq!(with[0].nar, Some((NarHash::parse(hash).unwrap(), 120)));
        assert_eq!(with[0].references, [a, b.clone()]);
        let without = parse(&store_dir, &without).unwrap();
        assert_eq!(without[0].references, with[0].references);
        assert_eq!((&without[1].path, without[1].nar), (&b, None));
    }

    #[test]
    fn a_list_that_is_cut_is_refused() {
        let whole = format!("{A}\n\n2\n{A}\n{B}\n{B}\n\n0\n");
        let lines: Vec<&str> = whole.lines().collect();
        for end in [1, 2, 3, 4, 6, 7] {
            assert!(
                parse(&StoreDir::default(), &lines[..end].join("\n")).is_err(),
                "{end} lines"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_list_or_an_error(text in r"((/nix/store/zwyqd6z1qv0wif6l1110qdv1fwzfnffx-[a-z]|[0-9]{0,20}|.{0,5})\n?){0,12}") {
            let _ = parse(&StoreDir::default(), &text);
        }
    }
}
