//! Reading from registries, and the documents beside an image.

use std::io::{Read, Write as _};

use oci::{Descriptor, Digest, Platform, Reference, media_type};
use registry::{Access, Client, Document, Error, Push, PushOptions, Repository};
use serde_json::{Value, json};

use crate::double::{Double, Fault};
use crate::support::{Made, ONE_JOB, client, config, manifest, push};

fn repository<'c>(client: &'c Client, double: &Double) -> Repository<'c> {
    let reference: Reference = format!("{}/app", double.address).parse().unwrap();
    client.repository(&reference, Access::Push)
}

/// A registry that has one blob.
fn with_blob(size: u64) -> (Double, Digest, Vec<u8>) {
    let double = Double::start();
    let bytes = Made::known(5, size).bytes();
    let digest = Digest::of(&bytes);
    double.state().blobs.insert(digest, bytes.clone());
    (double, digest, bytes)
}

fn read(double: &Double, digest: Digest, size: u64) -> Result<Vec<u8>, Error> {
    let client = client();
    repository(&client, double).blob_bytes(digest, size, size)
}

#[test]
fn a_blob_that_breaks_off_goes_on_where_it_was() {
    let (double, digest, bytes) = with_blob(1_000_000);
    double.fail("GET", "/blobs/", 6, Fault::BreakInAnswer(150_000));
    assert_eq!(read(&double, digest, 1_000_000).unwrap(), bytes);
    assert_eq!(double.count("GET /v2/app/blobs/"), 7);
    double.state().no_ranges = true;
    double.fail("GET", "/blobs/", 2, Fault::BreakInAnswer(300_000));
    assert_eq!(read(&double, digest, 1_000_000).unwrap(), bytes);
    double.fail("GET", "/blobs/", usize::MAX, Fault::BreakInAnswer(0));
    let error = read(&double, digest, 1_000_000).unwrap_err().to_string();
    assert!(
        error.contains("0 of 1000000 bytes") && error.contains("after 4 attempts"),
        "{error}"
    );
}

#[test]
fn redirected_blobs_are_read_without_showing_the_token() {
    let (double, digest, bytes) = with_blob(300_000);
    double.state().redirect = true;
    double.state().token_uses = Some(3);
    double.fail("GET", "/storage/", 1, Fault::BreakInAnswer(1000));
    assert_eq!(read(&double, digest, 300_000).unwrap(), bytes);
    assert_eq!(double.count("GET /storage/"), 2);
    assert_eq!(
        double.count("GET /v2/app/blobs/"),
        3,
        "401, then each break begins at the registry again"
    );
}

#[test]
fn a_blob_with_other_bytes_is_never_taken_for_read() {
    let (double, digest, _) = with_blob(300_000);
    double.fail("GET", "/blobs/", 1, Fault::WrongBytes);
    let error = read(&double, digest, 300_000).unwrap_err();
    assert!(
        matches!(error, Error::DigestMismatch { expected, .. } if expected == digest),
        "{error}"
    );
    let error = read(&double, digest, 299_999).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    let error = read(&double, digest, 300_001).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Transport { .. } | Error::Answer { .. } | Error::Status { .. }
        ),
        "{error}"
    );
    let error = read(&double, Digest::of(b"other"), 5).unwrap_err();
    assert_eq!(error.status(), Some(404), "{error}");
}

#[test]
fn a_manifest_is_read_whole_or_not_at_all() {
    let double = Double::start();
    push(&double, &client(), ONE_JOB(), &[&Made::known(1, 10)]).unwrap();
    let client = client();
    let repository = repository(&client, &double);
    assert!(repository.manifest("v2").unwrap().is_none());
    double.fail("GET", "/manifests/", 2, Fault::BreakInAnswer(100));
    let manifest = repository.manifest("v1").unwrap().unwrap();
    assert_eq!(manifest.annotations["org.example.memory"], "kept");
    assert_eq!(manifest.blobs().count(), 2);
    let again = repository
        .manifest(&manifest.digest.to_string())
        .unwrap()
        .unwrap();
    assert_eq!(again.bytes, manifest.bytes);
    for fault in [Fault::WrongDigest, Fault::WrongBytes] {
        double.fail("GET", "/manifests/", 1, fault);
        let error = repository.manifest("v1").unwrap_err();
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    }
}

/// Pushes an image for this architecture without a tag.
fn platform_image(client: &Client, double: &Double, architecture: &str) -> Descriptor {
    let repository = repository(client, double);
    let config = config(architecture);
    let mut push = Push::new(&repository, PushOptions::default(), &());
    let there = push.blobs(&[&config]).unwrap()[0];
    let bytes = manifest(&[(there.digest, there.size)]);
    let digest = Digest::of(&bytes);
    push.manifest(&digest.to_string(), media_type::MANIFEST, &bytes)
        .unwrap();
    Descriptor {
        platform: Some(Platform::linux(architecture)),
        ..Descriptor::of(media_type::MANIFEST, &bytes)
    }
}

