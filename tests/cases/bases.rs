//! Base images as engines and other programs save them, and as attackers make them.

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use test_peers::needs;

use crate::support::app::App;
use crate::support::archive;
use crate::support::engine::Engine;
use crate::support::peer;
use crate::support::program::{
    fail, repository, sha256, stderr, stream_layered, succeed, with_input,
};

fn digest(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    format!("sha256:{}", sha256(file.path()))
}

/// A layer that holds one file.
fn layer(name: &str, size: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let contents = vec![b'x'; size];
    let contents = contents.as_slice();
    archive.append_data(&mut header, name, contents).unwrap();
    archive.into_inner().unwrap()
}

/// The bytes, as `gzip`, `zstd` or `xz` compress them.
fn compressed(words: &[&str], bytes: &[u8]) -> Vec<u8> {
    let output = with_input(Command::new(words[0]).args(&words[1..]), bytes);
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    output.stdout
}

/// What is at a name of an archive.
enum At<'a> {
    File(&'a [u8]),
    Link(&'a str),
}

fn write(file: &Path, members: &[(&str, At<'_>)]) {
    let mut archive = tar::Builder::new(fs::File::create(file).unwrap());
    for (name, at) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        match at {
            At::File(bytes) => {
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, name, *bytes).unwrap();
            }
            At::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                archive.append_link(&mut header, name, target).unwrap();
            }
        }
    }
    archive.finish().unwrap();
}

/// A docker-archive of one layer, which is at `layer.tar`.
fn of_one_layer(file: &Path, diff_id: &str, layer: At<'_>) {
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}});
    let manifest = json!([{"Config": "c.json", "RepoTags": ["base:1"], "Layers": ["layer.tar"]}]);
    let (config, manifest) = (config.to_string(), manifest.to_string());
    write(
        file,
        &[
            ("manifest.json", At::File(manifest.as_bytes())),
            ("c.json", At::File(config.as_bytes())),
            ("layer.tar", layer),
        ],
    );
}

/// `stream` of a small closure on this base.
fn on(app: &App, base: &str) -> Command {
    let mut command = app.command(&["stream", "-q", "--arch", "amd64", "--no-cache"]);
    command.current_dir(app.directory());
    command.args(["-t", "app:1", "--from-image", base]);
    command
}

fn stream_to(app: &App, base: &str, options: &[&str], out: &str) -> PathBuf {
    succeed(on(app, base).args(options).args(["-o", out]));
    app.directory().join(out)
}

fn refused(app: &App, base: &str, options: &[&str]) -> String {
    fail(on(app, base).args(options).args(["-o", "refused.tar"]), 1)
}

/// Manifest and configuration of a layout's only image.
fn of_layout(layout: &Path) -> (Value, Value) {
    let json =
        |file: PathBuf| -> Value { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        json(layout.join("blobs").join(digest.replace(':', "/")))
    };
    let manifest = blob(&json(layout.join("index.json"))["manifests"][0]);
    let config = blob(&manifest["config"]);
    (manifest, config)
}

/// <https://github.com/elastic/elastic-agent/issues/12676>,
/// <https://github.com/moby/moby/issues/49141>: Docker with containerd's store saves layers as they
/// came from the registry.
#[needs("gzip", "zstd")]
#[test]
fn docker_save_writes_compressed_layers() {
    let app = App::new(100);
    let base = app.directory().join("base.tar");
    let tar = layer("file", 100_000);
    for (program, media_type) in [("gzip", "tar+gzip"), ("zstd", "tar+zstd")] {
        let blob = compressed(&[program, "-c"], &tar);
        of_one_layer(&base, &digest(&tar), At::File(&blob));
        // The member is taken as it is.
        let image = stream_to(&app, "base.tar", &["--verify"], "image.tar");
        let member = succeed(Command::new("tar").arg("-xOf").arg(&image).arg("layer.tar"));
        assert!(member == blob);
        // So is the blob.
        for options in [
            ["--format", "oci", "--compression", "none"],
            ["--format", "oci", "--compression", "zstd"],
        ] {
            let layout = stream_to(&app, "base.tar", &options, "layout");
            let (manifest, config) = of_layout(&layout);
            assert_eq!(manifest["layers"][0]["digest"], digest(&blob));
            let found = manifest["layers"][0]["mediaType"].as_str().unwrap();
            assert!(found.ends_with(media_type), "{found}");
            assert_eq!(config["rootfs"]["diff_ids"][0], digest(&tar));
            fs::remove_dir_all(layout).unwrap();
        }
        stream_to(&app, "base.tar", &["--format", "oci-archive"], "archive");
        // What is promised is held.
        of_one_layer(&base, &digest(b"another"), At::File(&blob));
        stream_to(&app, "base.tar", &[], "wrong.tar");
        for options in [&["--verify"][..], &["--format", "oci-archive"]] {
            let line = refused(&app, "base.tar", options);
            assert!(line.contains("base image is damaged"), "{line}");
        }
        let mut damaged = blob.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        of_one_layer(&base, &digest(&tar), At::File(&damaged));
        let line = refused(&app, "base.tar", &["--verify"]);
        assert!(line.contains("layer.tar of the base image"), "{line}");
    }
}

