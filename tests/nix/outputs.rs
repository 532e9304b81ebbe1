//! What the functions give beside the script: `.load`, `.push`, `.plan`, `.oci`, and archives.

use std::process::Command;

use serde_json::{Value, json};
use test_peers::needs;

use super::archive::Archive;
use super::arguments::{FILE, archive, read_json};
use super::{Nix, stderr};
use crate::support::engine::Engine;
use crate::support::peer;

#[needs(nix)]
#[test]
fn oci_is_a_layout_with_the_annotations() {
    let nix = Nix::find();
    let (manifest, _) = layout(&nix, "annotations.oci");
    let annotations = json!({"org.opencontainers.image.title": "An image"});
    assert_eq!(manifest["annotations"], annotations);
}

/// The manifest and the configuration of the image in a layout that is whole.
fn layout(nix: &Nix, attribute: &str) -> (Value, Value) {
    let layout = nix.build(FILE, attribute);
    let blob = |descriptor: &Value| {
        let (_, hex) = descriptor["digest"]
            .as_str()
            .unwrap()
            .split_once(':')
            .unwrap();
        layout.join("blobs/sha256").join(hex)
    };
    let index = read_json(&layout.join("index.json"));
    let manifest = read_json(&blob(&index["manifests"][0]));
    let config = read_json(&blob(&manifest["config"]));
    let layers = manifest["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| blob(layer).is_file()));
    (manifest, config)
}

#[needs(nix)]
#[test]
fn oci_has_the_layers_of_the_base_image_below() {
    let nix = Nix::find();
    let image = archive(&nix, "onBase");
    let base = Archive::read(&nix.build(FILE, "gzip"));
    assert!(image.diff_ids().starts_with(&base.diff_ids()));
    assert!(image.diff_ids().len() > base.diff_ids().len());
    let (_, config) = layout(&nix, "onBase.oci");
    assert_eq!(config["rootfs"]["diff_ids"], json!(image.diff_ids()));
}

#[needs(docker, docker_on_containerd, podman_socket, nix)]
#[test]
fn load_is_a_program_of_the_image() {
    let nix = Nix::find();
    let load = nix.build(FILE, "toLoad.load").join("bin/load-to-load");
    let streamed = archive(&nix, "toLoad").manifest["Config"].take();
    let id = format!(
        "sha256:{}\n",
        streamed.as_str().unwrap().replace(".json", "")
    );
    for docker in [Engine::docker(), Engine::docker_on_containerd()] {
        let name = format!("to-load:{}", std::process::id());
        let loaded = succeed(
            Command::new(&load)
                .args(["-t", &name])
                .env("DOCKER_HOST", docker.host()),
        );
        assert_eq!(loaded, id);
        let image = docker.image(&name);
        assert_eq!(image.run(&[], &[]), "Hello, world!\n");
    }
    let podman = peer::program("STREAM_LAYERED_TEST_PODMAN");
    let host = peer::setting("STREAM_LAYERED_TEST_PODMAN_HOST");
    succeed(
        Command::new(&load)
            .args(["--engine", "podman", "-t", "localhost/to-load:podman"])
            .env("CONTAINER_HOST", host),
    );
    let name = "localhost/to-load:podman";
    let inspect = ["image", "inspect", "--format", "sha256:{{.Id}}", name];
    assert_eq!(succeed(Command::new(&podman).args(inspect)), id);
    succeed(Command::new(&podman).args(["rmi", name]));
}

#[needs(nix)]
#[test]
fn load_and_push_do_not_wait_for_digests() {
    let nix = Nix::find();
    let needs = |attribute: &str| {
        let derivation = nix.eval(FILE, &format!("{attribute}.drvPath"));
        let mut command = nix.command();
        command.args(["path-info", "--recursive", "--derivation"]);
        succeed(command.arg(derivation.as_str().unwrap()))
    };
    assert!(needs("digestsOn").contains("-some-layer-digests.json.drv"));
    for output in ["load", "push", "plan"] {
        let needed = needs(&format!("digestsOn.{output}"));
        assert!(needed.contains("-some-conf.json.drv"), "{needed}");
        assert!(!needed.contains("-some-layer-digests.json.drv"), "{needed}");
        assert!(!needed.contains("-stream-some.drv"), "{needed}");
    }
    // The tag is the one of the script's configuration all the same.
    let plan = nix.build(FILE, "digestsOn.plan").join("bin/plan-some");
    let script = std::fs::read_to_string(plan).unwrap();
    let conf = script
        .split_ascii_whitespace()
        .find(|word| word.ends_with("-some-conf.json"));
    let conf = read_json(std::path::Path::new(conf.unwrap()));
    let tag = nix.eval(FILE, "digestsOn.imageTag");
    assert_eq!(conf["repo_tag"], format!("some:{}", tag.as_str().unwrap()));
}

#[needs(skopeo, registry, nix)]
#[test]
fn push_is_a_program_of_the_image() {
    let nix = Nix::find();
    let registry = peer::setting("STREAM_LAYERED_TEST_REGISTRY");
    let skopeo = peer::program("STREAM_LAYERED_TEST_SKOPEO");
    for attribute in ["digestsOn", "digestsOff", "onBase"] {
        let push = nix.build(FILE, &format!("{attribute}.push"));
        let program = push.join("bin").join(match attribute {
            "onBase" => "push-plain",
            _ => "push-some",
        });
        for compression in ["gzip", "zstd"] {
            let name = attribute.to_lowercase();
            let reference = format!("{registry}/nix/{name}:{compression}");
            let pushed = succeed(Command::new(&program).args([
                &reference,
                "--no-cache",
                "--compression",
                compression,
            ]));
            assert!(
                pushed.starts_with(&format!("{reference}@sha256:")),
                "{pushed}"
            );
            let seen = succeed(
                Command::new(&skopeo)
                    .args(["inspect", "--tls-verify=false", "--config"])
                    .arg(format!("docker://{reference}")),
            );
            let config: Value = serde_json::from_str(&seen).unwrap();
            let image = archive(&nix, attribute);
            assert_eq!(config["rootfs"]["diff_ids"], json!(image.diff_ids()));
        }
    }
}

#[needs(nix)]
#[test]
fn compressors_wrap_the_same_archive() {
    let nix = Nix::find();
    let plain = nix.build(FILE, "uncompressed");
    let expected = std::fs::read(&plain).unwrap();
    for (attribute, program) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let file = nix.build(FILE, attribute);
        let output = Command::new(program)
            .args(["-d", "-c"])
            .arg(file)
            .output()
            .unwrap();
        assert!(output.stdout == expected, "{attribute}");
    }
    let stream = Command::new(nix.build(FILE, "uncompressed.stream"))
        .arg("-q")
        .output()
        .unwrap();
    assert!(stream.stdout == expected);
}

#[needs(nix)]
#[test]
fn the_image_is_a_program_and_a_package_with_one() {
    let nix = Nix::find();
    let written = |program: &std::path::Path| {
        let output = Command::new(program).arg("-q").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output.stdout
    };
    let image = written(&nix.build(FILE, "digestsOn"));
    let package = nix.build(FILE, "digestsOn.stream").join("bin/stream-some");
    assert!(written(&package) == image);
    let named = std::fs::read_to_string(nix.build(FILE, "getExe")).unwrap();
    assert_eq!(named, package.to_str().unwrap());
    // The `stream` of an archive is the script that it is from, as in nixpkgs, and no archive is run.
    assert!(written(&nix.build(FILE, "gzip.stream")) == image);
    assert_eq!(nix.eval(FILE, "archiveHasBin"), false);
}

#[needs(nix)]
#[test]
fn plan_is_a_program_of_the_image() {
    let nix = Nix::find();
    let output = Command::new(nix.build(FILE, "plan").join("bin/plan-some"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("hello-2.12"),
        "{text}"
    );
}

/// What a command prints, which must succeed.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}
