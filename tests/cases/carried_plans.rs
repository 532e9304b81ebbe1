//! The plan that an image carries is in the way of no engine, and survives its ways.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_peers::needs;

use crate::support::archive;
use crate::support::engine::Engine;
use crate::support::peer;
use crate::support::program::{repository, succeed};
use crate::support::store_tree::{Node, StoreRoot, store_path};

/// Paths of the image.
const PATHS: usize = 350;
const HELLO: &str = "h780awpm6b8qcxx28gfnjq6z4i9dq73z-hello-1.0";
const GREETING: &str = "jj07w55ij6fwqa9siqvrczj3sinwgjs2-greeting-1.0";

fn base_name(at: usize) -> String {
    format!("{at:032}-package-{at}")
}

/// A store with a program that needs this many paths.
fn store() -> StoreRoot {
    let store = StoreRoot::new();
    let hello = repository().join("tests/hello/store/nix/store").join(HELLO);
    let copy = Node::Copy {
        copy: "bin/hello".to_owned(),
    };
    let bin = Node::directory([("hello", copy)]);
    store.add(HELLO, &Node::directory([("bin", bin)]), &hello);
    let greeting = Node::text("Hello from a layered image.\n");
    let share = Node::directory([("greeting", greeting)]);
    store.add(
        GREETING,
        &Node::directory([("share", share)]),
        Path::new("."),
    );
    let entry = |base_name: &str, references: Vec<String>| {
        json!({
            "path": store_path(base_name),
            "narHash": format!("sha256:{:052}", 0),
            "narSize": 1000,
            "references": references,
        })
    };
    let mut entries = vec![entry(GREETING, Vec::new())];
    for at in 2..PATHS {
        store.add(&base_name(at), &Node::text(&at.to_string()), Path::new("."));
        let below = [at / 2, at.wrapping_sub(7), at - 1].into_iter();
        let mut below: Vec<usize> = below.filter(|&below| (2..at).contains(&below)).collect();
        below.sort_unstable();
        below.dedup();
        let references = below.into_iter().map(|at| store_path(&base_name(at)));
        entries.push(entry(&base_name(at), references.collect()));
    }
    let references = [store_path(GREETING), store_path(&base_name(PATHS - 1))];
    entries.push(entry(HELLO, references.into()));
    store.describe(&entries);
    store
}

/// Writes the image to a file.
fn stream(store: &StoreRoot, tag: &str, archive: &Path) {
    let mut command = store.command(&["stream", "-q", "--no-cache", "-t", tag]);
    succeed(command.arg("-o").arg(archive).arg(store_path(HELLO)));
}

/// The plan of the next release after an image or plan, which has what that one carries.
fn plan_of(source: &str, store: &StoreRoot) -> Value {
    let mut command = store.command(&["plan", "--format", "json", "--previous", source]);
    serde_json::from_slice(&succeed(command.arg(store_path(HELLO)))).unwrap()
}

/// <https://github.com/containerd/containerd/issues/6123>: containerd copies labels of an image to its
/// containers, and refuses those of more than 4,096 bytes.
#[needs(docker, docker_on_containerd, podman, containerd, containerd_2)]
#[test]
fn containerd_refuses_long_labels() {
    let store = store();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("image.tar");
    stream(&store, "many-paths:1", &file);
    let (_, config) = archive::config(&file);
    let labels = config["config"].get("Labels");
    assert!(labels.is_none(), "{labels:?}");
    let carried = config["history"].as_array().unwrap().last().unwrap();
    let carried = carried["created_by"].as_str().unwrap();
    assert!(carried.starts_with("stream-layered plan 1 "));
    assert!(carried.len() < 8_000, "{}", carried.len());

    for engine in [
        Engine::docker(),
        Engine::docker_on_containerd(),
        Engine::podman(),
    ] {
        let image = engine.load(&file);
        let said = image.run(&[], &[]);
        assert!(said.contains("Hello from a layered image."), "{said}");
    }
    for engine in [Engine::containerd(), Engine::containerd_2()] {
        succeed(engine.command(&["images", "import"]).arg(&file));
        let name = "docker.io/library/many-paths:1";
        let said = engine.run(&["run", "--rm", name, "many-paths"]);
        assert!(said.contains("Hello from a layered image."), "{said}");
        engine.run(&["images", "rm", "--sync", name]);
    }
}

/// Whatever copies the image, the next release is planned after it.
#[needs(docker, docker_on_containerd, podman, skopeo, registry)]
#[test]
fn the_plan_survives_each_way_that_an_image_goes() {
    let store = store();
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let file = path("image.tar");
    stream(&store, "carried-plan:1", &file);
    let expected = plan_of(file.to_str().unwrap(), &store);
    assert!(expected["history"].is_object());
    let is_kept = |source: &str| assert!(plan_of(source, &store) == expected, "{source}");

    for (at, engine) in [
        Engine::docker(),
        Engine::docker_on_containerd(),
        Engine::podman(),
    ]
    .iter()
    .enumerate()
    {
        let saved = path(&format!("saved-{at}.tar"));
        engine.load(&file).save(&saved);
        is_kept(saved.to_str().unwrap());
    }

    let registry = peer::setting("STREAM_LAYERED_TEST_REGISTRY");
    let reference = format!("{registry}/carried-plan:1");
    let mut push = store.command(&["push", "-q", "--no-cache", &reference]);
    succeed(push.arg(store_path(HELLO)));
    is_kept(&format!("docker://{reference}"));

    // skopeo writes the configuration anew here, and drops fields that it does not know.
    let layout = format!("oci:{}:1", path("layout").display());
    let skopeo = peer::program("STREAM_LAYERED_TEST_SKOPEO");
    let source = format!("docker-archive:{}", file.display());
    succeed(Command::new(skopeo).args(["copy", "-q", &source, &layout]));
    is_kept(&layout);
}

/// Images of version 0.1 carry the plan in a label.
#[test]
fn a_plan_in_a_label_is_still_read() {
    let store = store();
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut command = store.command(&["plan", "--format", "json", "--strategy", "auto"]);
    let mut plan: Value = serde_json::from_slice(&succeed(command.arg(store_path(HELLO)))).unwrap();
    let changes = json!({ "package-7": 2, "hello": 1 });
    plan["history"] = json!({ "version": 1, "releases": 3, "changes": changes });
    std::fs::write(file("plan.json"), plan.to_string()).unwrap();

    // An image of `auto` carries no plan of its own.
    let reasons = plan["layers"].as_array().unwrap().iter();
    let reasons: Vec<&Value> = reasons.map(|layer| &layer["reason"]).collect();
    let label = json!({
        "history": plan["history"],
        "reasons": reasons,
        "chances": vec![Value::Null; reasons.len()],
        "graph": plan["graph"],
    });
    let label = format!("io.github.stream-layered.plan={label}");
    let options = ["stream", "-q", "--no-cache", "--strategy", "auto"];
    let mut stream = store.command(&options);
    stream.args(["--label", &label, "-o", &file("image.tar")]);
    succeed(stream.arg(store_path(HELLO)));
    let expected = plan_of(&file("plan.json"), &store);
    assert_eq!(expected["history"]["releases"], 3);
    assert_eq!(
        plan_of(&file("image.tar"), &store)["history"],
        expected["history"]
    );
}