/// `--verify` holds layers of the base to their diff IDs, and what is no layer is no base.
#[test]
fn layers_that_are_not_what_they_should_be() {
    let app = App::new(100);
    let base = app.directory().join("base.tar");
    let tar = layer("file", 1000);
    of_one_layer(&base, &format!("sha256:{}", "0".repeat(64)), At::File(&tar));
    let line = refused(&app, "base.tar", &["--verify"]);
    assert!(
        line.contains("layer.tar") && line.contains("promises"),
        "{line}"
    );
    let line = refused(&app, "base.tar", &["--format", "oci-archive"]);
    assert!(line.contains("promises") && !line.contains("nix"), "{line}");
    for (at, says) in [
        (At::Link("/etc/shadow"), "link to none"),
        (At::Link("layer.tar"), "link to none"),
        (At::File(b"no tar"), "is no tar"),
        (At::File(b"BZh9"), "is no tar"),
    ] {
        of_one_layer(&base, &digest(&tar), at);
        let line = refused(&app, "base.tar", &[]);
        assert!(line.contains("layer.tar") && line.contains(says), "{line}");
    }
    // A link to a file of the archive is that file: `docker save` of several images links them so.
    let config = json!({"rootfs": {"diff_ids": [digest(&tar)]}}).to_string();
    let manifest = json!([{"Config": "c", "Layers": ["a/layer.tar"]}]).to_string();
    let members = [
        ("a/layer.tar", At::Link("../b/layer.tar")),
        ("b/layer.tar", At::File(&tar)),
        ("c", At::File(config.as_bytes())),
        ("manifest.json", At::File(manifest.as_bytes())),
    ];
    write(&base, &members);
    let image = stream_to(&app, "base.tar", &["--verify"], "image.tar");
    let member = succeed(
        Command::new("tar")
            .arg("-xOf")
            .arg(&image)
            .arg("a/layer.tar"),
    );
    assert!(member == tar);
}

/// <https://github.com/cachix/devenv/issues/2711>: `docker buildx -o type=oci`, skopeo's and podman's
/// `oci-archive:`, and what `--format oci-archive` writes.
#[needs("gzip", "xz")]
#[test]
fn archives_of_layouts() {
    let app = App::new(100);
    let file = app.directory().join("first.tar");
    of_one_layer(
        &file,
        &digest(&layer("file", 10)),
        At::File(&layer("file", 10)),
    );
    let layout = stream_to(&app, "first.tar", &["--format", "oci"], "layout");
    let base = app.directory().join("base.tar");
    let mut tar = Command::new("tar");
    succeed(tar.arg("-C").arg(layout).arg("-cf").arg(&base).arg("."));
    stream_to(&app, "first.tar", &["--format", "oci-archive"], "own.tar");
    let expected = sha256(&stream_to(&app, "oci:layout", &[], "image.tar"));
    for program in ["gzip", "xz"] {
        let name = format!("base.tar.{program}");
        let bytes = compressed(&[program, "-c"], &fs::read(&base).unwrap());
        fs::write(app.directory().join(name), bytes).unwrap();
    }
    for source in [
        "base.tar",
        "oci-archive:base.tar",
        "oci-archive:base.tar:1",
        "oci-archive:base.tar.gzip",
        "base.tar.xz",
    ] {
        let image = stream_to(&app, source, &[], "image.tar");
        assert_eq!(sha256(&image), expected, "{source}");
    }
    let line = refused(&app, "oci-archive:base.tar:2", &[]);
    assert!(line.contains("no image of tag 2"), "{line}");
    let line = refused(&app, "oci-archive:first.tar", &[]);
    assert!(line.contains("index.json"), "{line}");
    // Their plans are read as well.
    for source in ["own.tar", "base.tar", "oci-archive:base.tar", "oci:layout"] {
        stream_to(&app, source, &[], "image.tar");
        let mut stream = app.command(&["stream", "-q", "--previous", source]);
        succeed(
            stream
                .current_dir(app.directory())
                .args(["-o", "image.tar"]),
        );
    }
}

