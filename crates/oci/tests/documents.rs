//! The bytes of documents: images are found again by their digests, so these never change.

use std::collections::BTreeMap;

use oci::index::put_platform;
use oci::{Descriptor, Index, Manifest, Platform, annotation, media_type};
use serde_json::{Value, json};

const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

#[test]
fn fields_stand_in_the_order_of_the_specification_and_maps_are_sorted() {
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    let layer = Descriptor {
        annotations: BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".into(), "1".into())]),
        ..Descriptor::of(media_type::LAYER_GZIP, b"{}")
    };
    let annotations = BTreeMap::from([("d".to_owned(), "4".to_owned()), ("c".into(), "3".into())]);
    let manifest = Manifest::new(config, vec![layer], annotations);
    let expected = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"{EMPTY}\",\"size\":2}},\
         \"layers\":[{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"{EMPTY}\",\"size\":2,\
         \"annotations\":{{\"a\":\"1\",\"b\":\"2\"}}}}],\"annotations\":{{\"c\":\"3\",\"d\":\"4\"}}}}"
    );
    assert_eq!(manifest.to_json().unwrap(), expected.as_bytes());
    assert_eq!(
        serde_json::from_str::<Manifest>(&expected).unwrap(),
        manifest
    );

    let image = Descriptor {
        platform: Some(Platform {
            variant: Some("v7".to_owned()),
            ..Platform::linux("arm")
        }),
        ..Descriptor::of(media_type::MANIFEST, b"{}")
    };
    let index = Index::new(vec![image]);
    let expected = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
         \"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"{EMPTY}\",\"size\":2,\
         \"platform\":{{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}}}}]}}"
    );
    assert_eq!(index.to_json().unwrap(), expected.as_bytes());
    assert_eq!(serde_json::from_str::<Index>(&expected).unwrap(), index);
}

#[test]
fn what_others_leave_out_or_add_is_no_error() {
    let text = format!(
        "{{\"schemaVersion\":2,\"config\":{{\"digest\":\"{EMPTY}\",\"size\":2,\"urls\":[]}},\"layers\":[],\"new\":1}}"
    );
    let manifest: Manifest = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest.media_type, "");
    assert_eq!(manifest.config.size, 2);
}

/// An entry of an index; what the specification does not know of it must stay.
fn entry(bytes: &[u8], platform: Platform) -> Value {
    let mut entry = json!(Descriptor {
        platform: Some(platform),
        ..Descriptor::of(media_type::MANIFEST, bytes)
    });
    entry["x"] = json!(true);
    entry
}

#[test]
fn an_image_replaces_the_one_for_its_platform_and_what_was_said_about_that_one() {
    let old = entry(b"old", Platform::linux("arm64"));
    let other = entry(b"other", Platform::linux("riscv64"));
    let mut attestation = entry(
        b"attestation",
        Platform {
            os: "unknown".to_owned(),
            architecture: "unknown".to_owned(),
            ..Platform::default()
        },
    );
    attestation["annotations"] = json!({ annotation::REFERENCE_DIGEST: old["digest"] });
    let image = Descriptor {
        platform: Some(Platform {
            variant: Some("v8".to_owned()),
            ..Platform::linux("arm64")
        }),
        ..Descriptor::of(media_type::MANIFEST, b"new")
    };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let all = [&attestation, &other, &old];
        let mut entries: Vec<Value> = order.iter().map(|&index| all[index].clone()).collect();
        put_platform(&mut entries, &image);
        assert_eq!(entries, [json!(image), other.clone()]);
    }
}
