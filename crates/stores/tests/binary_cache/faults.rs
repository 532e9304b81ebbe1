//! Servers that fail for a while, or in the middle.

use std::time::Duration;

use nix_compat::narinfo::Compression;
use nix_compat::{StoreDir, StorePath, nar};
use stores::BinaryCaches;
use stores::binary_cache::{Environment, Options};

use crate::made::{Made, compress, open, open_in, open_warned, options, path, some_nar};
use crate::server::{Answer, Asked, Server};
use crate::shown::{chain, outline, shown};

const SIZE: usize = 300_000;

/// A cache with one path, its NAR compressed with xz.
fn one() -> (Made, StorePath) {
    let made = Made::new();
    made.add(&path(1), &some_nar(SIZE), Compression::Xz, &[], |_| {});
    (made, path(1))
}

fn serve(
    made: &Made,
    answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> (Server, BinaryCaches) {
    let server = Server::start(made.path(), answer);
    let caches = open(&[&server.url()], made.trust()).unwrap();
    (server, caches)
}

fn is_nar(asked: &Asked) -> bool {
    asked.name.starts_with("nar/")
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let (made, path) = one();
    let expected = shown(&made.open(), &path).unwrap();
    let (server, caches) = serve(&made, |asked| match is_nar(asked) {
        true => Answer::Cut(100_000),
        false => Answer::Right,
    });
    assert_eq!(shown(&caches, &path).unwrap(), expected);
    let ranges: Vec<_> = server
        .asked()
        .iter()
        .filter(|a| is_nar(a))
        .map(|a| a.from)
        .collect();
    assert_eq!(ranges, [None, Some(100_000), Some(200_000), Some(300_000)]);
}

#[test]
fn every_passing_fault_is_got_over() {
    let (made, path) = one();
    let expected = shown(&made.open(), &path).unwrap();
    let faults: [fn(usize) -> Answer; 9] = [
        |_| Answer::Status(503, ""),
        |_| Answer::Status(500, ""),
        |_| Answer::Status(429, "Retry-After: 0\r\n"),
        |_| Answer::HangUp,
        |_| Answer::Cut(0),
        |_| Answer::Late(Duration::from_millis(20)),
        // Without ranges, it starts over and passes what it has.
        |n| {
            if n == 0 {
                Answer::Cut(70_000)
            } else {
                Answer::Whole
            }
        },
        |n| {
            if n == 0 {
                Answer::Cut(70_000)
            } else {
                Answer::WholeCut(150_000)
            }
        },
        |_| Answer::WithoutLength,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let server = Server::start(made.path(), move |asked| match asked.before {
            0 | 1 => fault(asked.before),
            _ => Answer::Right,
        });
        let caches = open(&[&server.url()], made.trust()).unwrap();
        assert_eq!(
            shown(&caches, &path),
            Ok(expected.clone()),
            "fault {number}"
        );
    }
}

#[test]
fn a_lasting_fault_is_one_clear_error() {
    let (made, path) = one();
    type Case = (fn(usize) -> Answer, &'static str, usize);
    let cases: [Case; 6] = [
        (
            |_| Answer::Status(503, ""),
            "the server answered 503 (Service Unavailable)",
            4,
        ),
        (
            |_| Answer::Status(403, ""),
            "the server answered 403 (Forbidden)",
            1,
        ),
        (
            |_| Answer::Status(404, ""),
            "names a file that does not exist",
            1,
        ),
        (|_| Answer::HangUp, "cannot fetch", 4),
        (
            |n| Answer::Cut(if n == 0 { 1000 } else { 0 }),
            "cannot be used",
            4,
        ),
        (
            |n| {
                if n == 0 {
                    Answer::Cut(1000)
                } else {
                    Answer::OtherPart
                }
            },
            "does not go on where",
            2,
        ),
    ];
    for (answer, expected, tries) in cases {
        let (server, caches) = serve(&made, move |asked| match is_nar(asked) {
            true => answer(asked.before),
            false => Answer::Right,
        });
        let error = shown(&caches, &path).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(&format!("{}/nar/", server.url())), "{error}");
        assert!(error.contains(path.as_str()), "{error}");
        assert_eq!(
            server.asked().iter().filter(|a| is_nar(a)).count(),
            tries,
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_cut_without_a_known_length_is_noticed() {
    let (made, path) = one();
    let name = format!("nar/{}.nar", path.hash());
    let whole = std::fs::read(made.path().join(&name)).unwrap();
    let cut = Made::new();
    cut.add(&path, &some_nar(SIZE), Compression::Xz, &[], |_| {});
    cut.write(&name, &whole[..whole.len() - 1000]);
    let (_server, caches) = serve(&cut, |asked| match is_nar(asked) {
        true => Answer::WithoutLength,
        false => Answer::Right,
    });
    let error = shown(&caches, &path).unwrap_err();
    assert!(error.contains("cannot be used"), "{error}");
}

#[test]
fn passwords_come_from_the_address_or_a_netrc_file() {
    let (made, path) = one();
    let server = Server::start(made.path(), |asked| match asked.authorization.as_deref() {
        // me:s3cret
        Some("Basic bWU6czNjcmV0") => Answer::Right,
        _ => Answer::Status(401, "WWW-Authenticate: Basic realm=\"x\"\r\n"),
    });
    let with_password = format!("http://me:s3cret@{}", server.address);
    let caches = open(&[&with_password], made.trust()).unwrap();
    shown(&caches, &path).unwrap();
    assert_eq!(caches.addresses().collect::<Vec<_>>(), [server.url()]);

    let netrc = made.path().join("netrc");
    std::fs::write(&netrc, "machine 127.0.0.1 login me password s3cret\n").unwrap();
    let variable = |name: &str| (name.to_owned(), netrc.to_str().unwrap().to_owned());
    let environment = Environment::from_iter([variable("NETRC")]);
    let caches = open_in(&[&server.url()], made.trust(), environment).unwrap();
    shown(&caches, &path).unwrap();

    let wrong = format!("http://me:wr0ng@{}", server.address);
    let error = chain(&open(&[&wrong], made.trust()).unwrap_err());
    assert!(
        error.contains("answered 401 (Unauthorized); credentials come from"),
        "{error}"
    );
    assert!(!error.contains("wr0ng"), "{error}");
}

#[test]
fn another_server_does_not_get_the_password() {
    let (made, path) = one();
    let elsewhere = Server::start(made.path(), |_| Answer::Right);
    let url = elsewhere.url();
    made.add(&path, &some_nar(10), Compression::None, &[], |info| {
        info.file.url = format!("{url}/{}", info.file.url);
    });
    let server = Server::start(made.path(), |_| Answer::Right);
    let with_password = format!("http://me:s3cret@{}", server.address);
    let caches = open(&[&with_password], made.trust()).unwrap();
    shown(&caches, &path).unwrap();
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.authorization.is_some())
    );
    let asked = elsewhere.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].authorization, None);
}

