//! What is written as Nix writes it, and what is refused as Nix refuses it, or more.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use nix_compat::nar::{Limits, Problem, Reader, Writer};

use super::{Tree, read, strings, write};

fn refusal(bytes: &[u8]) -> String {
    match read(bytes, Limits::default()) {
        Ok((shown, _)) => panic!("accepted: {shown:?}"),
        Err(error) => error.to_string(),
    }
}

/// A NAR whose root is a directory with links of these names.
fn with_names(names: &[&[u8]]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = vec![b"nix-archive-1", b"(", b"type", b"directory"];
    for name in names {
        parts.extend::<[&[u8]; 11]>([
            b"entry", b"(", b"name", name, b"node", b"(", b"type", b"symlink", b"target", b"t",
            b")",
        ]);
        parts.push(b")");
    }
    parts.push(b")");
    strings(&parts)
}

#[test]
fn one_file_has_the_bytes_of_nix() {
    // `nix-store --dump` of an executable file with `hi` in it.
    let nix = strings(&[
        b"nix-archive-1",
        b"(",
        b"type",
        b"regular",
        b"executable",
        b"",
        b"contents",
        b"hi",
        b")",
    ]);
    assert_eq!(write(&Tree::File(true, b"hi".to_vec())).unwrap(), nix);
    let (shown, again) = read(nix.as_slice(), Limits::default()).unwrap();
    assert_eq!(shown, [(String::new(), "true hi".to_owned())]);
    assert_eq!(again, nix);
}

#[test]
fn names_are_bytes_in_bytewise_order() {
    let names: [&[u8]; 4] = [b"a", b"a.b", b"\xc3\xa9", b"\xff\xfe"];
    let (shown, _) = read(with_names(&names).as_slice(), Limits::default()).unwrap();
    let paths: Vec<&str> = shown.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["", "a", "a.b", "\\xc3\\xa9", "\\xff\\xfe"]);
}

#[test]
fn names_that_nix_refuses_are_refused() {
    let long = [b'x'; 256];
    let cases: [(&[&[u8]], &str); 9] = [
        (&[b"b", b"a"], "`a` comes after `b`"),
        (&[b"a", b"a"], "`a` comes after `a`"),
        (&[b".."], "`..` cannot be the name"),
        (&[b"."], "`.` cannot be the name"),
        (&[b""], "`` cannot be the name"),
        (&[b"a/b"], "`a/b` cannot be the name"),
        (&[b"/etc"], "`/etc` cannot be the name"),
        (&[b"a\0"], "`a\\x00` cannot be the name"),
        (&[&long], "a name of 256 bytes; the most is 255"),
    ];
    for (names, expected) in cases {
        let error = refusal(&with_names(names));
        assert!(error.contains(expected), "{names:?}: {error}");
    }
}

#[test]
fn padding_must_be_zero() {
    let file = write(&Tree::File(false, b"hello".to_vec())).unwrap();
    let contents = file.windows(5).position(|w| w == b"hello").unwrap();
    for offset in contents + 5..contents + 8 {
        let mut bytes = file.clone();
        bytes[offset] = 1;
        assert!(refusal(&bytes).contains("padding"), "byte {offset}");
    }
    // The padding of `nix-archive-1`, its last byte too.
    for offset in 21..24 {
        let mut bytes = file.clone();
        bytes[offset] = 1;
        assert!(refusal(&bytes).contains("padding"), "byte {offset}");
    }
}

#[test]
fn every_cut_is_noticed() {
    let tree = Tree::Directory(BTreeMap::from([
        (b"f".to_vec(), Tree::File(false, b"hello".to_vec())),
        (b"l".to_vec(), Tree::Symlink(b"f".to_vec())),
    ]));
    let nar = write(&tree).unwrap();
    for length in 0..nar.len() {
        assert!(
            refusal(&nar[..length]).contains("cut off"),
            "{length} bytes"
        );
    }
    let mut longer = nar;
    longer.push(0);
    assert!(refusal(&longer).contains("bytes follow"));
}

#[test]
fn forged_lengths_allocate_nothing() {
    let start = strings(&[b"nix-archive-1", b"(", b"type", b"regular", b"contents"]);
    for length in [u64::MAX, u64::MAX - 6, 1 << 36] {
        let nar = [start.as_slice(), &length.to_le_bytes(), b"abc"].concat();
        let error = refusal(&nar);
        assert!(
            error.contains("cut off") || error.contains(&format!("a file of {length} bytes")),
            "{error}"
        );
        let limits = Limits {
            size: 1 << 20,
            ..Limits::default()
        };
        let error = read(nar.as_slice(), limits).unwrap_err().to_string();
        assert!(
            error.contains(&format!("a file of {length} bytes")),
            "{error}"
        );
    }
    let name = strings(&[
        b"nix-archive-1",
        b"(",
        b"type",
        b"directory",
        b"entry",
        b"(",
        b"name",
    ]);
    let target = strings(&[b"nix-archive-1", b"(", b"type", b"symlink", b"target"]);
    let word = strings(&[b"nix-archive-1", b"("]);
    for (start, expected) in [
        (name, "a name of"),
        (target, "a link target of"),
        (word, "a string of"),
    ] {
        for length in [u64::MAX, 1 << 36] {
            let nar = [start.as_slice(), &length.to_le_bytes()].concat();
            assert!(refusal(&nar).contains(expected), "{}", refusal(&nar));
        }
    }
}

