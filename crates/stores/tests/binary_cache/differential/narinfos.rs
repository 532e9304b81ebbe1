//! Narinfo files with one line or value spoilt.

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use sha2::{Digest as _, Sha512};

use super::{COMPRESSIONS, Spoilt};
use crate::made::{path, sha256, some_nar};

/// What is done to a value, and its name; the whole line comes back.
type Edit<'a> = (&'a str, &'a dyn Fn(&str) -> String);
type EditText<'a> = &'a dyn Fn(&str) -> Vec<u8>;

impl Spoilt {
    pub(super) fn narinfos(&mut self) {
        for field in [
            "StorePath",
            "URL",
            "Compression",
            "FileHash",
            "FileSize",
            "NarHash",
            "NarSize",
            "References",
            "Deriver",
            "Sig",
        ] {
            let f = field;
            let edits: &[Edit] = &[
                ("left out", &|_| String::new()),
                ("twice", &|v| format!("{f}: {v}\n{f}: {v}\n")),
                ("rubbish before", &|v| format!("{f}: x\n{f}: {v}\n")),
                ("rubbish after", &|v| format!("{f}: {v}\n{f}: x\n")),
                ("empty before", &|v| format!("{f}: \n{f}: {v}\n")),
                ("empty", &|_| format!("{f}: \n")),
                ("empty without a space", &|_| format!("{f}:\n")),
                ("without a space", &|v| format!("{f}:{v}\n")),
                ("two spaces", &|v| format!("{f}:  {v}\n")),
                ("a tab for the space", &|v| format!("{f}:\t{v}\n")),
                ("a space at the end", &|v| format!("{f}: {v} \n")),
                ("a tab at the end", &|v| format!("{f}: {v}\t\n")),
                ("a carriage return", &|v| format!("{f}: {v}\r\n")),
                ("lower case", &|v| format!("{}: {v}\n", f.to_lowercase())),
                ("a space before", &|v| format!(" {f}: {v}\n")),
                ("rubbish", &|_| format!("{f}: rubbish\n")),
                ("a NUL", &|v| format!("{f}: {v}\0\n")),
                ("a blank line before", &|v| format!("\n{f}: {v}\n")),
            ];
            for &(what, edit) in edits {
                // Nix 2.34 crashes.
                if (field, what) == ("StorePath", "empty")
                    || (field, what) == ("StorePath", "empty before")
                {
                    continue;
                }
                self.line(what, field, edit);
            }
        }
        let texts: &[(&str, EditText)] = &[
            ("nothing", &|text| text.into()),
            ("no end of the last line", &|text| text.trim_end().into()),
            ("cut in half", &|text| text[..text.len() / 2].into()),
            ("empty file", &|_| Vec::new()),
            ("blank line at the end", &|text| format!("{text}\n").into()),
            ("blank line at the start", &|text| {
                format!("\n{text}").into()
            }),
            ("carriage returns", &|text| {
                text.replace('\n', "\r\n").into()
            }),
            ("a line without a colon", &|text| {
                format!("{text}line\n").into()
            }),
            ("a line without a colon first", &|text| {
                format!("line\n{text}").into()
            }),
            ("unknown field", &|text| format!("{text}Future: x\n").into()),
            ("unknown empty field", &|text| {
                format!("{text}Future:\n").into()
            }),
            ("long unknown field", &|text| {
                format!("{text}Future: {}\n", "x".repeat(100_000)).into()
            }),
            ("unknown field that is no UTF-8", &|text| {
                [text.as_bytes(), b"Future: \xff\0\n"].concat()
            }),
            ("byte order mark", &|text| format!("\u{feff}{text}").into()),
            ("reversed", &|text| {
                text.lines()
                    .rev()
                    .map(|line| format!("{line}\n"))
                    .collect::<String>()
                    .into()
            }),
            ("HTML", &|_| {
                b"<html><body>404: Not found</body></html>\n".to_vec()
            }),
        ];
        for &(what, edit) in texts {
            self.text(what, edit);
        }
    }

