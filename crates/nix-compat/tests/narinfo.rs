//! Narinfo files as Nix writes them, and such as no cache should serve.

use nix_compat::narinfo::{CacheInfo, Compression};
use nix_compat::signature::{CACHE_NIXOS_ORG, PublicKey, Signature};
use nix_compat::{NarInfo, StoreDir};
use proptest::prelude::*;

/// Written and signed by Nix 2.8.
const LIBGCC: &str = "\
StorePath: /nix/store/5csl1k24iqpb7nbdhsjcfcp7g3f29s46-libgcc-s1-12.2.0-14+deb12u1
URL: nar/0jhsljkm9iippd9gxwzl6br7rmbnfcafhjshk581wkiihi44dr0v.nar.zst
Compression: zstd
FileHash: sha256:0jhsljkm9iippd9gxwzl6br7rmbnfcafhjshk581wkiihi44dr0v
FileSize: 61152
NarHash: sha256:0qgv8zdjgvkzs0c2712rzqahkjz047ssnl04541w3m96gx0bdcv8
NarSize: 133736
References: 5csl1k24iqpb7nbdhsjcfcp7g3f29s46-libgcc-s1-12.2.0-14+deb12u1 r8qxg6qasb6q67wd6phwqy2qpc7w1b9y-gcc-12-base-12.2.0-14+deb12u1
Deriver: nj3awfbpb95zlrv6ywyvrphdbh3qsjlc-libgcc-s1-12.2.0-14+deb12u1.drv
Sig: test-1:osG/UfnPeptGzsbSqla9QTu4c4BtUDGFWgNoHkUYrwhEnqQ3q4Ah2Xjt0EbqauikA+vUUPGpx3n8wAtb+vkAAg==
";

/// A path without references, by the same Nix.
const BASE: &str = "\
StorePath: /nix/store/r8qxg6qasb6q67wd6phwqy2qpc7w1b9y-gcc-12-base-12.2.0-14+deb12u1
URL: nar/0gmsiwpv6dj7m56hs27brx32vm9bw4yrnfk72g7a6lx4gf260gh1.nar.zst
Compression: zstd
FileHash: sha256:0gmsiwpv6dj7m56hs27brx32vm9bw4yrnfk72g7a6lx4gf260gh1
FileSize: 40539
NarHash: sha256:0nxil12r76hiam81m0mik6nsgagibwzcjjwgbd257m44gdczr2lw
NarSize: 95056
References: 
Deriver: akpb174f423p91shrfwma1dcc1nz781c-gcc-12-base-12.2.0-14+deb12u1.drv
Sig: test-1:is6AgCVckk2gvrWGTOoqDOc1gpfL5jOMSmSIRmWWbL4svFuRFqsx9kCWyU1tOUqq7WQGokvgeD2TROecTZ0fAA==
";

const KEY: &str = "test-1:CER3zxXbnBPunWGhSYfGoVsJhp6tD9leOIwS5xERj8M=";

fn parse(text: &str) -> Result<NarInfo, String> {
    NarInfo::parse(&StoreDir::default(), text).map_err(|error| error.to_string())
}

#[test]
fn every_field_of_nix() {
    let info = parse(LIBGCC).unwrap();
    assert_eq!(info.signed.path.name(), "libgcc-s1-12.2.0-14+deb12u1");
    assert_eq!(info.signed.nar_size, 133_736);
    assert_eq!(info.signed.references.len(), 2);
    assert_eq!(info.file.compression, Compression::Zstd);
    assert_eq!(info.file.size, Some(61152));
    assert!(info.deriver.clone().unwrap().name().ends_with(".drv"));
    assert_eq!(info.to_string(), LIBGCC);
    assert_eq!(parse(BASE).unwrap().to_string(), BASE);

    let more = format!(
        "{LIBGCC}Sig: other:{}==\nCA: fixed:r:sha256:x\nFuture: yes\nSystem: any\n",
        "A".repeat(86)
    );
    let info = parse(&more).unwrap();
    assert_eq!(info.signatures.len(), 2);
    assert_eq!(info.ca.as_deref(), Some("fixed:r:sha256:x"));
    let unknown = LIBGCC.replace(
        "nj3awfbpb95zlrv6ywyvrphdbh3qsjlc-libgcc-s1-12.2.0-14+deb12u1.drv",
        "unknown-deriver",
    );
    assert_eq!(parse(&unknown).unwrap().deriver, None);
    // What the oldest caches leave out, and what carries lines by other rules.
    let bare = BASE
        .replace("Compression: zstd\n", "")
        .replace("References: \n", "References:\n")
        .replace('\n', "\r\n");
    assert_eq!(parse(&bare).unwrap().file.compression, Compression::Bzip2);
}

