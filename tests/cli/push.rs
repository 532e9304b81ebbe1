//! Pushing to a real registry.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use serde_json::{Value, json};
use test_peers::needs;

use crate::support::app::{App, noise};
use crate::support::engine::Engine;
use crate::support::idle_proxy::IdleProxy;
use crate::support::peer;
use crate::support::program::{fail, stderr, succeed};
use crate::support::registry::Registry;
use crate::support::store_tree::{StoreRoot, store_path};

/// What a push says at its end.
fn last_line(text: &str) -> &str {
    text.lines().next_back().unwrap()
}

#[needs(registry, skopeo)]
#[test]
fn a_machine_without_a_cache_pushes_an_unchanged_image_without_reading_it() {
    let registry = Registry::find("unchanged");
    for compression in ["gzip", "zstd", "none"] {
        let app = App::new(1 << 20);
        let name = registry.reference(compression);
        let push = ["push", &name, "--compression", compression];
        let first = succeed(&mut app.command(&push));
        let before = registry.requests().len();
        app.forget();
        app.take_contents_away();
        let output = app.command(&push).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(output.stdout, first, "{compression}");
        assert!(
            last_line(&stderr(&output)).starts_with("4 layers present, 0 sent, 0 B of "),
            "{}",
            stderr(&output)
        );
        let requests = registry.requests().split_off(before);
        assert!(requests.len() <= 3, "{requests:?}");
    }
}

#[needs(registry, skopeo)]
#[test]
fn only_what_changed_is_sent() {
    let registry = Registry::find("changed");
    let app = App::new(1 << 20);
    let name = registry.reference("1");
    succeed(&mut app.command(&["push", &name]));
    app.change();
    // As from another machine, under another tag.
    app.forget();
    let next = registry.reference("2");
    let output = app
        .command(&["push", &next, "--previous-image", &name])
        .output()
        .unwrap();
    let said = stderr(&output);
    assert!(
        last_line(&said).starts_with("3 layers present, 1 sent, "),
        "{said}"
    );
    assert_eq!(
        said.matches(": sent, ").count(),
        2,
        "a layer and the configuration: {said}"
    );
}

#[needs(docker, docker_on_containerd, registry, skopeo)]
#[test]
fn what_others_pull_is_what_was_pushed() {
    let registry = Registry::find("pulled");
    let app = App::new(1 << 20);
    let layout = app.directory().join("layout");
    succeed(
        app.command(&["stream", "--format", "oci", "-t", "app:1"])
            .arg("-o")
            .arg(&layout),
    );
    let digest_file = app.directory().join("digest");
    let name = registry.reference("1");
    let other = format!("{}/{}-other:1", registry.host, registry.repository);
    let pushed = succeed(
        app.command(&[
            "push",
            &name,
            "--also",
            &registry.reference("2"),
            "--also",
            &other,
        ])
        .arg("--digest-file")
        .arg(&digest_file),
    );
    let pushed = String::from_utf8(pushed).unwrap();
    let digest = fs::read_to_string(digest_file).unwrap();
    assert_eq!(pushed, format!("{name}@{digest}"));
    assert_eq!(registry.manifest("1"), registry.manifest("2"));

    let copy = app.directory().join("copy");
    for source in [&name, &other] {
        succeed(Command::new(&registry.skopeo).args([
            "copy",
            "-q",
            "--src-tls-verify=false",
            &format!("docker://{source}"),
            &format!("oci:{}:1", copy.display()),
        ]));
    }
    let digest_of = |layout: &PathBuf| -> String {
        let index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest_of(&copy), digest.trim());
    assert_eq!(
        digest_of(&layout),
        digest.trim(),
        "a layout has the same image"
    );

    for engine in [Engine::docker(), Engine::docker_on_containerd()] {
        assert!(engine.pull(&name).contains(digest.trim()));
    }
}