    pub(super) fn values(&mut self) {
        let size = some_nar(40).len();
        for value in [
            "0",
            "-1",
            &format!("+{size}"),
            &format!("0{size}"),
            &format!("{size}.0"),
            &format!("{size:#x}"),
            &format!("{}", size + 1),
            &format!("{}", size - 1),
            &format!("-{size}"),
            "99999999999999999999999",
            "18446744073709551615",
        ] {
            self.line(value, "NarSize", |_| format!("NarSize: {value}\n"));
        }
        for value in ["0", "-1", "+1", "1", "07", "1.0", "99999999999999999999999"] {
            self.line(value, "FileSize", |_| format!("FileSize: {value}\n"));
        }
        let digest = sha256(&some_nar(40));
        let hex = HEXLOWER.encode(&digest.0);
        let sri = format!("sha256-{}", BASE64.encode(&digest.0));
        let sha512 = HEXLOWER.encode(&Sha512::digest(some_nar(40)));
        for value in [
            format!("sha256:{hex}"),
            format!("sha256:{}", HEXUPPER.encode(&digest.0)),
            sri.clone(),
            sri.trim_end_matches('=').to_owned(),
            format!("sha256:{}", BASE64.encode(&digest.0)),
            hex.clone(),
            format!("SHA256:{hex}"),
            format!("sha256:{}", &hex[1..]),
            format!("sha512:{sha512}"),
            "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709".to_owned(),
            "sha256:".to_owned(),
            format!("sha256:{}", "0".repeat(52)),
            format!("sha256:{}", "z".repeat(52)),
        ] {
            for field in ["NarHash", "FileHash"] {
                self.line(&value, field, |_| format!("{field}: {value}\n"));
            }
        }
        let (other, unknown) = (path(0), path(99_999));
        let (other, unknown) = (other.base_name(), unknown.base_name());
        let edits: &[Edit] = &[
            ("two spaces between", &|v| v.replace(' ', "  ")),
            ("a tab between", &|v| v.replace(' ', "\t")),
            ("one twice", &|v| format!("{v} {other}")),
            ("the other way round", &|v| {
                v.split(' ').rev().collect::<Vec<_>>().join(" ")
            }),
            ("one fewer", &|_| other.to_owned()),
            ("one more", &|v| format!("{v} {unknown}")),
            ("absolute", &|v| {
                v.split(' ')
                    .map(|name| format!("/nix/store/{name}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            }),
            ("rubbish in it", &|v| format!("{v} x")),
            ("commas", &|v| v.replace(' ', ",")),
        ];
        for &(what, edit) in edits {
            self.line(what, "References", |v| format!("References: {}\n", edit(v)));
        }
        for value in [
            "unknown-deriver",
            "/nix/store/11111111111111111111111111111111-d.drv",
            "11111111111111111111111111111111-d",
            "d.drv",
            "../x",
            "Unknown-Deriver",
        ] {
            self.line(value, "Deriver", |_| format!("Deriver: {value}\n"));
        }
        let edits: &[Edit] = &[
            ("rubbish before a good one", &|v| {
                format!("Sig: x\nSig: {v}\n")
            }),
            ("a stranger's before", &|v| {
                format!("Sig: other-1:{}==\nSig: {v}\n", "A".repeat(86))
            }),
            ("a bad one of the same key before", &|v| {
                format!("Sig: made-1:{}==\nSig: {v}\n", "A".repeat(86))
            }),
            ("a short one before", &|v| {
                format!("Sig: made-1:AAAA\nSig: {v}\n")
            }),
            ("no base 64 before", &|v| {
                format!("Sig: made-1:!!!!\nSig: {v}\n")
            }),
            ("without a name before", &|v| {
                format!("Sig: :{}==\nSig: {v}\n", "A".repeat(86))
            }),
            ("without padding", &|v| {
                format!("Sig: {}\n", v.trim_end_matches('='))
            }),
            ("more after it", &|v| format!("Sig: {v}AAAA\n")),
            ("another name", &|v| {
                format!("Sig: {}\n", v.replace("made-1", "made-2"))
            }),
            ("two in one line", &|v| format!("Sig: {v} {v}\n")),
            ("a space within", &|v| {
                format!("Sig: {} {}\n", &v[..20], &v[20..])
            }),
            ("one byte changed", &|v| {
                format!(
                    "Sig: {}\n",
                    v.replace(&v[20..21], if &v[20..21] == "A" { "B" } else { "A" })
                )
            }),
        ];
        for &(what, edit) in edits {
            self.line(what, "Sig", edit);
        }
        let edits: &[Edit] = &[
            ("./", &|v| format!("./{v}")),
            ("a slash twice", &|v| v.replace('/', "//")),
            ("a slash first", &|v| format!("/{v}")),
            ("a dot within", &|v| v.replace('/', "/./")),
            ("up and down", &|v| v.replace("nar/", "nar/../nar/")),
            ("out and in", &|v| format!("../nothing/{v}")),
            ("a query", &|v| format!("{v}?a=b")),
            ("a fragment", &|v| format!("{v}#f")),
            ("percent", &|v| v.replace('n', "%6e")),
            ("file://", &|v| format!("file://{v}")),
            ("missing", &|_| "nar/none.nar".to_owned()),
            ("nobody listens", &|_| "http://127.0.0.1:1/x".to_owned()),
            ("a directory", &|_| "nar".to_owned()),
            ("a backslash", &|v| v.replace('/', "\\")),
        ];
        for &(what, edit) in edits {
            self.line(what, "URL", |v| format!("URL: {}\n", edit(v)));
        }
        for ca in [
            "rubbish",
            "",
            "fixed:r:sha256:x",
            "fixed:r:md5:d41d8cd98f00b204e9800998ecf8427e",
            &format!("fixed:r:sha256:{hex}"),
            &format!("text:sha256:{hex}"),
            &format!("fixed:sha256:{hex}"),
        ] {
            self.text(&format!("CA of a signed path: {ca}"), |text| {
                format!("{text}CA: {ca}\n").into()
            });
        }
        for (number, actual) in COMPRESSIONS.into_iter().enumerate() {
            for said in [
                "", "none", "xz", "zstd", "gzip", "bzip2", "br", "lz4", "lzip", "ZSTD", "rubbish",
            ] {
                self.add(
                    &format!("Compression: {said} for {actual}"),
                    &some_nar(40 + number),
                    actual,
                    |text| {
                        text.replace(
                            &format!("Compression: {actual}\n"),
                            &format!("Compression: {said}\n"),
                        )
                        .into()
                    },
                );
            }
        }
    }
}
