//! What registries' users met.

use std::fs;

use serde_json::json;
use test_peers::needs;

use crate::support::app::App;
use crate::support::peer;
use crate::support::program::{fail, succeed};
use crate::support::registry::Registry;

/// skopeo says "Digest of source image's manifest would not match destination reference":
/// <https://github.com/containers/skopeo/issues/1078>.
#[needs(registry, skopeo)]
#[test]
fn a_digest_in_the_reference_holds_the_image_to_it() {
    let registry = Registry::find("held");
    let app = App::new(1 << 10);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let pushed = succeed(&mut app.command(&["push", &registry.reference("right")]));
    let pushed = String::from_utf8(pushed).unwrap();
    let right = pushed.trim().split_once('@').unwrap().1;
    let repository = format!("{}/{}", registry.host, registry.repository);
    for name in [
        format!("{repository}@{wrong}"),
        format!("{repository}:tag@{wrong}"),
    ] {
        let error = fail(&mut app.command(&["push", &name]), 1);
        assert!(error.contains(&wrong) && error.contains(right), "{error}");
        let other = registry.reference("other");
        let error = fail(&mut app.command(&["push", &other, "--also", &name]), 1);
        assert!(error.contains(&wrong) && error.contains(right), "{error}");
    }
    for tag in ["tag", "latest", "other"] {
        assert_eq!(registry.manifest(tag), None, "{tag}");
    }
    succeed(&mut app.command(&["push", &format!("{repository}:tag@{right}")]));
    assert_eq!(registry.manifest("tag"), registry.manifest("right"));
    // A digest alone gives no tag.
    let elsewhere = format!("{repository}-untagged@{right}");
    let printed = succeed(&mut app.command(&["push", &elsewhere]));
    assert_eq!(String::from_utf8(printed).unwrap().trim(), elsewhere);
    let untagged = Registry {
        repository: format!("{}-untagged", registry.repository),
        ..Registry::find("held")
    };
    assert_eq!(untagged.manifest("latest"), None);
    let error = fail(&mut app.command(&["push", "--index", &elsewhere]), 2);
    assert!(error.contains("--index"), "{error}");
}

/// An error names the image once.
#[needs(registry_with_users)]
#[test]
fn the_name_is_not_doubled() {
    let host = peer::setting("STREAM_LAYERED_TEST_AUTH_REGISTRY");
    let app = App::new(1 << 10);
    fs::write(app.directory().join("config.json"), json!({}).to_string()).unwrap();
    for host in [host.as_str(), "127.0.0.1:1"] {
        let name = format!("{host}/app");
        let mut push = app.command(&["push", &format!("{name}:1")]);
        let error = fail(push.env("DOCKER_CONFIG", app.directory()), 1);
        assert_eq!(error.matches(&name).count(), 1, "{error}");
    }
}