#[test]
fn nesting_ends() {
    let deep = |levels: usize| {
        let mut parts: Vec<&[u8]> = vec![b"nix-archive-1", b"(", b"type", b"directory"];
        for _ in 0..levels {
            parts.extend::<[&[u8]; 8]>([
                b"entry",
                b"(",
                b"name",
                b"d",
                b"node",
                b"(",
                b"type",
                b"directory",
            ]);
        }
        parts.push(b")");
        for _ in 0..levels {
            parts.extend::<[&[u8]; 2]>([b")", b")"]);
        }
        strings(&parts)
    };
    let (shown, _) = read(deep(2048).as_slice(), Limits::default()).unwrap();
    assert_eq!(shown.len(), 2049);
    assert!(refusal(&deep(2049)).contains("nested deeper than 2048"));
    // The same without an end: it is refused long before the input ends.
    let endless = strings(&[b"nix-archive-1", b"(", b"type", b"directory"]);
    let level = strings(&[
        b"entry",
        b"(",
        b"name",
        b"d",
        b"node",
        b"(",
        b"type",
        b"directory",
    ]);
    let endless = Cursor::new(endless).chain(Cycle(level, 0));
    let error = read(io::BufReader::new(endless), Limits::default()).unwrap_err();
    assert!(error.to_string().contains("nested deeper"), "{error}");
}

/// Bytes again and again.
struct Cycle(Vec<u8>, usize);

impl Read for Cycle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn other_grammar_is_refused() {
    let cases: [(&[&[u8]], &str); 9] = [
        (&[b"nix-archive-2", b"("], "a NAR's start"),
        (&[b"nix-archive-1", b"x"], "`(`"),
        (&[b"nix-archive-1", b"(", b"contents"], "`type`"),
        (
            &[b"nix-archive-1", b"(", b"type", b"fifo"],
            "`directory`, `regular` or `symlink`",
        ),
        (
            &[b"nix-archive-1", b"(", b"type", b"regular", b")"],
            "`contents`",
        ),
        (
            &[
                b"nix-archive-1",
                b"(",
                b"type",
                b"regular",
                b"executable",
                b"x",
            ],
            "an empty string",
        ),
        (
            &[b"nix-archive-1", b"(", b"type", b"symlink", b")"],
            "`target`",
        ),
        (
            &[b"nix-archive-1", b"(", b"type", b"directory", b"name"],
            "`entry` or `)`",
        ),
        (
            &[
                b"nix-archive-1",
                b"(",
                b"type",
                b"directory",
                b"entry",
                b"(",
                b"node",
            ],
            "`name`",
        ),
    ];
    for (parts, expected) in cases {
        let error = refusal(&strings(parts));
        assert!(
            error.ends_with(&format!("where {expected} was expected")),
            "{error}"
        );
    }
    for target in [&b""[..], b"a\0b"] {
        let nar = strings(&[
            b"nix-archive-1",
            b"(",
            b"type",
            b"symlink",
            b"target",
            target,
            b")",
        ]);
        assert!(refusal(&nar).contains("cannot be the target"));
    }
}

#[test]
fn a_nar_longer_than_announced_is_refused() {
    let nar = with_names(&[b"a", b"b"]);
    for size in 0..nar.len() as u64 {
        let limits = Limits {
            size,
            ..Limits::default()
        };
        let error = read(nar.as_slice(), limits).unwrap_err();
        assert!(
            matches!(error.problem, Problem::TooLong(_)),
            "{size}: {error}"
        );
    }
    let size = nar.len() as u64;
    read(
        nar.as_slice(),
        Limits {
            size,
            ..Limits::default()
        },
    )
    .unwrap();
}

#[test]
fn an_error_stays() {
    let nar = with_names(&[b"b", b"a"]);
    let mut reader = Reader::new(nar.as_slice(), Limits::default());
    while reader.next_entry().is_ok() {}
    assert!(reader.next_entry().is_err());
    assert!(reader.finish().is_err());
    let unread = Reader::new(nar.as_slice(), Limits::default());
    assert!(matches!(
        unread.finish().unwrap_err().problem,
        Problem::Unfinished
    ));
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let mut nar = Writer::new(Vec::new());
    nar.directory(b"").unwrap();
    nar.directory(b"b").unwrap();
    nar.symlink(b"b/x", b"t").unwrap();
    for path in [&b"a"[..], b"b", b"c/d", b"c/..", b""] {
        let mut nar = Writer::new(Vec::new());
        nar.directory(b"").unwrap();
        nar.directory(b"b").unwrap();
        assert!(nar.symlink(path, b"t").is_err(), "{path:?}");
        assert!(nar.finish().is_err());
    }
    let mut file = Writer::new(Vec::new());
    let error = file.file(b"", false, 6, &mut &b"hello"[..]).unwrap_err();
    assert!(matches!(error.problem, Problem::CutOff));
    assert!(Writer::new(Vec::new()).symlink(b"x", b"t").is_err());
    assert!(Writer::new(Vec::new()).finish().is_err());
}
