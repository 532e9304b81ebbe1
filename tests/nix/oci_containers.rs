//! The NixOS module: what it makes of a configuration, and what its services do before they start, with
//! real engines and without systemd.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;
use test_peers::needs;

use super::{Nix, stderr};
use crate::support::engine::Engine;
use crate::support::peer;

const FILE: &str = "oci-containers.nix";

#[needs(nix)]
#[test]
fn containers_with_images_of_ours_have_a_client_that_knows_them() {
    let nix = Nix::find();
    for backend in ["docker", "podman"] {
        let services = nix.eval(FILE, &format!("{backend}.services"));
        let name = |name| format!("{backend}-{name}");
        assert_eq!(
            services,
            json!({
                name("archive"): 1,
                name("file"): 2,
                name("pulled"): 1,
                name("stream"): 2,
            })
        );
        let containers = nix.eval(FILE, &format!("{backend}.containers"));
        let stream = json!({"file": null, "stream": "stream-oci-containers"});
        assert_eq!(containers["stream"], stream);
        assert_eq!(containers["file"], stream);
        assert_eq!(
            containers["archive"],
            json!({"file": "other.tar", "stream": null})
        );
        assert_eq!(containers["pulled"], json!({"file": null, "stream": null}));
    }
}

#[needs(newer_nix)]
#[test]
fn a_newer_nix_evaluates_the_module() {
    let nix = Nix::find_newer();
    let services = nix.eval(FILE, "podman.services");
    assert_eq!(services["podman-file"], 2);
}

/// What a service runs before it starts.
fn start(nix: &Nix, service: &str, variable: &str, host: &str) -> Command {
    let (backend, _) = service.split_once('-').unwrap();
    let mut start = Command::new(nix.build(FILE, &format!("{backend}.start.{service}")));
    start.env_remove("DOCKER_HOST").env_remove("CONTAINER_HOST");
    start.env(variable, host);
    start
}

/// What it says, which must succeed.
fn said(start: &mut Command) -> String {
    let output = start.output().unwrap();
    assert!(output.status.success(), "{start:?}: {}", stderr(&output));
    stderr(&output)
}

#[needs(nix, docker)]
#[test]
fn docker_is_sent_what_it_lacks() {
    let nix = Nix::find();
    let docker = Engine::docker();
    let image = docker.image("oci-containers:latest");
    said(&mut start(
        &nix,
        "docker-stream",
        "DOCKER_HOST",
        docker.host(),
    ));
    for service in ["docker-stream", "docker-file"] {
        let said = said(&mut start(&nix, service, "DOCKER_HOST", docker.host()));
        assert!(said.contains("2 layers present, 0 sent"), "{said}");
    }
    assert_eq!(image.run(&[], &[]), "Hello, world!\n");
}

#[needs(nix, podman_socket)]
#[test]
fn podman_is_sent_what_it_lacks_or_all() {
    let nix = Nix::find();
    let podman = peer::program("STREAM_LAYERED_TEST_PODMAN");
    let host = peer::setting("STREAM_LAYERED_TEST_PODMAN_HOST");
    let name = "localhost/oci-containers:latest";
    said(&mut start(&nix, "podman-file", "CONTAINER_HOST", &host));
    for service in ["podman-file", "podman-stream"] {
        let said = said(&mut start(&nix, service, "CONTAINER_HOST", &host));
        assert!(said.contains("2 layers present, 0 sent"), "{said}");
    }
    let remove = || {
        let status = Command::new(&podman).args(["rmi", name]).output();
        assert!(status.unwrap().status.success());
    };
    remove();
    // Without a socket, the client itself loads what the pipe has.
    let directory = tempfile::tempdir().unwrap();
    let client = directory.path().join("podman");
    let script = format!(
        "#!/bin/sh\nunset CONTAINER_HOST\nexec {} \"$@\"\n",
        podman.display()
    );
    fs::write(&client, script).unwrap();
    fs::set_permissions(&client, Permissions::from_mode(0o755)).unwrap();
    let mut start = start(&nix, "podman-stream", "CONTAINER_HOST", "unix:///not/there");
    let said = said(start.env("STREAM_LAYERED_TEST_PODMAN", &client));
    assert!(said.contains("all layers are sent to podman"), "{said}");
    remove();
}
