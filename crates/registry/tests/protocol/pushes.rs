//! What a push does, and what it leaves out.

use std::io::{self, Read};
use std::sync::Mutex;

use oci::{Reference, media_type};
use registry::{
    Access, Arrival, Blob, Content, Error, Event, Observer, Push, PushOptions, Summary,
};

use crate::double::{Double, Fault};
use crate::support::{Made, ONE_JOB, client, config, ends_well, manifest, push};

#[test]
fn without_faults_each_blob_takes_its_fewest_requests() {
    let double = Double::start();
    let summary = ends_well(&double, ONE_JOB());
    assert_eq!(summary.bytes_sent, 5_000_001 + 37);
    let log = double.state().log.clone();
    let methods: Vec<_> = log
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        methods.join(" "),
        "GET HEAD POST PUT POST PATCH PUT HEAD POST PUT PUT",
        "{log:#?}"
    );
}

#[test]
fn an_unchanged_image_takes_one_request_and_reads_nothing() {
    let double = Double::start();
    let layers = [Made::known(1, 3_000_000), Made::known(2, 10)];
    let blobs: Vec<&dyn Blob> = layers.iter().map(|layer| layer as &dyn Blob).collect();
    push(&double, &client(), PushOptions::default(), &blobs).unwrap();
    let opened = layers[0].opened.load(std::sync::atomic::Ordering::Relaxed);
    double.state().log.clear();
    let summary = push(&double, &client(), PushOptions::default(), &blobs).unwrap();
    assert_eq!(
        summary,
        Summary {
            present: 3,
            bytes: 3_000_010 + 37,
            ..Summary::default()
        }
    );
    assert_eq!(double.state().log, ["GET /v2/app/manifests/v1?"]);
    assert_eq!(
        layers[0].opened.load(std::sync::atomic::Ordering::Relaxed),
        opened
    );
}

#[test]
fn a_listed_blob_that_is_gone_after_all_is_sent() {
    let double = Double::start();
    let layers = [
        Made::known(1, 1000),
        Made::known(2, 1000),
        Made::known(3, 1000),
    ];
    push(
        &double,
        &client(),
        PushOptions::default(),
        &[&layers[0], &layers[1]],
    )
    .unwrap();
    let Content::Known { digest, .. } = layers[0].content() else {
        unreachable!()
    };
    double.state().blobs.remove(&digest);
    let blobs: [&dyn Blob; 3] = [&layers[0], &layers[1], &layers[2]];
    let summary = push(&double, &client(), PushOptions::default(), &blobs).unwrap();
    assert_eq!((summary.present, summary.sent), (2, 2));
    assert!(double.stands("v1"));
}

#[test]
fn a_mount_that_is_refused_becomes_an_upload() {
    let double = Double::start();
    let layers = [Made::known(1, 1000), Made::known(2, 1000)];
    let Content::Known { digest, .. } = layers[0].content() else {
        unreachable!()
    };
    double.state().elsewhere.insert(format!("base@{digest}"));
    let blob = layers[0].bytes();
    double.state().blobs.insert(digest, blob);
    double.fail("HEAD", "/blobs/", 1, Fault::Answer(404, &[]));
    let options = PushOptions {
        mount_from: vec!["app".to_owned(), "other".to_owned(), "base".to_owned()],
        ..ONE_JOB()
    };
    let summary = push(&double, &client(), options, &[&layers[0], &layers[1]]).unwrap();
    assert_eq!((summary.mounted, summary.sent), (1, 2));
    assert!(double.stands("v1"));
    assert_eq!(
        double.count("POST"),
        2 + 2 + 2,
        "each other repository is asked once for each blob"
    );
    assert_eq!(double.state().received, 1000 + 37);
}

/// A blob that dies while it is read, or is not what it said.
struct Bad(io::ErrorKind, u64);

impl Blob for Bad {
    fn name(&self) -> String {
        "layer 7".to_owned()
    }

    fn content(&self) -> Content {
        Content::Known {
            digest: oci::Digest::of(b"x"),
            size: self.1,
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match self.0 {
            io::ErrorKind::NotFound => Err(io::ErrorKind::NotFound.into()),
            io::ErrorKind::UnexpectedEof => Ok(Box::new(io::repeat(0).take(100_000))),
            _ => Ok(Box::new(io::repeat(0).take(500_000).chain(Fails))),
        }
    }
}

struct Fails;

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is on fire"))
    }
}