/// The differential test of the crate `stores` has them all.
#[test]
fn what_nix_tolerates() {
    let right = parse(LIBGCC).unwrap();
    let hash = "sha256:0qgv8zdjgvkzs0c2712rzqahkjz047ssnl04541w3m96gx0bdcv8";
    let sri = data_encoding::BASE64.encode(&right.signed.nar_hash.0);
    for (from, to) in [
        ("NarSize: 133736\n", "NarSize: 1\nNarSize: +133736\n"),
        ("URL: ", "URL: x:y\nURL: "),
        ("Compression: ", "Compression: lzip\nCompression:\t"),
        ("URL: nar/", "URL: nar//"),
        (hash, &format!("sha256-{}", sri.trim_end_matches('='))),
        (hash, &format!("sha256:{sri}")),
        ("FileSize: 61152", "FileSize: 0"),
        ("FileHash: sha256:0j", "FileHash: md5:0j"),
        ("Deriver: ", "\nDeriver: "),
        ("vkAAg==\n", "vkAAg\n"),
        ("vkAAg==\n", "vkAAg== \n"),
    ] {
        assert!(LIBGCC.contains(from), "{from}");
        let info = parse(&LIBGCC.replace(from, to)).unwrap();
        assert_eq!(info.signed, right.signed, "{to}");
        assert_eq!(info.signatures, right.signatures, "{to}");
    }
}

#[test]
fn signatures_of_nix() {
    let keys = [
        PublicKey::parse(CACHE_NIXOS_ORG).unwrap(),
        PublicKey::parse(KEY).unwrap(),
    ];
    for text in [LIBGCC, BASE] {
        assert_eq!(
            parse(text).unwrap().signed_by(&keys).unwrap().name(),
            "test-1"
        );
        assert_eq!(parse(text).unwrap().signed_by(&keys[..1]), None);
        // What cannot be signed for does not matter.
        let moved = text.replace("URL: nar/", "URL: elsewhere/");
        assert!(parse(&moved).unwrap().signed_by(&keys).is_some());
    }
    for (from, to) in [
        (
            "5csl1k24iqpb7nbdhsjcfcp7g3f29s46-libgcc-s1-12.2.0-14+deb12u1\nURL",
            "5csl1k24iqpb7nbdhsjcfcp7g3f29s47-libgcc-s1-12.2.0-14+deb12u1\nURL",
        ),
        ("NarHash: sha256:0q", "NarHash: sha256:1q"),
        ("NarSize: 133736", "NarSize: 133737"),
        (
            "References: 5csl1k24iqpb7nbdhsjcfcp7g3f29s46-libgcc-s1-12.2.0-14+deb12u1 ",
            "References: ",
        ),
        ("Sig: test-1:osG", "Sig: test-1:osH"),
        ("Sig: test-1:", "Sig: test-2:"),
    ] {
        assert!(LIBGCC.contains(from));
        let changed = parse(&LIBGCC.replace(from, to)).unwrap();
        assert_eq!(changed.signed_by(&keys), None, "{to}");
    }
    // A bad signature beside a good one does no harm.
    let both = LIBGCC.replace("Sig:", &format!("Sig: test-1:{}==\nSig:", "A".repeat(86)));
    assert!(parse(&both).unwrap().signed_by(&keys).is_some());
}

/// nix-serve writes the line only for a path that refers to something:
/// <https://github.com/edolstra/nix-serve>.
#[test]
fn nix_serve_omits_references() {
    let key = PublicKey::parse(KEY).unwrap();
    let info = parse(&BASE.replace("References: \n", "")).unwrap();
    assert_eq!(info.signed.references, []);
    assert!(info.signed_by(std::slice::from_ref(&key)).is_some());
    // Where references were left out, the signature does not hold.
    let references = LIBGCC.lines().find(|line| line.starts_with("References"));
    let info = parse(&LIBGCC.replace(&format!("{}\n", references.unwrap()), "")).unwrap();
    assert!(info.signed_by(&[key]).is_none());
}

#[test]
fn errors_show_no_control_characters() {
    let bad = "\x1b]0;title\x07\u{202e}";
    for (from, to) in [
        ("StorePath: ", format!("StorePath: {bad}")),
        ("References: ", format!("References: {bad}")),
        ("URL: ", format!("URL: {bad}")),
        ("Compression: ", format!("Compression: {bad}")),
        ("NarSize: ", format!("NarSize: {bad}")),
        ("Sig: ", format!("Sig: {bad}:x\nSig: ")),
        ("NarHash: ", format!("NarHash: {bad}")),
        ("Deriver: ", format!("Deriver: {bad}")),
        ("URL: ", format!("URL: {}:", "x".repeat(100_000))),
        ("StorePath: ", format!("StorePath: {}", "x".repeat(100_000))),
    ] {
        let error = parse(&LIBGCC.replace(from, &to)).unwrap_err();
        assert!(!error.chars().any(char::is_control), "{error:?}");
        assert!(error.len() < 1000, "{}", error.len());
    }
}