/// `docker save a b`: one of several images is taken, and how to choose is said.
#[test]
fn an_archive_of_several_images() {
    let app = App::new(100);
    let base = app.directory().join("base.tar");
    let (one, two) = (layer("one", 10), layer("two", 20));
    let config = |layer: &[u8]| json!({"rootfs": {"diff_ids": [digest(layer)]}}).to_string();
    let configs = [config(&one), config(&two)];
    let manifest = json!([
        {"Config": "1.json", "RepoTags": ["one:1", "uno:1"], "Layers": ["1/layer.tar"]},
        {"Config": "2.json", "RepoTags": ["registry.example/two:2"], "Layers": ["2/layer.tar"]},
    ])
    .to_string();
    write(
        &base,
        &[
            ("1/layer.tar", At::File(&one)),
            ("2/layer.tar", At::File(&two)),
            ("1.json", At::File(configs[0].as_bytes())),
            ("2.json", At::File(configs[1].as_bytes())),
            ("manifest.json", At::File(manifest.as_bytes())),
        ],
    );
    let taken = |source: &str| {
        let image = stream_to(&app, source, &["--verify"], "image.tar");
        archive::config(&image).1["rootfs"]["diff_ids"][0].clone()
    };
    for (source, expected) in [
        ("base.tar", &one),
        ("docker-archive:base.tar", &one),
        ("docker-archive:base.tar:one:1", &one),
        ("docker-archive:base.tar:uno:1", &one),
        ("docker-archive:base.tar:registry.example/two:2", &two),
        ("docker-archive:base.tar:@1", &two),
    ] {
        assert_eq!(taken(source), digest(expected), "{source}");
    }
    let mut command = app.command(&["stream", "--arch", "amd64", "--from-image", "base.tar"]);
    command
        .current_dir(app.directory())
        .args(["-o", "image.tar"]);
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert!(
        text.contains("has 2 images (one:1, uno:1, registry.example/two:2)"),
        "{text}"
    );
    assert!(text.contains("docker-archive:base.tar:NAME:TAG"), "{text}");
    for wanted in ["three", "@2", "@-1"] {
        let line = refused(&app, &format!("docker-archive:base.tar:{wanted}"), &[]);
        assert!(line.contains("registry.example/two:2"), "{line}");
    }
}

/// A pipe could be read once only, and other things have no end.
#[test]
fn bases_that_are_no_files() {
    let app = App::new(100);
    fs::create_dir(app.directory().join("empty")).unwrap();
    fifo(&app.directory().join("pipe"));
    for (source, says) in [
        ("pipe", "pipe, and is read more than once"),
        ("docker-archive:pipe", "pipe, and is read more than once"),
        ("oci-archive:pipe", "pipe, and is read more than once"),
        ("/dev/zero", "no regular file"),
        ("oci:pipe", "Not a directory"),
        ("oci:empty", "No such file"),
    ] {
        let line = refused(&app, source, &[]);
        assert!(line.contains(says), "{source}: {line}");
    }
    let line = fail(on(&app, "empty").args(["-o", "refused.tar"]), 2);
    assert!(line.contains("not one with an OCI layout"), "{line}");
}

fn fifo(path: &Path) {
    succeed(Command::new("mkfifo").arg(path));
}

