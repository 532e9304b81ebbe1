//! NARs with one thing spoilt, and the files that they are kept in.

use nix_compat::nar;
use nix_compat::narinfo::Compression;

use super::{COMPRESSIONS, Spoilt};
use crate::made::{compress, path, some_nar};

impl Spoilt {
    /// Files of NARs that are not those that were signed.
    pub(super) fn files(&mut self) {
        let nar = some_nar(2000);
        for compression in COMPRESSIONS {
            let right = compress(compression, &nar);
            let mut flipped = right.clone();
            flipped[right.len() / 2] ^= 1;
            let mut other = nar.clone();
            other[1000] ^= 1;
            let half = nar.len() / 2;
            for (what, file) in [
                ("right", right.clone()),
                ("one bit", flipped),
                ("another NAR", compress(compression, &other)),
                ("cut", right[..right.len() / 2].to_vec()),
                ("cut by a byte", right[..right.len() - 1].to_vec()),
                ("empty", Vec::new()),
                ("bytes after it", [&right[..], b"more"].concat()),
                ("zeros after it", [&right[..], &[0; 16]].concat()),
                ("twice", [&right[..], &right].concat()),
                (
                    "in two parts",
                    [
                        compress(compression, &nar[..half]),
                        compress(compression, &nar[half..]),
                    ]
                    .concat(),
                ),
                (
                    "a longer NAR",
                    compress(compression, &[&nar[..], b"more"].concat()),
                ),
                (
                    "a shorter NAR",
                    compress(compression, &nar[..nar.len() - 8]),
                ),
                ("compressed twice", compress(compression, &right)),
            ] {
                let name = format!("nar/{}.nar", path(self.paths.len() + 1).hash());
                self.add(
                    &format!("file of {compression}: {what}"),
                    &nar,
                    compression,
                    |text| text.into(),
                );
                self.made.write(&name, &file);
            }
        }
    }

