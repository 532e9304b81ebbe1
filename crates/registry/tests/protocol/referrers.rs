//! Artifacts beside an image, by registries that differ in how they list them.

use oci::{Digest, Reference, media_type};
use registry::{Access, Repository};
use serde_json::json;

use crate::double::{Double, Referrers};
use crate::support::{Made, ONE_JOB, client, push};

const MEMORY: &str = "application/x-memory+json";

/// Notes of the artifacts of this type, in the order of the list.
fn notes(repository: &Repository<'_>, subject: Digest, artifact_type: &str) -> Vec<String> {
    let found = repository.referrers(subject, artifact_type).unwrap();
    let notes = found.iter().map(|found| {
        let artifact = repository.manifest(&found.digest.to_string());
        artifact.unwrap().unwrap().annotations["note"].clone()
    });
    notes.collect()
}

#[track_caller]
fn are_found(referrers: Referrers) -> Double {
    let double = Double::start();
    double.state().referrers = referrers;
    let client = client();
    push(&double, &client, ONE_JOB(), &[&Made::known(1, 10)]).unwrap();
    let reference: Reference = format!("{}/app", double.address).parse().unwrap();
    let repository = client.repository(&reference, Access::Push);
    let subject = repository.manifest("v1").unwrap().unwrap();
    assert!(notes(&repository, subject.digest, MEMORY).is_empty());
    let config = subject.blobs().next().unwrap().clone();
    for (kind, note) in [
        (MEMORY, "one"),
        ("application/x-other", "two"),
        (MEMORY, "three"),
    ] {
        let artifact = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": kind, "config": config, "layers": [],
            "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.bytes.len()},
            "annotations": {"note": note},
        });
        let bytes = artifact.to_string().into_bytes();
        // Twice, as after a run that was killed.
        for _ in 0..2 {
            let put = repository.put_referrer(media_type::MANIFEST, &bytes);
            assert_eq!(put.unwrap(), Digest::of(&bytes));
        }
    }
    let mut found = notes(&repository, subject.digest, MEMORY);
    found.dedup();
    assert_eq!(found, ["one", "three"]);
    double
}

fn has_fallback_tag(double: &Double) -> bool {
    let state = double.state();
    state.tags.keys().any(|tag| tag.starts_with("sha256-"))
}

#[test]
fn a_registry_with_the_api_lists_them_page_by_page() {
    let double = are_found(Referrers::Listed);
    assert!(!has_fallback_tag(&double));
    assert!(double.count("page=2") > 0);
}

#[test]
fn types_that_the_list_leaves_out_are_read_from_the_manifests() {
    let double = are_found(Referrers::WithoutTypes);
    assert!(!has_fallback_tag(&double));
}

#[test]
fn without_the_api_they_are_listed_under_a_tag() {
    assert!(has_fallback_tag(&are_found(Referrers::Unknown)));
}

#[test]
fn an_empty_list_or_a_redirect_does_not_mean_that_there_are_none() {
    assert!(has_fallback_tag(&are_found(Referrers::Empty)));
    let double = are_found(Referrers::Page);
    assert!(has_fallback_tag(&double));
    assert!(double.count("GET /people") > 0);
}

#[test]
fn a_manifest_without_a_subject_is_no_artifact() {
    let double = Double::start();
    let client = client();
    push(&double, &client, ONE_JOB(), &[&Made::known(1, 10)]).unwrap();
    let reference: Reference = format!("{}/app", double.address).parse().unwrap();
    let repository = client.repository(&reference, Access::Push);
    let image = repository.manifest("v1").unwrap().unwrap();
    let error = repository.put_referrer(&image.media_type, &image.bytes);
    assert!(error.unwrap_err().to_string().contains("no subject"));
}