#[test]
fn caches_are_asked_in_the_order_of_their_priority() {
    let (first, second) = (Made::new(), Made::new());
    first.write("nix-cache-info", b"StoreDir: /nix/store\nPriority: 50\n");
    let nar = some_nar(10);
    second.add(&path(1), &nar, Compression::None, &[path(2)], |_| {});
    first.add(&path(1), &nar, Compression::None, &[path(3)], |_| {});
    first.add(&path(2), &nar, Compression::None, &[], |_| {});
    let caches = open(&[&first.url(), &second.url()], first.trust()).unwrap();
    assert_eq!(caches.addresses().next(), Some(second.url().as_str()));
    let closure = caches.closure(&[path(1)]).unwrap();
    let paths: Vec<_> = closure.iter().map(|info| info.path.clone()).collect();
    assert_eq!(paths, [path(1), path(2)]);
    // An address can say otherwise.
    let named = format!("{}?priority=10", first.url());
    let caches = open(&[&second.url(), &named], first.trust()).unwrap();
    let error = chain(&caches.closure(&[path(1)]).unwrap_err());
    assert!(
        error.contains(&format!(
            "{}, which {} refers to, is not in file:",
            path(3),
            path(1)
        )),
        "{error}"
    );
}

#[test]
fn a_cache_that_fails_does_not_hide_the_next() {
    let (made, path) = one();
    let broken = Server::start(made.path(), |asked| match asked.name.as_str() {
        "nix-cache-info" => Answer::Right,
        _ => Answer::Status(403, ""),
    });
    let urls = [format!("{}?priority=1", broken.url()), made.url()];
    let caches = open(&[&urls[0], &urls[1]], made.trust()).unwrap();
    shown(&caches, &path).unwrap();
    assert!(broken.asked().len() > 1);
}

