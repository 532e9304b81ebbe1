//! Caches that mean harm: each gives one clear error, and never a tree.

use std::io::{Read, Write};

use nix_compat::narinfo::Compression;
use nix_compat::signature::Signature;
use nix_compat::{NarInfo, StoreDir};
use stores::binary_cache::Trust;

use crate::made::{Made, compress, open, path, sha256, some_nar};
use crate::shown::{chain, shown};

const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Xz,
    Compression::Zstd,
    Compression::Gzip,
    Compression::Bzip2,
];

/// The error of a NAR whose narinfo is spoiled, after it was signed for what it is.
fn refused(nar: &[u8], compression: Compression, edit: impl FnOnce(&Made, &mut NarInfo)) -> String {
    let made = Made::new();
    made.add(&path(1), nar, compression, &[], |info| edit(&made, info));
    let error = shown(&made.open(), &path(1)).unwrap_err();
    assert!(error.contains(path(1).as_str()), "{error}");
    error
}

#[test]
fn each_compression_gives_the_tree() {
    let expected = {
        let made = Made::new();
        made.add(&path(1), &some_nar(200_000), Compression::None, &[], |_| {});
        shown(&made.open(), &path(1)).unwrap()
    };
    assert_eq!(expected.len(), 4);
    for compression in COMPRESSIONS {
        let made = Made::new();
        let nar = some_nar(200_000);
        made.add(&path(1), &nar, compression, &[], |_| {});
        assert_eq!(
            shown(&made.open(), &path(1)).unwrap(),
            expected,
            "{compression}"
        );
        // In more than one stream, frame or member, and without the file's own size and hash.
        if compression != Compression::None {
            let (start, end) = nar.split_at(nar.len() / 3);
            let parts = [compress(compression, start), compress(compression, end)].concat();
            made.add(&path(1), &nar, compression, &[], |info| {
                info.file.hash = None;
                info.file.size = None;
            });
            made.write(&format!("nar/{}.nar", path(1).hash()), &parts);
            assert_eq!(
                shown(&made.open(), &path(1)).unwrap(),
                expected,
                "{compression}"
            );
        }
    }
}

#[test]
fn a_nar_must_be_the_one_that_was_signed() {
    let nar = some_nar(100_000);
    let mut other = nar.clone();
    *other.iter_mut().rfind(|byte| **byte == b'r').unwrap() = b's';
    let mut contents = nar.clone();
    contents[50_000] ^= 1;
    for compression in COMPRESSIONS {
        for (nar_in_file, expected) in [
            (other.clone(), "the NAR has the hash"),
            (contents.clone(), "the NAR has the hash"),
            ([nar.as_slice(), b"x"].concat(), "longer than the"),
            (nar[..nar.len() - 8].to_vec(), "bytes, not the"),
            (some_nar(99_000), "bytes, not the"),
        ] {
            let error = refused(&nar, compression, |made, info| {
                let file = compress(compression, &nar_in_file);
                made.write(&info.file.url, &file);
                if compression != Compression::None {
                    info.file.hash = Some(sha256(&file));
                    info.file.size = Some(file.len() as u64);
                }
            });
            // Without compression, the file is the NAR, and its size is noticed first.
            assert!(error.contains(expected), "{compression}: {error}");
        }
    }
}

/// What a proxy that compresses anew leaves of the cache that it copies: ncps, for one. Nix does not
/// look at these fields either; the NAR itself is held to what was signed.
#[test]
fn the_hash_and_size_of_the_file_do_not_matter() {
    let nar = some_nar(100_000);
    for compression in COMPRESSIONS {
        let made = Made::new();
        made.add(&path(1), &nar, compression, &[], |info| {
            info.file.hash = Some(sha256(b"another"));
            info.file.size = Some(1);
        });
        shown(&made.open(), &path(1)).unwrap();
    }
}

#[test]
fn a_file_must_be_compressed_as_the_narinfo_says() {
    let nar = some_nar(100_000);
    for compression in COMPRESSIONS.into_iter().skip(1) {
        let file = compress(compression, &nar);
        for wrong in [
            &b"this is compressed in no way"[..],
            &file[..file.len() / 2],
        ] {
            let error = refused(&nar, compression, |made, info| {
                made.write(&info.file.url, wrong);
            });
            assert!(error.contains("cannot be used"), "{compression}: {error}");
        }
    }
}