/// Layouts are held to their digests and sizes, and are regular files of a bounded size.
#[test]
fn layouts_that_were_tampered_with() {
    let app = App::new(100);
    let file = app.directory().join("first.tar");
    of_one_layer(
        &file,
        &digest(&layer("file", 10)),
        At::File(&layer("file", 10)),
    );
    let layout = stream_to(&app, "first.tar", &["--format", "oci"], "layout");
    let index: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let blob = |digest: &Value| {
        layout
            .join("blobs")
            .join(digest.as_str().unwrap().replace(':', "/"))
    };
    let manifest_file = blob(&index["manifests"][0]["digest"]);
    let (manifest, _) = of_layout(&layout);
    let files = [
        (manifest_file, "manifest"),
        (blob(&manifest["config"]["digest"]), "configuration"),
        (blob(&manifest["layers"][0]["digest"]), "layer"),
        (layout.join("index.json"), "index"),
    ];
    let refuse_all = |what: &str| {
        let line = refused(&app, "oci:layout", &[]);
        assert!(line.contains("layout"), "{what}: {line}");
        line
    };
    for (file, name) in &files {
        let kept = fs::read(file).unwrap();
        let put_back = || {
            fs::remove_file(file).unwrap();
            fs::write(file, &kept).unwrap();
        };
        fs::remove_file(file).unwrap();
        fifo(file);
        assert!(refuse_all(name).contains("pipe"));
        fs::remove_file(file).unwrap();
        symlink("/dev/zero", file).unwrap();
        assert!(refuse_all(name).contains("no regular file"));
        fs::remove_file(file).unwrap();
        fs::File::create(file).unwrap().set_len(3 << 30).unwrap();
        refuse_all(name);
        put_back();
        if *name != "index" {
            // Bytes that change nothing but the digest, and then the length.
            let at = kept.iter().rposition(|&byte| byte == b'"').unwrap_or(0);
            let mut other = kept.clone();
            other[at.saturating_sub(1)] ^= 1;
            fs::write(file, &other).unwrap();
            refuse_all(name);
            let longer = [&kept[..], b" "].concat();
            fs::write(file, &longer).unwrap();
            refuse_all(name);
            put_back();
        }
    }
    let size = index["manifests"][0]["size"].as_u64().unwrap();
    let mut other = index.clone();
    other["manifests"][0]["size"] = json!(size + 1);
    fs::write(layout.join("index.json"), other.to_string()).unwrap();
    assert!(refuse_all("size").contains("should have"));
    // The same for the images whose plans are read.
    let mut stream = app.command(&["stream", "-q", "--previous", "oci:layout"]);
    stream.current_dir(app.directory());
    fail(stream.args(["-o", "image.tar"]), 1);
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    stream_to(&app, "oci:layout", &[], "image.tar");
}

/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#non-distributable-layers>
#[test]
fn layers_that_are_not_for_distribution() {
    let app = App::new(100);
    let file = app.directory().join("first.tar");
    of_one_layer(
        &file,
        &digest(&layer("file", 10)),
        At::File(&layer("file", 10)),
    );
    let layout = stream_to(&app, "first.tar", &["--format", "oci"], "layout");
    let (mut manifest, _) = of_layout(&layout);
    for (media_type, says) in [
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "Windows",
        ),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "Windows",
        ),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "encrypted",
        ),
        ("application/vnd.wasm.content.layer.v1+wasm", "file system"),
    ] {
        manifest["layers"][0]["mediaType"] = json!(media_type);
        let text = manifest.to_string();
        let digest = digest(text.as_bytes());
        fs::write(layout.join("blobs").join(digest.replace(':', "/")), &text).unwrap();
        let manifest = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": text.len()});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        let line = refused(&app, "oci:layout", &[]);
        assert!(line.contains(media_type) && line.contains(says), "{line}");
    }
}