fn architectures(repository: &Repository<'_>, tag: &str) -> Vec<String> {
    let index = repository.manifest(tag).unwrap().unwrap();
    assert_eq!(index.media_type, media_type::INDEX);
    let Document::Index { manifests } = index.document else {
        panic!("not an index")
    };
    manifests
        .into_iter()
        .map(|manifest| manifest.platform.unwrap().architecture)
        .collect()
}

#[test]
fn an_index_gets_one_platform_after_the_other() {
    let (client, double, other) = (client(), Double::start(), Double::start());
    let images = ["arm64", "amd64", "riscv64"]
        .map(|architecture| platform_image(&client, &double, architecture));
    for architecture in ["arm64", "amd64", "riscv64"] {
        platform_image(&client, &other, architecture);
    }
    let one = repository(&client, &double);
    let digests: Vec<_> = images
        .iter()
        .map(|image| one.put_in_index("v1", image).unwrap())
        .collect();
    assert_eq!(architectures(&one, "v1"), ["amd64", "arm64", "riscv64"]);
    let two = repository(&client, &other);
    let backwards: Vec<_> = images
        .iter()
        .rev()
        .map(|image| two.put_in_index("v1", image).unwrap())
        .collect();
    assert_eq!(
        digests.last(),
        backwards.last(),
        "the order in which they came makes no difference"
    );

    // The same again changes nothing, and is not sent.
    double.state().log.clear();
    assert_eq!(one.put_in_index("v1", &images[1]).unwrap(), digests[2]);
    assert_eq!(double.count("PUT"), 0);

    // Another image for a platform takes the place of the one before, and of what was said about it.
    let mut index: Value =
        serde_json::from_slice(&one.manifest("v1").unwrap().unwrap().bytes).unwrap();
    index["annotations"] = json!({"kept": "as it is"});
    index["unknown"] = json!([1.5, null]);
    let attestation = json!({
        "mediaType": media_type::MANIFEST, "digest": Digest::of(b"att"), "size": 3,
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.digest": images[0].digest},
    });
    index["manifests"].as_array_mut().unwrap().push(attestation);
    one.put_manifest("v1", media_type::INDEX, index.to_string().as_bytes())
        .unwrap();
    let replacement = Descriptor {
        platform: images[0].platform.clone(),
        ..images[2].clone()
    };
    one.put_in_index("v1", &replacement).unwrap();
    let index: Value = serde_json::from_slice(&one.manifest("v1").unwrap().unwrap().bytes).unwrap();
    assert_eq!(index["annotations"]["kept"], "as it is");
    assert_eq!(index["unknown"].to_string(), "[1.5,null]");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(index["manifests"][1]["digest"], json!(images[2].digest));
}

#[test]
fn an_image_that_stands_alone_becomes_a_part_of_the_index() {
    let (client, double) = (client(), Double::start());
    push(&double, &client, ONE_JOB(), &[&Made::known(1, 10)]).unwrap();
    let image = platform_image(&client, &double, "arm64");
    let repository = repository(&client, &double);
    repository.put_in_index("v1", &image).unwrap();
    assert_eq!(architectures(&repository, "v1"), ["amd64", "arm64"]);
}

#[test]
fn an_index_that_someone_else_wrote_in_between_is_written_again() {
    let (client, double) = (client(), Double::start());
    let images =
        ["arm64", "amd64"].map(|architecture| platform_image(&client, &double, architecture));
    let repository = repository(&client, &double);
    repository.put_in_index("v1", &images[0]).unwrap();
    let before = double.state().tags["v1"].clone();
    // The read after the write finds the index of before: ours was overwritten.
    double.state().overwrite = Some(("v1".to_owned(), before));
    repository.put_in_index("v1", &images[1]).unwrap();
    assert_eq!(architectures(&repository, "v1"), ["amd64", "arm64"]);
}

#[test]
fn a_blob_is_read_in_pieces_of_any_size() {
    let (double, digest, bytes) = with_blob(100_000);
    let client = client();
    let repository = repository(&client, &double);
    let (mut reader, mut out) = (repository.blob(digest, 100_000).unwrap(), Vec::new());
    let mut buffer = [0; 777];
    loop {
        let read = reader.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        out.write_all(&buffer[..read]).unwrap();
    }
    assert_eq!(out, bytes);
    assert_eq!(reader.read(&mut buffer).unwrap(), 0);
}
