//! OCI layouts and archives.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use test_peers::needs;

use crate::support::app::App;
use crate::support::archive;
use crate::support::engine::Engine;
use crate::support::peer;
use crate::support::program::{fail, sha256, stderr, succeed};

/// Writes the app into a layout.
fn layout(app: &App, name: &str, more: &[&str]) {
    let layout = app.directory().join("layout");
    let format = ["stream", "--format", "oci", "-t", name];
    succeed(app.command(&format).args(more).arg("-o").arg(layout));
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A blob that is JSON.
fn blob(layout: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().unwrap();
    let path = layout
        .join("blobs/sha256")
        .join(digest.strip_prefix("sha256:").unwrap());
    assert_eq!(
        fs::metadata(&path).unwrap().len(),
        descriptor["size"].as_u64().unwrap()
    );
    json(&path)
}

/// The manifest of the image with this tag.
fn manifest(layout: &Path, tag: &str) -> Value {
    let index = json(&layout.join("index.json"));
    let entries = index["manifests"].as_array().unwrap().iter();
    let mut of_tag =
        entries.filter(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag);
    let manifest = blob(layout, of_tag.next().unwrap());
    assert!(of_tag.next().is_none(), "{tag} is there twice");
    manifest
}

#[test]
fn every_blob_is_what_its_name_says_and_the_image_is_the_same() {
    let app = App::new(3 << 20);
    let at = app.directory().join("layout");
    for (compression, media_type) in [("none", "tar"), ("gzip", "tar+gzip"), ("zstd", "tar+zstd")] {
        layout(
            &app,
            &format!("app:{compression}"),
            &["--compression", compression],
        );
        let manifest = manifest(&at, compression);
        for layer in manifest["layers"].as_array().unwrap() {
            let expected = format!("application/vnd.oci.image.layer.v1.{media_type}");
            assert_eq!(layer["mediaType"], *expected);
        }
        let config = blob(&at, &manifest["config"]);
        let layers = manifest["layers"].as_array().unwrap().len();
        assert_eq!(
            config["rootfs"]["diff_ids"].as_array().unwrap().len(),
            layers
        );
        assert_eq!(config["history"].as_array().unwrap().len(), layers);
    }
    let ids: Vec<Value> = ["none", "gzip", "zstd"]
        .map(|tag| manifest(&at, tag)["config"]["digest"].clone())
        .into();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for blob in fs::read_dir(at.join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), sha256(&path));
    }
}

#[needs(oci_schemas)]
#[test]
fn the_image_specification_s_schemas_hold() {
    let schemas = peer::setting("STREAM_LAYERED_TEST_OCI_SCHEMAS");
    let app = App::new(1 << 20);
    let at = app.directory().join("layout");
    let options = ["--annotation", "a.b=c", "--label", "d=e", "--expose", "80"];
    layout(&app, "app:1", &options);
    layout(
        &app,
        "app:1",
        &["--compression", "zstd", "--index", "--arch", "arm64"],
    );
    let mut check = Command::new("/usr/bin/python3");
    check
        .arg(crate::support::program::repository().join("tests/cli/oci_schema.py"))
        .arg(&schemas)
        .args(["image-layout-schema.json".into(), at.join("oci-layout")])
        .args(["image-index-schema.json".into(), at.join("index.json")]);
    let path = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        at.join("blobs/sha256").join(&digest["sha256:".len()..])
    };
    let index = &json(&at.join("index.json"))["manifests"][0];
    check.args(["image-index-schema.json".into(), path(index)]);
    let images = blob(&at, index);
    assert_eq!(images["manifests"].as_array().unwrap().len(), 2);
    for image in images["manifests"].as_array().unwrap() {
        let config = &blob(&at, image)["config"];
        check.args(["image-manifest-schema.json".into(), path(image)]);
        check.args(["config-schema.json".into(), path(config)]);
    }
    succeed(&mut check);
}

#[test]
fn nothing_is_written_twice_and_other_images_stay() {
    let app = App::new(1 << 20);
    let at = app.directory().join("layout");
    layout(&app, "app:1", &[]);
    layout(&app, "other:2", &["--env", "A=b"]);
    let inodes = || {
        let blobs = fs::read_dir(at.join("blobs/sha256")).unwrap();
        let mut inodes: Vec<_> = blobs
            .map(|blob| blob.unwrap())
            .map(|blob| (blob.file_name(), blob.metadata().unwrap().ino()))
            .collect();
        inodes.sort();
        inodes
    };
    let (before, first, other) = (inodes(), manifest(&at, "1"), manifest(&at, "2"));
    assert_ne!(first, other);
    app.take_contents_away();
    layout(&app, "app:1", &[]);
    assert_eq!(
        (inodes(), manifest(&at, "1"), manifest(&at, "2")),
        (before, first, other),
        "with all layers remembered and there, none is read"
    );
}