#[needs(registry, skopeo)]
#[test]
fn a_push_that_is_killed_leaves_no_tag_and_is_not_in_vain() {
    let registry = Registry::find("killed");
    let app = App::new(24 << 20);
    let name = registry.reference("1");
    let mut child = app
        .command(&["push", &name, "--jobs", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first layer has arrived, and there are more.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(": sent, ")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(registry.manifest("1"), None);
    let before = registry.requests().len();
    let output = app.command(&["push", &name]).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(!last_line(&said).starts_with("0 layers present"), "{said}");
    let uploads = registry.requests().split_off(before);
    let uploads = uploads.iter().filter(|request| request.starts_with("POST"));
    assert!(uploads.count() < 5, "four layers and the configuration");
    assert!(registry.manifest("1").is_some());
}

#[needs(registry, skopeo)]
#[test]
fn layers_of_a_base_image_are_taken_over() {
    let registry = Registry::find("above");
    let below = Registry::find("below");
    let base = App::new(1 << 20);
    let pushed = succeed(&mut base.command(&["push", &below.reference("1"), "-e", "BASE=1"]));
    let pushed = String::from_utf8(pushed).unwrap();
    let app = App::new(1 << 10);
    let from = format!("docker://{}", pushed.trim());
    let output = app
        .command(&["push", &registry.reference("1"), "--from-image", &from])
        .output()
        .unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(last_line(&said).contains("4 taken over"), "{said}");
    let layers = |manifest: Option<Vec<u8>>| -> Vec<Value> {
        let manifest: Value = serde_json::from_slice(&manifest.unwrap()).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["digest"].clone()).collect()
    };
    let (above, below) = (layers(registry.manifest("1")), layers(below.manifest("1")));
    assert_eq!(above[..below.len()], below[..]);
}

#[needs(registry, skopeo)]
#[test]
fn platforms_of_several_machines_share_a_tag() {
    let registry = Registry::find("index");
    let name = registry.reference("1");
    let app = App::new(1 << 10);
    for arch in ["arm64", "amd64"] {
        succeed(&mut app.command(&["push", &name, "--index", "--arch", arch]));
    }
    let before = registry.manifest("1").unwrap();
    let index: Value = serde_json::from_slice(&before).unwrap();
    let platforms = index["manifests"].as_array().unwrap().iter();
    let platforms: Vec<&Value> = platforms
        .map(|entry| &entry["platform"]["architecture"])
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    app.forget();
    app.take_contents_away();
    succeed(&mut app.command(&["push", &name, "--index", "--arch", "arm64"]));
    assert_eq!(registry.manifest("1").unwrap(), before);
}

#[needs(registry_with_users)]
#[test]
fn a_registry_that_asks_who_comes_is_told() {
    let host = peer::setting("STREAM_LAYERED_TEST_AUTH_REGISTRY");
    let app = App::new(1 << 10);
    let name = format!("{host}/stream-layered-test/auth-{}:1", std::process::id());
    let login = |auth: &str| {
        let config = serde_json::json!({ "auths": { &host: { "auth": auth } } });
        fs::write(app.directory().join("config.json"), config.to_string()).unwrap();
    };
    let command = || {
        let mut command = app.command(&["push", &name]);
        command.env("DOCKER_CONFIG", app.directory());
        command
    };
    login("dXNlcjp3cm9uZw==");
    let error = fail(&mut command(), 1);
    assert!(error.contains("not authorized"), "{error}");
    login("dXNlcjpwYXNzd29yZA==");
    succeed(&mut command());
}

#[test]
fn what_cannot_be_pushed_to_is_one_clear_error() {
    let app = App::new(1 << 10);
    let error = fail(&mut app.command(&["push", "127.0.0.1:1/app:1"]), 1);
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

/// Sees how often files are opened.
struct Opens(OwnedFd);

impl Opens {
    fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let opens = inotify::init(CreateFlags::NONBLOCK).unwrap();
        for file in files {
            // An open and a close take turns: two equal events in a row would be told as one.
            let flags = WatchFlags::OPEN | WatchFlags::CLOSE_NOWRITE;
            inotify::add_watch(&opens, file, flags).unwrap();
        }
        Self(opens)
    }

    /// How often each file was opened since.
    fn counts(&self) -> Vec<usize> {
        let mut counts = BTreeMap::new();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::OPEN) => {
                    *counts.entry(event.wd()).or_insert(0) += 1;
                }
                Ok(_) => {}
                Err(Errno::AGAIN) => return counts.into_values().collect(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Bytes of each layer below.
const LARGE: usize = 30_000_000;

/// Two layers are compressed at a time, and four sent. A request that was opened before its layer's
/// turn would be idle meanwhile.
#[needs(registry)]
#[test]
fn a_push_of_large_layers_goes_through_a_proxy_that_closes_idle_requests() {
    let registry = Registry::find("idle");
    let proxy = IdleProxy::start(&registry.host, LARGE as u64 * 3 / 2);
    let root = StoreRoot::new();
    let names = (0..12).map(|number| format!("{number:032}-lib{number}"));
    let names: Vec<String> = names.collect();
    let mut files = Vec::new();
    let mut graph = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let directory = root.store().join(name);
        fs::create_dir(&directory).unwrap();
        files.push(directory.join("data"));
        fs::write(&files[number], noise(number as u64, LARGE)).unwrap();
        graph.push(json!({
            "path": store_path(name), "narSize": LARGE, "references": [],
            "narHash": format!("sha256:{number:02x}{}", "0".repeat(62)),
        }));
    }
    root.describe(&graph);
    let opens = Opens::of(files.iter().map(PathBuf::as_path));
    let to = format!("{}/{}:1", proxy.address, registry.repository);
    let mut push = root.command(&["push", "--no-cache", &to]);
    let paths = names.iter().map(|name| store_path(name));
    push.args(["--cmd", "none", "--jobs", "4"]).args(paths);
    let output = push.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(proxy.closed(), 0, "{}", stderr(&output));
    let counts = opens.counts();
    assert_eq!(counts.len(), 12);
    assert!(counts.iter().all(|count| *count <= 2), "{counts:?}");
    // Each layer went through once.
    let all = 12 * LARGE as u64;
    let received = proxy.received();
    assert!((all..all + LARGE as u64).contains(&received), "{received}");
}

/// Twelve paths in layers of their own, of which the registry has none.
#[needs(registry)]
#[test]
fn no_layer_is_read_more_than_twice() {
    let registry = Registry::find("reads");
    for (tag, has_hashes, reads) in [("hashes", true, 1), ("none", false, 2)] {
        let root = StoreRoot::new();
        let names = (0..12).map(|number| format!("{number:032}-lib{number}"));
        let names: Vec<String> = names.collect();
        let mut files = Vec::new();
        let mut graph = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let directory = root.store().join(name);
            fs::create_dir(&directory).unwrap();
            files.push(directory.join("data"));
            fs::write(&files[number], vec![number as u8; 300_000]).unwrap();
            let mut entry = json!({
                "path": store_path(name), "narSize": 300_000, "references": []
            });
            if has_hashes {
                let hash = format!("sha256:{number:02x}{}", "0".repeat(62));
                entry["narHash"] = hash.into();
            }
            graph.push(entry);
        }
        root.describe(&graph);
        let push = || {
            let mut command = root.command(&["push", &registry.reference(tag)]);
            let cache = tempfile::tempdir().unwrap();
            command.arg("--cache").arg(cache.path());
            let paths = names.iter().map(|name| store_path(name));
            command.args(["--cmd", "none"]).args(paths);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            stderr(&output)
        };
        let opens = Opens::of(files.iter().map(PathBuf::as_path));
        push();
        assert_eq!(opens.counts(), [reads; 12], "{tag}");
        // Another time, all are there: what has no key is named by its tar.
        let said = push();
        assert!(last_line(&said).contains(" 0 sent, "), "{said}");
    }
}