#[test]
fn listings_tell_of_trees_without_their_nars() {
    let (made, path) = one();
    let json = format!(
        r#"{{"version":1,"root":{{"type":"directory","entries":{{"bin":{{"type":"directory","entries":{{"run":{{"type":"regular","size":{SIZE},"executable":true,"narOffset":400}}}}}},"run":{{"type":"symlink","target":"bin/run"}}}}}}}}"#
    );
    let name = format!("{}.ls", path.hash());
    made.write(&name, json.as_bytes());
    let (server, caches) = serve(&made, |_| Answer::Right);
    let expected = outline(&caches, &path).unwrap();
    assert_eq!(outline(&caches.outlines(), &path).unwrap(), expected);
    let count = |server: &Server| server.asked().iter().filter(|a| is_nar(a)).count();
    assert_eq!(count(&server), 1);
    // Contents cannot be had of an outline.
    assert!(
        shown(&caches.outlines(), &path)
            .unwrap_err()
            .contains("no contents")
    );

    // As a web server may send it; and such as say nothing of use.
    let encoded = crate::made::compress(Compression::Gzip, json.as_bytes());
    let other = json.replace(&SIZE.to_string(), "1");
    let answers = [
        (0, Answer::Encoded("gzip", encoded)),
        (1, Answer::Encoded("unknown", b"x".to_vec())),
        (1, Answer::Encoded("br", b"x".to_vec())),
        (1, Answer::Encoded("identity", other.into_bytes())),
        (1, Answer::Encoded("identity", b"{".to_vec())),
        (1, Answer::Status(403, "")),
    ];
    for (nars, answer) in answers {
        let (server, caches) = serve(&made, move |asked| match asked.name.ends_with(".ls") {
            true => answer.clone(),
            false => Answer::Right,
        });
        assert_eq!(outline(&caches.outlines(), &path).unwrap(), expected);
        assert_eq!(count(&server), nars);
    }
}

#[test]
fn what_is_no_cache() {
    let made = Made::new();
    let empty = tempfile::tempdir().unwrap();
    let url = format!("file://{}", empty.path().display());
    let error = open(&[&url], made.trust()).unwrap_err().to_string();
    assert!(
        error.contains("does not look like a binary cache"),
        "{error}"
    );
    let none: [&str; 0] = [];
    assert!(open(&none, made.trust()).is_err());
    let other = Made::new();
    other.write("nix-cache-info", b"StoreDir: /gnu/store\n");
    let caches = open(&[&other.url()], made.trust()).unwrap();
    let error = caches.closure(&[path(1)]).unwrap_err().to_string();
    assert!(error.contains("/gnu/store, not of /nix/store"), "{error}");
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let error = chain(&open(&[&url], made.trust()).unwrap_err());
    assert!(error.contains("refused"), "{error}");
}

/// <https://github.com/NixOS/nix/issues/4383>, <https://github.com/NixOS/nix/issues/811>: Nix warns and
/// goes on with the other caches.
#[test]
fn a_dead_cache_is_left_out() {
    let (made, path) = one();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let empty = tempfile::tempdir().unwrap();
    let empty = format!("file://{}", empty.path().display());
    let odd = Made::new();
    odd.write("nix-cache-info", b"StoreDir: /nix/store\nPriority: abc\n");
    let other_store = Made::new();
    other_store.write("nix-cache-info", b"StoreDir: /gnu/store\n");
    for (bad, why) in [
        (&dead, "refused"),
        (&empty, "no file nix-cache-info"),
        (&odd.url(), "`Priority: abc` is not a whole number"),
        (
            &other_store.url(),
            "of the store /gnu/store, those of the other caches of /nix/store",
        ),
    ] {
        let good = made.url();
        for urls in [[bad, &good], [&good, bad]] {
            let (caches, warnings) = open_warned(&urls.map(String::as_str), made.trust());
            let caches = caches.unwrap();
            assert_eq!(
                caches.closure(std::slice::from_ref(&path)).unwrap().len(),
                1
            );
            shown(&caches, &path).unwrap();
            let [warning] = warnings.all().try_into().unwrap();
            assert!(warning.contains("is left out"), "{warning}");
            assert!(warning.contains(bad) && warning.contains(why), "{warning}");
        }
    }
    // Where all are dead, the first says why.
    let error = chain(&open(&[&dead, &empty], made.trust()).unwrap_err());
    assert!(
        error.contains(&dead) && error.contains("refused"),
        "{error}"
    );
}