/// Bytes that a header of this type is followed by.
fn header(kind: u8, name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    if kind == b'S' {
        // Its size with the holes; the archive holds none of it.
        let gnu = header.as_gnu_mut().unwrap();
        gnu.realsize.copy_from_slice(b"77777777777\0");
        gnu.sparse[0].offset.copy_from_slice(b"77777777777\0");
        gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    }
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Compresses pieces and as many zeros after each, without keeping them.
fn bomb(file: &Path, program: &[&str], pieces: &[(Vec<u8>, u64)]) {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(std::process::Stdio::piped())
        .stdout(fs::File::create(file).unwrap())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for (bytes, zeros) in pieces {
        input.write_all(bytes).unwrap();
        std::io::copy(&mut std::io::repeat(0).take(*zeros), &mut input).unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// What a program compresses: pieces, and as many zeros after each.
type Pieces = Vec<(Vec<u8>, u64)>;

/// Small archives that would take gigabytes. The program gets 300 MB, with the
/// address space of its threads.
#[needs("gzip", "xz")]
#[test]
fn archives_that_take_all_memory() {
    let app = App::new(100);
    let base = app.directory().join("base.tar");
    let size = 320 << 20;
    let mut cases: Vec<(&str, &[&str], Pieces)> = Vec::new();
    for kind in [b'L', b'K', b'x'] {
        cases.push((
            "more than a megabyte",
            &["gzip", "-1"],
            vec![(header(kind, "long", size), size)],
        ));
    }
    // A sparse file allows no longer headers after it than others.
    cases.push((
        "more than a megabyte",
        &["gzip", "-1"],
        vec![
            (header(b'S', "sparse", 0), 0),
            (header(b'L', "long", size), size),
        ],
    ));
    let records = vec![b'x'; 300_000];
    let record = [b"300011 key=", &records[..], b"\n"].concat();
    let record = [format!("{} ", record.len()).as_bytes(), &record[7..]].concat();
    let many = (0..1000).flat_map(|number| {
        let mut bytes = header(b'x', "pax", record.len() as u64);
        bytes.extend_from_slice(&record);
        let padding = (512 - record.len() % 512) % 512;
        let member = header(b'0', &format!("member-{number}"), 0);
        [(bytes, padding as u64), (member, 0)]
    });
    cases.push(("take more than 16 MB", &["gzip", "-1"], many.collect()));
    for (says, program, pieces) in cases {
        bomb(&base, program, &pieces);
        assert!(fs::metadata(&base).unwrap().len() < 8_000_000);
        let line = with_little_memory(&app);
        assert!(line.contains(says), "{says}: {line}");
    }
    let image = layer("file", 100);
    fs::write(
        &base,
        compressed(
            &["xz", "--format=xz", "--lzma2=preset=0,dict=1536MiB"],
            &image,
        ),
    )
    .unwrap();
    let line = with_little_memory(&app);
    assert!(line.contains("memory"), "{line}");
}

/// The error of `stream` on `base.tar` with 300 MB of memory.
fn with_little_memory(app: &App) -> String {
    let command = on(app, "base.tar");
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -v 300000; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .args(["--jobs", "1", "-o", "image.tar"])
        .current_dir(app.directory());
    fail(&mut limited, 1)
}

/// `COMMAND` of the example that says hello.
fn hello(command: &[&str]) -> Command {
    let example = repository().join("tests/hello");
    let mut program = stream_layered();
    program.args(command).args(["-q", "--no-cache", "--store"]);
    program.arg(example.join("store"));
    program.arg("--closure").arg(example.join("closure.json"));
    program.arg("/nix/store/h780awpm6b8qcxx28gfnjq6z4i9dq73z-hello-1.0");
    program
}

/// An image that an engine has is a base like any other, for `stream` and for `load`.
#[needs(docker, docker_on_containerd, podman_socket)]
#[test]
fn a_base_that_an_engine_has() {
    let directory = tempfile::tempdir().unwrap();
    let engines = [
        Engine::docker(),
        Engine::docker_on_containerd(),
        Engine::podman(),
    ];
    for (at, engine) in engines.iter().enumerate() {
        let to = |command: &[&str]| {
            let mut program = hello(command);
            engine.name_to(&mut program);
            program
        };
        let tag = std::process::id();
        let below = format!("stream-layered-below-{at}:{tag}");
        let above = format!("stream-layered-above-{at}:{tag}");
        succeed(to(&["load", "-t", &below]).args(["-e", "BELOW=1"]));
        let _below = engine.image(&below);
        let base = format!("docker-daemon:{below}");

        let file = directory.path().join("image.tar");
        let mut stream = to(&["stream", "--verify", "-t", &above, "--from-image", &base]);
        succeed(stream.arg("-o").arg(&file));
        let loaded = engine.load(&file);
        let said = loaded.run(&[], &[]);
        assert!(said.contains("Hello"), "{said}");
        drop(loaded);

        succeed(&mut to(&["load", "-t", &above, "--from-image", &base]));
        let loaded = engine.image(&above);
        assert!(loaded.run(&[], &[]).contains("Hello"));
        assert!(loaded.inspect().to_string().contains("BELOW=1"));
        // The image carries its plan.
        succeed(&mut to(&["stream", "--previous", &base, "-o", "/dev/null"]));

        let absent = "stream-layered-absent:1";
        let mut stream = to(&["stream", "--from-image", &format!("docker-daemon:{absent}")]);
        let line = fail(
            stream.arg("-o").arg(directory.path().join("refused.tar")),
            1,
        );
        assert!(
            line.contains(&format!("has no image {absent}; pull")),
            "{line}"
        );
        let socket = engine.host().trim_start_matches("unix://");
        assert!(line.contains(socket), "{line}");
    }
}

/// containerd by itself has no API that images are saved by.
#[needs(containerd)]
#[test]
fn bases_that_containerd_has() {
    let mut stream = hello(&["stream", "--from-image", "docker-daemon:app:1"]);
    stream
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .env_remove("CONTAINER_HOST");
    stream.env(
        "CONTAINERD_ADDRESS",
        peer::setting("STREAM_LAYERED_TEST_CONTAINERD"),
    );
    let line = fail(stream.args(["-o", "/dev/null"]), 1);
    assert!(line.contains("ctr images export FILE app:1"), "{line}");
}

/// <https://github.com/elastic/elastic-agent/issues/12676>: the archive of a real Docker with
/// containerd's store goes wherever images go, and containers run there.
#[needs(docker, docker_on_containerd, podman_socket, registry, skopeo)]
#[test]
fn a_base_that_docker_saved_from_containerds_store() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().join("base.tar");
    let registry = peer::setting("STREAM_LAYERED_TEST_REGISTRY");
    let name = |what: &str| format!("{registry}/saved-base/{what}:{}", std::process::id());
    succeed(hello(&["push", &name("below")]).args(["-e", "BELOW=1"]));
    let containerd = Engine::docker_on_containerd();
    let below = name("below");
    containerd.run(&["pull", "-q", &below]);
    containerd.run(&["save", "-o", base.to_str().unwrap(), &below]);
    containerd.run(&["rmi", "-f", &below]);
    let manifest = archive::json(&base, "manifest.json");
    let layer = manifest[0]["Layers"][0].as_str().unwrap();
    let layer = succeed(Command::new("tar").arg("-xOf").arg(&base).arg(layer));
    assert!(
        layer.starts_with(&[0x1f, 0x8b]),
        "the layers are compressed"
    );

    let on_base = |command: &[&str]| {
        let mut program = hello(command);
        program.arg("--from-image").arg(&base);
        program
    };
    succeed(&mut on_base(&["push", &name("above")]));
    let mut skopeo = Command::new(peer::program("STREAM_LAYERED_TEST_SKOPEO"));
    skopeo.args(["inspect", "--tls-verify=false", "--config"]);
    let config = succeed(skopeo.arg(format!("docker://{}", name("above"))));
    assert!(String::from_utf8(config).unwrap().contains("BELOW=1"));
    for format in ["oci", "oci-archive"] {
        let mut stream = on_base(&["stream"]);
        succeed(
            stream
                .args(["--format", format, "-o"])
                .arg(directory.path().join(format)),
        );
    }
    for (at, engine) in [Engine::docker(), containerd, Engine::podman()]
        .iter()
        .enumerate()
    {
        let name = format!("stream-layered-saved-base-{at}:{}", std::process::id());
        let mut load = on_base(&["load"]);
        load.env_remove("CONTAINER_HOST")
            .env("DOCKER_HOST", engine.host());
        succeed(load.args(["-t", &name]));
        let said = engine.run(&["run", "--rm", "--network", "none", &name]);
        assert!(said.contains("Hello"), "{said}");
        engine.run(&["rmi", "-f", &name]);
    }
    let file = directory.path().join("image.tar");
    succeed(on_base(&["stream"]).arg("--verify").arg("-o").arg(&file));
    let said = Engine::docker().load(&file).run(&[], &[]);
    assert!(said.contains("Hello"), "{said}");
}
