//! Paths that nobody signed, with content addresses that fit and others.

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use nix_compat::nar;
use sha2::{Digest as _, Sha256, Sha512};

use super::Spoilt;
use crate::made::{path, some_nar};

/// What is done to the text of a narinfo, and its name.
type Edit<'a> = (&'a str, &'a dyn Fn(&str) -> String);

impl Spoilt {
    /// Paths that nobody signed, and that their names prove, or not.
    pub(super) fn addressed(&mut self) {
        let flat = |content: &[u8], executable: bool| {
            let mut nar = nar::Writer::new(Vec::new());
            let mut bytes = content;
            nar.file(b"", executable, content.len() as u64, &mut bytes)
                .unwrap();
            nar.finish().unwrap()
        };
        let tree = some_nar(30);
        let hex = |bytes: &[u8]| HEXLOWER.encode(&Sha256::digest(bytes));
        let long = |bytes: &[u8]| HEXLOWER.encode(&Sha512::digest(bytes));
        let same = |text: &str| text.as_bytes().to_vec();
        let content = b"content of a file";
        let other = [path(0)];
        let by_nar = format!("fixed:r:sha256:{}", hex(&tree));
        let by_file = format!("fixed:sha256:{}", hex(content));
        let by_text = format!("text:sha256:{}", hex(content));
        for (what, address, nar, references) in [
            ("NAR", &by_nar, &tree, &[][..]),
            ("NAR with a reference", &by_nar, &tree, &other),
            (
                "NAR, SHA-512",
                &format!("fixed:r:sha512:{}", long(&tree)),
                &tree,
                &[],
            ),
            (
                "NAR, SHA-512, with a reference",
                &format!("fixed:r:sha512:{}", long(&tree)),
                &tree,
                &other,
            ),
            ("NAR, another tree", &by_nar, &some_nar(31), &[]),
            ("file", &by_file, &flat(content, false), &[]),
            (
                "file with a reference",
                &by_file,
                &flat(content, false),
                &other,
            ),
            (
                "file, SHA-512",
                &format!("fixed:sha512:{}", long(content)),
                &flat(content, false),
                &[],
            ),
            ("file, executable", &by_file, &flat(content, true), &[]),
            ("file, other content", &by_file, &flat(b"other", false), &[]),
            ("file, a directory", &by_file, &tree, &[]),
            ("text", &by_text, &flat(content, false), &[]),
            (
                "text with a reference",
                &by_text,
                &flat(content, false),
                &other,
            ),
            ("text, executable", &by_text, &flat(content, true), &[]),
            ("text, other content", &by_text, &flat(b"other", false), &[]),
            ("text, a directory", &by_text, &tree, &[]),
            (
                "text, SHA-512",
                &format!("text:sha512:{}", long(content)),
                &flat(content, false),
                &[],
            ),
            (
                "base 64",
                &format!("fixed:r:sha256:{}", BASE64.encode(&Sha256::digest(&tree))),
                &tree,
                &[],
            ),
            (
                "capitals",
                &format!("fixed:r:sha256:{}", HEXUPPER.encode(&Sha256::digest(&tree))),
                &tree,
                &[],
            ),
            ("rubbish", &"rubbish".to_owned(), &tree, &[]),
        ] {
            self.add_addressed(&format!("CA: {what}"), address, nar, references, same);
        }
        let edits: &[Edit] = &[
            ("a reference more", &|text| {
                text.replace(
                    "References: \n",
                    &format!("References: {}\n", other[0].base_name()),
                )
            }),
            ("no references", &|text| text.replace("References: \n", "")),
            ("another hash", &|text| {
                text.replace("CA: fixed:r:sha256:", "CA: fixed:r:sha256:0")
                    .replacen(&hex(&tree)[63..], "", 1)
            }),
            ("another method", &|text| {
                text.replace("CA: fixed:r:", "CA: fixed:")
            }),
            ("twice", &|text| format!("{text}CA: {by_nar}\n")),
            ("rubbish before", &|text| text.replace("CA:", "CA: x\nCA:")),
            ("two spaces", &|text| text.replace("CA:", "CA: ")),
            ("a space at the end", &|text| {
                text.replace(&by_nar, &format!("{by_nar} "))
            }),
            ("a stranger's signature", &|text| {
                format!("{text}Sig: other-1:{}==\n", "A".repeat(86))
            }),
            ("rubbish for a signature", &|text| format!("{text}Sig: x\n")),
        ];
        for &(what, edit) in edits {
            self.add_addressed(&format!("CA: {what}"), &by_nar, &tree, &[], |text| {
                edit(text).into()
            });
        }
    }
}