/// A cache that dies later is told of once, and asked no more for what another has.
#[test]
fn a_cache_that_dies_later_is_told_of_once() {
    let (made, path) = one();
    made.add(
        &self::path(2),
        &some_nar(10),
        Compression::None,
        &[],
        |_| {},
    );
    let dying = Server::start(made.path(), |asked| match asked.name.as_str() {
        "nix-cache-info" => Answer::Right,
        _ => Answer::HangUp,
    });
    let urls = [format!("{}?priority=1", dying.url()), made.url()];
    let (caches, warnings) = open_warned(&[&urls[0], &urls[1]], made.trust());
    let caches = caches.unwrap();
    caches.closure(&[path]).unwrap();
    let asked = dying.asked().len();
    caches.closure(&[self::path(2)]).unwrap();
    assert_eq!(dying.asked().len(), asked);
    let [warning] = warnings.all().try_into().unwrap();
    assert!(warning.contains("the other caches are asked"), "{warning}");
    // What nobody else has is asked of it all the same, and its fault is the error.
    let error = caches.closure(&[self::path(3)]).unwrap_err().to_string();
    assert!(error.contains(&dying.url()), "{error}");
}

/// <https://github.com/kalbasit/ncps/issues/1392>, <https://github.com/NixOS/nix/issues/11411>.
#[test]
fn another_cache_is_asked_for_a_nar_that_is_corrupt() {
    let nar = some_nar(1_100_000);
    let small = some_nar(50);
    let good = Made::new();
    let middle = Made::new();
    for made in [&good, &middle] {
        made.add(&path(1), &nar, Compression::Zstd, &[], |_| {});
        made.add(&path(2), &small, Compression::None, &[], |_| {});
    }
    let expected = [1, 2].map(|number| shown(&good.open(), &path(number)).unwrap());
    let mut flipped = [nar.clone(), small.clone()];
    for nar in &mut flipped {
        let middle = nar.len() / 2;
        nar[middle] ^= 1;
    }
    for compression in [Compression::None, Compression::Xz, Compression::Zstd] {
        for number in [1, 2] {
            // A debug build of xz is slow.
            if (compression, number) == (Compression::Xz, 1) {
                continue;
            }
            let right = compress(compression, [&nar, &small][number - 1]);
            let mut bits = right.clone();
            let at = bits.len() / 2;
            bits[at] ^= 0x10;
            for wrong in [
                compress(compression, &flipped[number - 1]),
                bits,
                right[..right.len() / 2].to_vec(),
                [&right[..], b"more"].concat(),
                Vec::new(),
            ] {
                let bad = Made::new();
                let right = [&nar, &small][number - 1];
                bad.add(&path(number), right, compression, &[], |info| {
                    bad.write(&info.file.url, &wrong);
                });
                let urls = [bad.url(), middle.url(), good.url()];
                let urls = urls.each_ref().map(String::as_str);
                let (caches, warnings) = open_warned(&urls, good.trust());
                let caches = caches.unwrap();
                for _ in 0..2 {
                    assert_eq!(shown(&caches, &path(number)).unwrap(), expected[number - 1]);
                }
                let [warning] = warnings.all().try_into().unwrap();
                let name = format!("{}/nar/{}.nar", bad.url(), path(number).hash());
                assert!(warning.contains(&name), "{warning}");
                assert!(warning.contains(&middle.url()), "{warning}");
                // Where no other has it, the error is the first cache's.
                let empty = Made::new();
                let (caches, _) = open_warned(&[&bad.url(), &empty.url()], good.trust());
                let error = shown(&caches.unwrap(), &path(number)).unwrap_err();
                assert!(error.contains(&name), "{error}");
            }
        }
    }
}

/// A connection that always breaks at the same place gives no NAR.
#[test]
fn another_cache_is_asked_for_a_nar_that_is_always_cut() {
    let (made, path) = one();
    let (first, _) = serve(&made, |asked| match is_nar(asked) {
        true => Answer::WholeCut(1000),
        false => Answer::Right,
    });
    let urls = [first.url(), made.url()];
    let (caches, warnings) = open_warned(&[&urls[0], &urls[1]], made.trust());
    let expected = shown(&made.open(), &path).unwrap();
    assert_eq!(shown(&caches.unwrap(), &path).unwrap(), expected);
    assert_eq!(warnings.all().len(), 1);
}

/// A server that sends a byte now and then is never silent, and never done.
#[test]
fn a_small_file_must_come_in_time() {
    let made = Made::new();
    let options = Options {
        document_time: Duration::ZERO,
        ..options(made.trust())
    };
    let error = chain(&BinaryCaches::open([made.url()], options).unwrap_err());
    assert!(
        error.contains("nix-cache-info: it is not whole after 0 s"),
        "{error}"
    );
}