#[test]
fn a_bomb_is_cut_at_the_size_of_the_nar() {
    // 4 GiB of zeros in a few kilobytes: this test would not end, were it unpacked.
    let zeros = vec![0; 64 << 20];
    let member = compress(Compression::Zstd, &zeros);
    let bomb = member.repeat(64);
    let nar = some_nar(1000);
    let error = refused(&nar, Compression::Zstd, |made, info| {
        let file = [compress(Compression::Zstd, &nar), bomb].concat();
        info.file.hash = Some(sha256(&file));
        info.file.size = Some(file.len() as u64);
        made.write(&info.file.url, &file);
    });
    assert!(error.contains("longer than the"), "{error}");

    // A file in the NAR that is said to be longer than the NAR.
    let size = nar.len();
    let start = nar.windows(8).position(|w| w == b"contents").unwrap() + 8;
    let mut forged = nar;
    forged[start..start + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    let made = Made::new();
    made.add(&path(1), &forged, Compression::None, &[], |_| {});
    let error = shown(&made.open(), &path(1)).unwrap_err();
    let most = size - start - 8;
    assert!(error.contains(&format!("the most is {most}")), "{error}");
}

#[test]
fn compressed_streams_may_not_take_all_memory() {
    // xz with a dictionary of 1 GiB.
    let nar = some_nar(1000);
    let mut options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
    options.dict_size(1 << 30);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let mut file = Vec::new();
    let mut encoder =
        liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32)
            .map(|stream| liblzma::read::XzEncoder::new_stream(nar.as_slice(), stream))
            .unwrap();
    encoder.read_to_end(&mut file).unwrap();
    let error = refused(&nar, Compression::Xz, |made, info| {
        info.file.hash = Some(sha256(&file));
        info.file.size = Some(file.len() as u64);
        made.write(&info.file.url, &file);
    });
    assert!(error.contains("cannot be used"), "{error}");

    // zstd with a window of 256 MiB.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&nar).unwrap();
    let file = encoder.finish().unwrap();
    let error = refused(&nar, Compression::Zstd, |made, info| {
        info.file.hash = Some(sha256(&file));
        info.file.size = Some(file.len() as u64);
        made.write(&info.file.url, &file);
    });
    assert!(error.contains("cannot be used"), "{error}");
}

#[test]
fn nars_that_are_none() {
    let good = some_nar(10);
    let at = |needle: &[u8]| {
        let mut windows = good.windows(needle.len());
        windows.rposition(|window| window == needle).unwrap()
    };
    let mut up = good.clone();
    // The name of the link, which follows `name` and its length.
    let name = at(b"name\0\0\0\0\x03\0\0\0\0\0\0\0run") + 16;
    up[name..name + 3].copy_from_slice(b"../");
    let mut order = good.clone();
    order[name - 8..name + 8].copy_from_slice(b"\x03\0\0\0\0\0\0\0abc\0\0\0\0\0");
    for (nar, expected) in [
        (up, "cannot be the name"),
        (order, "names must be in order"),
        (good[..good.len() - 16].to_vec(), "longer than"),
        (b"nix".repeat(10), "not a valid NAR"),
    ] {
        let made = Made::new();
        made.add(&path(1), &nar, Compression::Zstd, &[], |_| {});
        let error = shown(&made.open(), &path(1)).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(&made.url()), "{error}");
    }
}