#[test]
fn bytes_depend_neither_on_threads_nor_on_what_is_remembered() {
    let app = App::new(5 << 20);
    let archive = app.directory().join("image.tar");
    for compression in ["none", "gzip", "zstd"] {
        let mut digests = Vec::new();
        for (jobs, remembered) in [("1", false), ("7", false), ("2", true)] {
            if !remembered {
                app.forget();
            }
            let format = [
                "stream",
                "--format",
                "oci-archive",
                "--compression",
                compression,
            ];
            succeed(
                app.command(&format)
                    .args(["--jobs", jobs, "-o"])
                    .arg(&archive),
            );
            digests.push(sha256(&archive));
        }
        assert!(
            digests.iter().all(|digest| *digest == digests[0]),
            "{compression}: {digests:?}"
        );
    }
}

#[test]
fn a_layout_and_an_archive_hold_the_same_image() {
    let app = App::new(1 << 20);
    let archive = app.directory().join("image.tar");
    layout(
        &app,
        "app:1",
        &["--annotation", "a=b", "--annotation", "c=d=e"],
    );
    let format = [
        "stream",
        "--format",
        "oci-archive",
        "--compression",
        "gzip:2",
    ];
    let annotations = ["--annotation", "c=d=e", "--annotation", "a=b"];
    succeed(
        app.command(&format)
            .args(annotations)
            .args(["-t", "app:1", "-o"])
            .arg(&archive),
    );
    let unpacked = app.directory().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    succeed(
        Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&unpacked),
    );
    let manifests = ["layout", "unpacked"].map(|name| manifest(&app.directory().join(name), "1"));
    assert_eq!(manifests[0], manifests[1]);
    assert_eq!(manifests[0]["annotations"]["c"], "d=e");
}

#[needs(skopeo, umoci)]
#[test]
fn skopeo_and_umoci_read_layouts() {
    let app = App::new(1 << 20);
    let skopeo = peer::program("STREAM_LAYERED_TEST_SKOPEO");
    let umoci = peer::program("STREAM_LAYERED_TEST_UMOCI");
    let at = app.directory().join("layout");
    for compression in ["none", "gzip", "zstd"] {
        layout(
            &app,
            &format!("app:{compression}"),
            &["--compression", compression, "--label", "a=b"],
        );
        let image = format!("{}:{compression}", at.display());
        let source = format!("oci:{image}");
        let inspected = succeed(Command::new(&skopeo).args(["inspect", &source]));
        let inspected: Value = serde_json::from_slice(&inspected).unwrap();
        assert_eq!(inspected["Labels"]["a"], "b");
        // umoci, as Debian has it, knows no zstd.
        if compression != "zstd" {
            let bundle = app.directory().join(compression);
            succeed(
                Command::new(&umoci)
                    .args(["unpack", "--image", &image])
                    .arg(&bundle),
            );
            let program = fs::read(bundle.join("rootfs/bin/app")).is_ok()
                || bundle.join("rootfs/bin/app").is_symlink();
            assert!(program);
        }
    }
}

#[needs(podman)]
#[test]
fn podman_pulls_a_layout() {
    let podman = peer::program("STREAM_LAYERED_TEST_PODMAN");
    let app = App::new(1 << 20);
    layout(&app, "app:1", &[]);
    let at = app.directory().join("layout");
    // podman makes the image's name of the path, and names have small letters.
    let link = std::env::temp_dir().join(format!("stream-layered-test-{}", std::process::id()));
    std::os::unix::fs::symlink(&at, &link).unwrap();
    let source = format!("oci:{}:1", link.display());
    let pulled = Command::new(&podman).args(["pull", "-q", &source]).output();
    fs::remove_file(&link).unwrap();
    let pulled = pulled.unwrap();
    assert!(pulled.status.success(), "{}", stderr(&pulled));
    let id = pulled.stdout;
    let id = String::from_utf8(id).unwrap().trim().to_owned();
    assert_eq!(
        manifest(&at, "1")["config"]["digest"],
        *format!("sha256:{id}")
    );
    succeed(Command::new(&podman).args(["rmi", "-f", &id]));
}

#[needs(docker, docker_on_containerd)]
#[test]
fn engines_of_every_age_load_an_archive() {
    let app = App::new(1 << 20);
    let archive = app.directory().join("image.tar");
    let plain = ["stream", "--format", "docker-archive"];
    succeed(app.command(&plain).arg("-o").arg(&archive));
    let expected = archive::config(&archive).1["rootfs"]["diff_ids"].take();
    let engines = [
        (Engine::docker(), "old"),
        (Engine::docker_on_containerd(), "new"),
    ];
    for (engine, name) in engines {
        for compression in ["none", "gzip"] {
            let name = format!("stream-layered-test-oci-{name}:{compression}");
            let format = ["stream", "--format", "oci-archive", "-t", &name];
            succeed(
                app.command(&format)
                    .args(["--compression", compression, "-o"])
                    .arg(&archive),
            );
            let loaded = engine.load(&archive).inspect();
            assert_eq!(loaded["RootFS"]["Layers"], expected, "{name}");
        }
    }
}