#[test]
fn a_blob_that_cannot_be_read_ends_the_push_at_once() {
    for (bad, expected) in [
        (Bad(io::ErrorKind::Other, 1_000_000), "on fire"),
        (Bad(io::ErrorKind::NotFound, 1_000_000), "cannot read"),
        (
            Bad(io::ErrorKind::UnexpectedEof, 1_000_000),
            "100000 bytes, but should have 1000000",
        ),
        (Bad(io::ErrorKind::UnexpectedEof, 50_000), "DIGEST_INVALID"),
    ] {
        let double = Double::start();
        let error = push(&double, &client(), PushOptions::default(), &[&bad]).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let error = format!("{error}: {}", cause.unwrap_or_default());
        assert!(
            error.contains("layer 7") && error.contains(expected),
            "{error}"
        );
        assert!(double.count("POST") <= 1, "{error}");
        assert!(!double.stands("v1"));
    }
}

#[test]
fn a_manifest_that_lists_what_did_not_arrive_is_not_sent() {
    let double = Double::start();
    let client = client();
    let reference: Reference = format!("{}/app:v1", double.address).parse().unwrap();
    let repository = client.repository(&reference, Access::Push);
    let config = config("amd64");
    let mut push = Push::new(&repository, PushOptions::default(), &());
    let there = push.blobs(&[&config]).unwrap()[0];
    let listed = manifest(&[(there.digest, there.size), (oci::Digest::of(b"absent"), 6)]);
    let error = push
        .manifest("v1", media_type::MANIFEST, &listed)
        .unwrap_err();
    assert!(matches!(error, Error::Incomplete { .. }), "{error}");
    assert_eq!(double.count("PUT /v2/app/manifests"), 0);
}

#[test]
fn after_a_push_that_died_the_next_one_sends_the_rest() {
    let double = Double::start();
    double.fail_after(3, "PUT", "/blobs/", usize::MAX, Fault::Answer(403, &[]));
    let layers: Vec<_> = (0..8).map(|seed| Made::known(seed, 50_000)).collect();
    let blobs: Vec<&dyn Blob> = layers.iter().map(|layer| layer as &dyn Blob).collect();
    push(&double, &client(), ONE_JOB(), &blobs).unwrap_err();
    assert!(!double.stands("v1"));
    let there = double.state().blobs.len();
    assert_eq!(there, 3);

    let healthy = Double::start();
    healthy.state().blobs = double.state().blobs.clone();
    let summary = push(&healthy, &client(), PushOptions::default(), &blobs).unwrap();
    assert_eq!((summary.present, summary.sent), (there, 9 - there));
    assert_eq!(healthy.state().received, 5 * 50_000 + 37);
    assert!(healthy.stands("v1"));
}

#[test]
fn equal_blobs_are_sent_once() {
    let double = Double::start();
    let layers = [
        Made::known(1, 1000),
        Made::known(1, 1000),
        Made::known(1, 1000),
    ];
    let summary = push(
        &double,
        &client(),
        PushOptions::default(),
        &[&layers[0], &layers[1], &layers[2]],
    )
    .unwrap();
    assert_eq!(summary.sent, 2);
    assert!(double.stands("v1"));
}

/// A blob's name, bytes of it, bytes of all, and how it arrived at last.
type Seen = (String, u64, u64, Option<Arrival>);

#[derive(Default)]
struct Watch(Mutex<Vec<Seen>>);

impl Observer for Watch {
    fn event(&self, name: &str, event: &Event<'_>) {
        let (sent, all, how) = match event {
            Event::Sending { sent, all, .. } => (*sent, *all, None),
            Event::Arrived(arrived) => (arrived.size, 0, Some(arrived.how)),
            Event::Waiting { .. } => return,
        };
        self.0
            .lock()
            .unwrap()
            .push((name.to_owned(), sent, all, how));
    }
}

#[test]
fn progress_counts_what_goes_out_and_takes_back_what_was_lost() {
    let double = Double::start();
    double.fail("PUT", "/blobs/uploads/1", 1, Fault::BreakInBody(100_000));
    let client = client();
    let reference: Reference = format!("{}/app:v1", double.address).parse().unwrap();
    let repository = client.repository(&reference, Access::Push);
    let (layers, watch) = (
        [Made::known(1, 3_000_000), Made::unknown(2, 500_000)],
        Watch::default(),
    );
    let mut push = Push::new(&repository, ONE_JOB(), &watch);
    push.blobs(&[&layers[0], &layers[1]]).unwrap();
    drop(push);
    let seen = watch.0.into_inner().unwrap();
    let last = |name: &str| {
        seen.iter()
            .rfind(|(n, .., how)| n == name && how.is_none())
            .cloned()
            .unwrap()
    };
    assert_eq!(
        last("blob 1"),
        ("blob 1".to_owned(), 3_000_000, 3_000_000, None)
    );
    assert_eq!(
        last("blob 2"),
        ("blob 2".to_owned(), 500_000, 3_500_000, None)
    );
    assert!(
        seen.windows(2)
            .any(|pair| pair[0].0 == "blob 1" && pair[1].1 < pair[0].1),
        "it went back once"
    );
    assert_eq!(
        seen.iter()
            .filter(|(.., how)| *how == Some(Arrival::Sent))
            .count(),
        2
    );
}
