//! Blobs to push, and a client that does not wait long.

use std::io::{self, Read};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci::DigestWriter;
use oci::{Descriptor, Digest, Reference, media_type};
use registry::{
    Access, Blob, Bytes, Client, Content, Credentials, Options, Push, PushOptions, Result, Retry,
    Summary,
};
use serde_json::json;

use crate::double::Double;

pub(crate) fn options() -> Options {
    Options {
        credentials: Credentials::none(),
        retry: Retry {
            attempts: 4,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(20),
        },
        timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

pub(crate) fn client() -> Client {
    Client::new(options()).unwrap()
}

/// A blob of `size` bytes that follow from `seed`, made while it is read.
pub(crate) struct Made {
    seed: u64,
    size: u64,
    known: OnceLock<Digest>,
    /// How often it was opened.
    pub(crate) opened: AtomicUsize,
}

impl Made {
    /// Its digest is found out by reading it.
    pub(crate) fn unknown(seed: u64, size: u64) -> Self {
        Self {
            seed,
            size,
            known: OnceLock::new(),
            opened: AtomicUsize::new(0),
        }
    }

    /// Its digest is known beforehand.
    pub(crate) fn known(seed: u64, size: u64) -> Self {
        let blob = Self::unknown(seed, size);
        io::copy(&mut blob.open().unwrap(), &mut io::sink()).unwrap();
        blob.opened.store(0, Ordering::Relaxed);
        blob
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.open().unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }
}

impl Blob for Made {
    fn name(&self) -> String {
        format!("blob {}", self.seed)
    }

    fn content(&self) -> Content {
        match self.known.get() {
            Some(digest) => Content::Known {
                digest: *digest,
                size: self.size,
            },
            None => Content::Unknown,
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(MadeReader {
            blob: self,
            at: 0,
            state: self.seed,
            hasher: DigestWriter::default(),
        }))
    }
}

struct MadeReader<'a> {
    blob: &'a Made,
    at: u64,
    state: u64,
    hasher: DigestWriter,
}

impl Read for MadeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.blob.size - self.at).unwrap();
        // Odd steps, so that nothing falls on a round number by luck.
        let count = buffer.len().min(left).min(7919);
        for byte in &mut buffer[..count] {
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.state >> 56) as u8;
        }
        self.hasher.update(&buffer[..count]);
        self.at += count as u64;
        if self.at == self.blob.size {
            self.blob
                .known
                .get_or_init(|| self.hasher.clone().finish().0);
        }
        Ok(count)
    }
}

/// A configuration for an image; its architecture makes it differ.
pub(crate) fn config(architecture: &str) -> Bytes {
    Bytes::new(
        "config",
        json!({"architecture": architecture, "os": "linux"})
            .to_string()
            .into_bytes(),
    )
}

/// The manifest that lists these blobs, the configuration first.
pub(crate) fn manifest(blobs: &[(Digest, u64)]) -> Vec<u8> {
    let descriptors: Vec<_> = blobs
        .iter()
        .map(|(digest, size)| Descriptor::new("application/octet-stream", *digest, *size))
        .collect();
    let text = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": descriptors[0],
        "layers": descriptors[1..],
        "annotations": {"org.example.memory": "kept"},
    });
    text.to_string().into_bytes()
}

pub(crate) const ONE_JOB: fn() -> PushOptions = || PushOptions {
    jobs: 1,
    ..PushOptions::default()
};

/// Pushes an image of these layers as `app:v1`.
pub(crate) fn push(
    double: &Double,
    client: &Client,
    options: PushOptions,
    layers: &[&dyn Blob],
) -> Result<Summary> {
    let reference: Reference = format!("{}/app:v1", double.address).parse()?;
    let repository = client.repository(&reference, Access::Push);
    let config = config("amd64");
    let mut push = Push::new(&repository, options, &());
    if let Some(before) = repository.manifest("v1")? {
        push.assume_present(&before);
    }
    let layers = push.blobs(layers)?;
    let mut listed = push.blobs(&[&config])?;
    listed.extend(layers);
    let listed: Vec<_> = listed.iter().map(|blob| (blob.digest, blob.size)).collect();
    push.manifest("v1", media_type::MANIFEST, &manifest(&listed))?;
    Ok(push.summary())
}

/// Pushes two layers, one that is known and one that is not, each larger than any buffer.
pub(crate) fn push_two(double: &Double, options: PushOptions) -> Result<Summary> {
    push(
        double,
        &client(),
        options,
        &[&Made::known(1, 3_000_000), &Made::unknown(2, 2_000_001)],
    )
}

#[track_caller]
pub(crate) fn ends_well(double: &Double, options: PushOptions) -> Summary {
    let summary = push_two(double, options).unwrap();
    assert!(double.stands("v1"));
    assert_eq!((summary.present, summary.sent), (0, 3));
    summary
}

/// The same with layers of a few buffers, for tests that push often.
#[track_caller]
pub(crate) fn ends_small(double: &Double, options: PushOptions) {
    let layers: [&dyn Blob; 2] = [&Made::known(1, 150_000), &Made::unknown(2, 200_001)];
    let summary = push(double, &client(), options, &layers).unwrap();
    assert!(double.stands("v1"));
    assert_eq!((summary.present, summary.sent), (0, 3));
}