#[test]
fn keys_that_are_none() {
    for text in [
        "",
        "name",
        "name:",
        ":CER3zxXbnBPunWGhSYfGoVsJhp6tD9leOIwS5xERj8M=",
        "name:AAAA",
        "name:!",
        "CER3zxXbnBPunWGhSYfGoVsJhp6tD9leOIwS5xERj8M=",
    ] {
        assert!(PublicKey::parse(text).is_err(), "{text}");
        assert!(Signature::parse(text).is_err(), "{text}");
    }
    assert_eq!(PublicKey::parse(KEY).unwrap().to_string(), KEY);
}

#[test]
fn narinfos_that_no_cache_should_serve() {
    for (from, to, expected) in [
        ("Deriver: ", "Deriver", "not of the form"),
        ("Compression: zstd", "Compression: lzip", "lzip"),
        ("NarSize: 133736", "NarSize: 0", "not a possible size"),
        ("NarSize: 133736", "NarSize: -1", "not a possible size"),
        (
            "NarSize: 133736",
            "NarSize: 99999999999999999999",
            "not a possible size",
        ),
        ("NarSize: 133736\n", "", "has no `NarSize`"),
        (
            "References: ",
            "References: 5csl1k24iqpb7nbdhsjcfcp7g3f29s46-a\nReferences: ",
            "more than one `References`",
        ),
        ("Sig: ", "CA: x\nCA: x\nSig: ", "more than one `CA`"),
        (
            "NarHash: sha256:0qgv8zdjgvkzs0c2712rzqahkjz047ssnl04541w3m96gx0bdcv8",
            "NarHash: md5:00",
            "`NarHash`",
        ),
        ("URL: nar/0j", "URL: ../0j", "does not lead"),
        ("URL: nar/0j", "URL: /etc/0j", "does not lead"),
        ("URL: nar/0j", "URL: file:///0j", "does not lead"),
        ("URL: nar/0j", "URL: nar/a b", "does not lead"),
        (
            "StorePath: /nix/store",
            "StorePath: /other/store",
            "`StorePath`",
        ),
        ("References: 5c", "References: ../5c", "`References`"),
        (
            "References: 5c",
            "References: /nix/store/5c",
            "`References`",
        ),
        ("Sig: test-1:osG", "Sig: test-1:os", "`Sig`"),
    ] {
        assert!(LIBGCC.contains(from));
        let error = parse(&LIBGCC.replace(from, to)).unwrap_err();
        assert!(error.contains(expected), "{to}: {error}");
    }
    assert!(parse("").unwrap_err().contains("has no"));
    assert!(parse(LIBGCC.trim_end()).unwrap_err().contains("cut off"));
}

#[test]
fn what_a_cache_says_of_itself() {
    let info = CacheInfo::parse("StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n").unwrap();
    assert_eq!(
        (info.store_dir.as_str(), info.priority),
        ("/nix/store", Some(30))
    );
    assert_eq!(
        CacheInfo::parse("StoreDir: /gnu/store")
            .unwrap()
            .store_dir
            .as_str(),
        "/gnu/store"
    );
    assert_eq!(CacheInfo::parse("").unwrap(), CacheInfo::default());
    for text in ["StoreDir: store\n", "Priority: high\n", "<html>\n"] {
        assert!(CacheInfo::parse(text).is_err(), "{text}");
    }
    let error = CacheInfo::parse("Priority: abc\n").unwrap_err().to_string();
    assert_eq!(error, "`Priority: abc` is not a whole number");
}

proptest! {
    #[test]
    fn a_changed_text_gives_a_narinfo_that_prints_itself_or_an_error(at in 0..LIBGCC.len(), with in ".{0,3}", cut in 0..3_usize) {
        let end = (at + cut).min(LIBGCC.len());
        let text = format!("{}{with}{}", &LIBGCC[..at], &LIBGCC[end..]);
        if let Ok(info) = parse(&text) {
            prop_assert_eq!(parse(&info.to_string()).unwrap(), info);
        }
    }

    #[test]
    fn any_text_gives_a_narinfo_or_an_error(text in "([A-Za-z]{1,10}: ?.{0,20}\n){0,6}") {
        let _ = parse(&text);
        let _ = CacheInfo::parse(&text);
    }
}