#[test]
fn a_base_image_s_layers_stay_as_they_are() {
    let base = App::new(1 << 20);
    layout(
        &base,
        "base:1",
        &["--env", "BASE=1", "--label", "l=base", "--user", "7"],
    );
    let base_layout = base.directory().join("layout");
    let below = manifest(&base_layout, "1");
    let from = format!("oci:{}:1", base_layout.display());

    let app = App::new(1 << 10);
    let at = app.directory().join("layout");
    // Another compression, which is for new layers alone.
    let zstd = ["--from-image", &from, "--compression", "zstd"];
    layout(&app, "app:1", &[&zstd[..], &["--env", "OWN=2"]].concat());
    let above = manifest(&at, "1");
    let (below, above_layers) = (below["layers"].as_array().unwrap(), &above["layers"]);
    for (index, layer) in below.iter().enumerate() {
        assert_eq!(above_layers[index]["digest"], layer["digest"]);
        assert_eq!(above_layers[index]["mediaType"], layer["mediaType"]);
    }
    assert!(above_layers.as_array().unwrap().len() > below.len());
    let config = blob(&at, &above["config"]);
    assert_eq!(
        config["config"]["Env"],
        serde_json::json!(["BASE=1", "OWN=2"])
    );
    assert!(config["config"].get("User").is_none(), "{config}");

    layout(
        &app,
        "app:2",
        &[&zstd[..], &["--inherit", "labels,user"]].concat(),
    );
    let config = blob(&at, &manifest(&at, "2")["config"]);
    assert_eq!(config["config"]["Labels"]["l"], "base");
    assert_eq!(config["config"]["User"], "7");
    assert!(config["config"].get("Env").is_none(), "{config}");
}

#[needs(docker)]
#[test]
fn docker_loads_an_image_over_a_layout() {
    let engine = Engine::docker();
    let (base, app) = (App::new(1 << 10), App::new(1 << 10));
    layout(&base, "base:1", &[]);
    let from = format!("oci:{}:1", base.directory().join("layout").display());
    let archive = app.directory().join("image.tar");
    let stream = [
        "stream",
        "--from-image",
        &from,
        "-t",
        "stream-layered-test-oci-base:1",
    ];
    succeed(app.command(&stream).arg("-o").arg(&archive));
    engine.load(&archive);
}

#[test]
fn damage_to_a_base_image_is_found() {
    let base = App::new(1 << 20);
    layout(&base, "base:1", &[]);
    let at = base.directory().join("layout");
    let layer = manifest(&at, "1")["layers"][0]["digest"].clone();
    let path = at
        .join("blobs/sha256")
        .join(layer.as_str().unwrap().strip_prefix("sha256:").unwrap());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let app = App::new(1 << 10);
    let from = format!("oci:{}:1", at.display());
    for format in ["docker-archive", "oci-archive"] {
        let stream = ["stream", "--format", format, "--from-image", &from];
        let image = app.directory().join("image.tar");
        let error = fail(app.command(&stream).arg("-o").arg(&image), 1);
        assert!(error.contains(layer.as_str().unwrap()), "{error}");
        assert!(!image.exists());
    }
    let error = fail(
        &mut app.command(&["stream", "--from-image", &format!("oci:{}:2", at.display())]),
        1,
    );
    assert!(error.contains("no image of tag 2"), "{error}");
}

#[test]
fn platforms_share_an_index() {
    let app = App::new(1 << 10);
    let at = app.directory().join("layout");
    for arch in ["arm64", "amd64", "arm64"] {
        layout(&app, "app:1", &["--index", "--arch", arch]);
    }
    let index = manifest(&at, "1");
    let platforms: Vec<&Value> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["platform"]["architecture"])
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
}

#[needs(skopeo)]
#[test]
fn skopeo_copies_every_platform() {
    let skopeo = peer::program("STREAM_LAYERED_TEST_SKOPEO");
    let app = App::new(1 << 10);
    let at = app.directory().join("layout");
    for arch in ["arm64", "amd64"] {
        layout(&app, "app:1", &["--index", "--arch", arch]);
    }
    let copy = app.directory().join("copy");
    succeed(Command::new(skopeo).args([
        "copy",
        "--all",
        "-q",
        &format!("oci:{}:1", at.display()),
        &format!("oci:{}:1", copy.display()),
    ]));
    assert_eq!(manifest(&copy, "1"), manifest(&at, "1"));
}
