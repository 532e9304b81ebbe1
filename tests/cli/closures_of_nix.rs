//! The main job with real peers: Nix builds a closure, engines take its image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use test_peers::needs;

use crate::support::archive;
use crate::support::debian::hello;
use crate::support::engine::Engine;
use crate::support::peer;
use crate::support::program::{sha256, stderr, stream_layered, succeed};

/// The image of hello as a file.
fn archive(directory: &Path, name: &str) -> PathBuf {
    let file = directory.join("image.tar");
    succeed(
        stream_layered()
            .arg(hello())
            .args(["-t", name, "-o"])
            .arg(&file),
    );
    file
}

#[needs(docker, docker_on_containerd, nix)]
#[test]
fn docker_loads_and_runs_it() {
    let directory = tempfile::tempdir().unwrap();
    for engine in [Engine::docker(), Engine::docker_on_containerd()] {
        let archive = archive(directory.path(), "stream-layered-test-hello:main-job");
        let loaded = engine.load(&archive);
        assert_eq!(loaded.run(&[], &[]).trim(), "Hello, world!");
        assert_eq!(
            loaded.run(&[], &["/bin/hello", "-g", "layers"]).trim(),
            "layers"
        );
    }
}

#[needs(docker)]
#[test]
fn the_example_of_the_readme_runs() {
    let engine = Engine::docker();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image.tar");
    let example = crate::support::program::repository().join("nix/examples/hello");
    let mut command = stream_layered();
    command
        .arg("--store")
        .arg(format!("file://{}", example.join("cache").display()))
        .arg("--trusted-key")
        .arg(format!("@{}", example.join("trusted-key").display()))
        .arg("/nix/store/h780awpm6b8qcxx28gfnjq6z4i9dq73z-hello-1.0");
    succeed(
        command
            .args(["-t", "stream-layered-test-example:1", "-o"])
            .arg(&file),
    );
    assert_eq!(
        engine.load(&file).run(&[], &[]).trim(),
        "Hello from a layered image."
    );
}

#[needs(podman, nix)]
#[test]
fn podman_loads_it() {
    let directory = tempfile::tempdir().unwrap();
    let podman = peer::program("STREAM_LAYERED_TEST_PODMAN");
    let archive = archive(directory.path(), "localhost/stream-layered-test-podman:1");
    let load = Command::new(&podman)
        .args(["load", "-i"])
        .arg(&archive)
        .output()
        .unwrap();
    assert!(load.status.success(), "{}", stderr(&load));
    let inspect = [
        "inspect",
        "--format",
        "{{.Id}}",
        "localhost/stream-layered-test-podman:1",
    ];
    let id = succeed(Command::new(&podman).args(inspect));
    assert_eq!(String::from_utf8(id).unwrap().trim(), image_id(&archive));
    succeed(Command::new(&podman).args(["rmi", "localhost/stream-layered-test-podman:1"]));
}

#[needs(skopeo, umoci, nix)]
#[test]
fn skopeo_and_umoci_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let skopeo = peer::program("STREAM_LAYERED_TEST_SKOPEO");
    let umoci = peer::program("STREAM_LAYERED_TEST_UMOCI");
    let archive = archive(directory.path(), "hello:1");
    let source = format!("docker-archive:{}", archive.display());
    let inspect: Value =
        serde_json::from_slice(&succeed(Command::new(&skopeo).args(["inspect", &source]))).unwrap();
    assert_eq!(inspect["Architecture"], "amd64");
    let layers = inspect["Layers"].as_array().unwrap().len();
    assert!(layers >= 4, "{inspect}");

    let layout = directory.path().join("layout");
    succeed(Command::new(&skopeo).args([
        "copy",
        "-q",
        &source,
        &format!("oci:{}:hello", layout.display()),
    ]));
    let bundle = directory.path().join("bundle");
    succeed(
        Command::new(&umoci)
            .args(["unpack", "--image"])
            .arg(format!("{}:hello", layout.display()))
            .arg(&bundle),
    );
    let hello = hello().strip_prefix("/").unwrap();
    let program = bundle.join("rootfs").join(hello).join("bin/hello");
    let original = Path::new("/").join(hello).join("bin/hello");
    assert!(fs::read(program).unwrap() == fs::read(original).unwrap());
}

#[needs(nix)]
#[test]
fn the_image_of_a_nix_closure_is_the_same_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = archive(directory.path(), "hello:1");
    let first = sha256(&file);
    archive(directory.path(), "hello:1");
    assert_eq!(sha256(&file), first);
}

/// Digest of the configuration, in base 16.
fn image_id(archive: &Path) -> String {
    let (member, _) = archive::config(archive);
    member.trim_end_matches(".json").to_owned()
}