/// <https://github.com/edolstra/nix-serve/issues/53>: `nix copy` takes a path that nobody signed if its
/// name follows from its content.
#[test]
fn a_content_address_needs_no_signature() {
    let mut content = nar::Writer::new(Vec::new());
    content.directory(b"").unwrap();
    content.file(b"f", false, 3, &mut &b"hi\n"[..]).unwrap();
    let directory = content.finish().unwrap();
    let flat = |executable| {
        let mut content = nar::Writer::new(Vec::new());
        content
            .file(b"", executable, 5, &mut &b"flat\n"[..])
            .unwrap();
        content.finish().unwrap()
    };
    let path = |name: &str| StoreDir::default().parse_base_name(name).unwrap();
    let d = path("hh0jwqmsbfc93z2prvb2x6qin9ir4mj1-d");
    let f = path("rkf79g8l9nv68w00j1z80zjn9aw7szx3-flat.txt");
    let d_address = "fixed:r:sha256:1jpg5v8rcf4d08rlpq51vnd1w800l64h34r0bw4vkb6z3qlk089k";
    let f_address = "fixed:sha256:1xk2hhjr0f2n4adj1h688wlz59xpl86y1r8bd2pjasg8gy16mikb";
    let show = |path: &StorePath, nar: &[u8], address: &str, references: &[StorePath]| {
        let made = Made::new();
        made.add(path, nar, Compression::Zstd, references, |info| {
            info.signatures.clear();
            info.ca = Some(address.to_owned());
        });
        shown(&made.open(), path)
    };
    show(&d, &directory, d_address, &[]).unwrap();
    show(&f, &flat(false), f_address, &[]).unwrap();
    let wrong = "fixed:r:sha256:0jpg5v8rcf4d08rlpq51vnd1w800l64h34r0bw4vkb6z3qlk089k";
    for (result, why) in [
        (show(&d, &flat(false), d_address, &[]), "does not follow"),
        (show(&d, &directory, wrong, &[]), "does not follow"),
        (show(&d, &directory, "md5:x", &[]), "does not follow"),
        (
            show(&d, &directory, d_address, std::slice::from_ref(&d)),
            "does not follow",
        ),
        (show(&f, &flat(true), f_address, &[]), "not executable"),
        (show(&f, &directory, f_address, &[]), "not a regular file"),
    ] {
        let error = result.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

/// Nix takes what its caller says of a cache.
#[test]
fn a_cache_may_be_trusted_by_its_address() {
    let made = Made::new();
    made.add(&path(1), &some_nar(10), Compression::None, &[], |info| {
        info.signatures.clear();
    });
    for (parameters, is_trusted) in [
        ("", false),
        ("?trusted=0", false),
        ("?trusted=1&no=x", true),
    ] {
        let url = format!("{}{parameters}", made.url());
        let (caches, warnings) = open_warned(&[&url], made.trust());
        let caches = caches.unwrap();
        assert_eq!(shown(&caches, &path(1)).is_ok(), is_trusted, "{url}");
        assert_eq!(caches.trusted().count(), usize::from(is_trusted));
        let unknown = warnings
            .all()
            .iter()
            .any(|text| text.contains("unknown parameter `no`"));
        assert_eq!(unknown, is_trusted);
    }
}

#[test]
fn another_cache_is_asked_for_a_nar_that_cannot_be_had() {
    let (made, path) = one();
    let (first, _) = serve(&made, |asked| match is_nar(asked) {
        true => Answer::Status(404, ""),
        false => Answer::Right,
    });
    // Another build of the same path is not what the first narinfo told of.
    let other = Made::new();
    other.add(&path, &some_nar(10), Compression::None, &[], |_| {});
    let same = Made::new();
    same.add(&path, &some_nar(SIZE), Compression::Zstd, &[], |_| {});
    let mut trust = made.trust();
    trust.keys.extend(other.trust().keys);
    trust.keys.extend(same.trust().keys);
    let urls = [first.url(), other.url(), same.url()];
    let expected = shown(&made.open(), &path).unwrap();
    let caches = open(&urls.each_ref().map(String::as_str), trust.clone()).unwrap();
    for _ in 0..2 {
        assert_eq!(shown(&caches, &path).unwrap(), expected);
    }
    // What was found once is kept.
    assert_eq!(first.asked().iter().filter(|a| is_nar(a)).count(), 1);

    let caches = open(&[&urls[0], &urls[1]], trust).unwrap();
    let error = shown(&caches, &path).unwrap_err();
    assert!(error.contains(&first.url()), "{error}");
}