    /// NARs that were signed as they are.
    pub(super) fn nars(&mut self) {
        let good = some_nar(10);
        let mut nars: Vec<(String, Vec<u8>)> = Vec::new();
        for at in (0..good.len()).step_by(8) {
            for (what, byte) in [("0xff", 0xff), ("one more", good[at].wrapping_add(1))] {
                let mut nar = good.clone();
                nar[at] = byte;
                nars.push((format!("byte {at} {what}"), nar));
            }
            nars.push((format!("cut at {at}"), good[..at].to_vec()));
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "a\0b",
            "\u{1}",
            "é",
            "a b",
            "-",
            "~nix~case~hack~1",
            "a~nix~case~hack~1",
            "\\",
        ] {
            nars.push((format!("name {name:?}"), directory(&[(name.as_bytes(), 8)])));
        }
        nars.push(("name \"\\xff\"".into(), directory(&[(b"\xff", 8)])));
        for length in [254, 255, 256, 4096] {
            let name = vec![b'x'; length];
            nars.push((format!("name of {length} bytes"), directory(&[(&name, 8)])));
        }
        for (what, names) in [
            ("right order", [&b"a"[..], b"b"]),
            ("wrong order", [b"b", b"a"]),
            ("a name twice", [b"a", b"a"]),
            ("names that differ in case", [b"A", b"a"]),
            ("a name that starts with the other", [b"a", b"a-"]),
        ] {
            nars.push((what.into(), directory(&names.map(|name| (name, 8)))));
        }
        for (what, bytes) in [
            ("bytes after the end", [&good[..], b"12345678"].concat()),
            ("zeros after the end", [&good[..], &[0; 8]].concat()),
            ("a NAR after the end", [&good[..], &good].concat()),
            (
                "padding that is not zero",
                file(&[b"type", b"regular", b"contents", b"x"], b"\x01"),
            ),
            ("no contents", file(&[b"type", b"regular"], b"\0")),
            (
                "executable without contents",
                file(&[b"type", b"regular", b"executable", b""], b"\0"),
            ),
            (
                "executable",
                file(
                    &[b"type", b"regular", b"executable", b"", b"contents", b"x"],
                    b"\0",
                ),
            ),
            (
                "executable that says something",
                file(
                    &[
                        b"type",
                        b"regular",
                        b"executable",
                        b"yes",
                        b"contents",
                        b"x",
                    ],
                    b"\0",
                ),
            ),
            (
                "executable after the contents",
                file(
                    &[b"type", b"regular", b"contents", b"x", b"executable", b""],
                    b"\0",
                ),
            ),
            (
                "contents twice",
                file(
                    &[b"type", b"regular", b"contents", b"x", b"contents", b"y"],
                    b"\0",
                ),
            ),
            (
                "type twice",
                file(
                    &[b"type", b"regular", b"type", b"regular", b"contents", b"x"],
                    b"\0",
                ),
            ),
            ("no type", file(&[b"contents", b"x"], b"\0")),
            ("unknown type", file(&[b"type", b"socket"], b"\0")),
            (
                "unknown field",
                file(
                    &[b"type", b"regular", b"mode", b"x", b"contents", b"x"],
                    b"\0",
                ),
            ),
            ("link", file(&[b"type", b"symlink", b"target", b"x"], b"\0")),
            (
                "link to nothing",
                file(&[b"type", b"symlink", b"target", b""], b"\0"),
            ),
            ("link without a target", file(&[b"type", b"symlink"], b"\0")),
            (
                "link with a NUL",
                file(&[b"type", b"symlink", b"target", b"a\0b"], b"\0"),
            ),
            (
                "link of 4095 bytes",
                file(&[b"type", b"symlink", b"target", &[b'x'; 4095]], b"\0"),
            ),
            (
                "link of 4096 bytes",
                file(&[b"type", b"symlink", b"target", &[b'x'; 4096]], b"\0"),
            ),
            ("empty directory", file(&[b"type", b"directory"], b"\0")),
            (
                "directory with a target",
                file(&[b"type", b"directory", b"target", b"x"], b"\0"),
            ),
            ("empty", Vec::new()),
            (
                "text",
                b"this is no NAR at all, but long enough to be one".to_vec(),
            ),
        ] {
            nars.push((what.into(), bytes));
        }
        for depth in [50, 300] {
            let mut nar = nar::Writer::new(Vec::new());
            let mut at = Vec::new();
            nar.directory(b"").unwrap();
            for _ in 0..depth {
                at.push("d");
                nar.directory(at.join("/").as_bytes()).unwrap();
            }
            nars.push((format!("{depth} levels"), nar.finish().unwrap()));
        }
        for (what, nar) in nars {
            if nar.is_empty() {
                continue;
            }
            self.add(&format!("NAR: {what}"), &nar, Compression::None, |text| {
                text.into()
            });
        }
    }
}

/// The string that a NAR has for some bytes.
fn string(bytes: &[u8], padding: &[u8]) -> Vec<u8> {
    let mut string = (bytes.len() as u64).to_le_bytes().to_vec();
    string.extend_from_slice(bytes);
    while !string.len().is_multiple_of(8) {
        string.extend_from_slice(padding);
    }
    string
}

/// A NAR whose root has these words.
fn file(words: &[&[u8]], padding: &[u8]) -> Vec<u8> {
    let mut nar = [string(b"nix-archive-1", b"\0"), string(b"(", b"\0")].concat();
    for (number, word) in words.iter().enumerate() {
        let last = if number + 1 == words.len() {
            padding
        } else {
            b"\0"
        };
        nar.extend(string(word, last));
    }
    nar.extend(string(b")", b"\0"));
    nar
}

/// A NAR with files of these names.
fn directory(names: &[(&[u8], usize)]) -> Vec<u8> {
    let mut nar = [&b"nix-archive-1"[..], b"(", b"type", b"directory"]
        .map(|word| string(word, b"\0"))
        .concat();
    for (name, size) in names {
        let content = vec![b'x'; *size];
        for word in [
            &b"entry"[..],
            b"(",
            b"name",
            name,
            b"node",
            b"(",
            b"type",
            b"regular",
            b"contents",
            &content,
            b")",
            b")",
        ] {
            nar.extend(string(word, b"\0"));
        }
    }
    nar.extend(string(b")", b"\0"));
    nar
}