#[test]
fn signatures_are_required() {
    let nar = some_nar(10);
    let made = Made::new();
    made.add(&path(1), &nar, Compression::None, &[], |info| {
        info.signatures.clear();
    });
    let other = format!("made-1:{}==", "A".repeat(86));
    made.add(&path(2), &nar, Compression::None, &[], |info| {
        info.signatures = vec![Signature::parse(&other).unwrap()];
    });
    made.add(&path(3), &nar, Compression::None, &[], |info| {
        info.signed.references = vec![path(2)];
    });
    made.add(&path(4), &nar, Compression::None, &[], |info| {
        info.signatures.insert(0, Signature::parse(&other).unwrap());
    });
    let caches = made.open();
    for (number, expected) in [
        (1, "it has no signature"),
        (2, "by made-1"),
        (3, "by made-1"),
    ] {
        for error in [
            chain(&caches.closure(&[path(number)]).unwrap_err()),
            shown(&caches, &path(number)).unwrap_err(),
        ] {
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("--no-require-sigs"), "{error}");
        }
    }
    assert!(caches.closure(&[path(4)]).is_ok());
    // Nobody's own key is trusted.
    let strangers = open(&[&made.url()], Trust::default()).unwrap();
    assert!(strangers.closure(&[path(4)]).is_err());

    let anyone = Trust {
        require_signatures: false,
        ..Trust::default()
    };
    let caches = open(&[&made.url()], anyone).unwrap();
    assert_eq!(caches.closure(&[path(1), path(3)]).unwrap().len(), 3);
    // Hashes are checked all the same.
    made.write(&format!("nar/{}.nar", path(1).hash()), &some_nar(11));
    assert!(shown(&caches, &path(1)).is_err());
}

#[test]
fn an_unsigned_path_of_the_first_cache_is_looked_for_in_the_next() {
    let nar = some_nar(10);
    let (first, second) = (Made::new(), Made::new());
    first.add(&path(1), &nar, Compression::None, &[], |info| {
        info.signatures.clear();
    });
    second.add(&path(1), &nar, Compression::None, &[path(1)], |_| {});
    let caches = open(&[&first.url(), &second.url()], first.trust()).unwrap();
    assert_eq!(caches.closure(&[path(1)]).unwrap()[0].references, [path(1)]);
}

#[test]
fn a_narinfo_must_be_for_the_path_that_was_asked_for() {
    let made = Made::new();
    let nar = some_nar(10);
    made.add(&path(1), &nar, Compression::None, &[], |_| {});
    let of = |number: usize| made.path().join(format!("{}.narinfo", path(number).hash()));
    std::fs::copy(of(1), of(2)).unwrap();
    let error = shown(&made.open(), &path(2)).unwrap_err();
    assert!(
        error.contains(&format!(
            "was asked for {}, but describes {}",
            path(2),
            path(1)
        )),
        "{error}"
    );
    // The same hash with another name is another path too.
    let renamed = format!("{}-renamed", path(1).hash());
    let renamed = StoreDir::default().parse_base_name(&renamed).unwrap();
    assert!(
        shown(&made.open(), &renamed)
            .unwrap_err()
            .contains("was asked for")
    );

    std::fs::write(of(3), [0xff, 0xfe]).unwrap();
    assert!(shown(&made.open(), &path(3)).is_err());
    std::fs::write(of(3), "x".repeat((4 << 20) + 1)).unwrap();
    assert!(
        shown(&made.open(), &path(3))
            .unwrap_err()
            .contains("longer than 4194304 bytes")
    );
    made.add(&path(3), &nar, Compression::None, &[], |info| {
        info.file.url = "../../etc/passwd".into();
    });
    assert!(
        shown(&made.open(), &path(3))
            .unwrap_err()
            .contains("does not lead")
    );
    made.add(&path(3), &nar, Compression::None, &[], |info| {
        info.file.url = "http://127.0.0.1:1/x".into();
    });
    assert!(
        shown(&made.open(), &path(3))
            .unwrap_err()
            .contains("leads out of the directory")
    );
}

#[test]
fn a_closure_must_be_whole() {
    let made = Made::new();
    let nar = some_nar(10);
    made.add(&path(1), &nar, Compression::None, &[path(2)], |_| {});
    made.add(
        &path(2),
        &nar,
        Compression::None,
        &[path(1), path(2), path(3)],
        |_| {},
    );
    let error = chain(&made.open().closure(&[path(1)]).unwrap_err());
    assert_eq!(
        error,
        format!(
            "{}, which {} refers to, is not in {}",
            path(3),
            path(2),
            made.url()
        )
    );
    let error = chain(&made.open().closure(&[path(9)]).unwrap_err());
    assert_eq!(error, format!("{} is not in {}", path(9), made.url()));
    // References may be circles.
    made.add(&path(3), &nar, Compression::None, &[path(1)], |_| {});
    let closure = made.open().closure(&[path(1)]).unwrap();
    let paths: Vec<_> = closure.into_iter().map(|info| info.path).collect();
    assert_eq!(paths, [path(1), path(2), path(3)]);
}
