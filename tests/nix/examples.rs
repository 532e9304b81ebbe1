//! What nixpkgs' own tests ask of its examples, asked of ours: on the archive, or of a container.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use test_peers::needs;

use super::Nix;
use super::archive::Archive;
use crate::support::engine::{Engine, LoadedImage};
use crate::support::peer;

const FILE: &str = "examples.nix";

fn peers() -> (Nix, Engine) {
    (Nix::find(), Engine::docker())
}

fn stream(nix: &Nix, attribute: &str) -> Archive {
    Archive::of(&nix.build(FILE, attribute))
}

fn file(nix: &Nix, attribute: &str) -> Archive {
    Archive::read(&nix.build(FILE, attribute))
}

#[needs(nix, docker)]
#[test]
fn a_program_is_found_on_the_root() {
    let (nix, docker) = peers();
    let image = docker.load_from(&nix.build(FILE, "helloOnRoot"));
    assert_eq!(image.name, "hello:latest");
    assert_eq!(image.run(&[], &[]), "Hello, world!\n");
}

#[needs(nix, docker)]
#[test]
fn without_store_paths_a_program_runs_on_the_machine_s_store() {
    let (nix, docker) = peers();
    for attribute in ["helloOnRootNoStore", "helloOnRootNoStoreFakechroot"] {
        let image = nix.build(FILE, attribute);
        assert!(
            !Archive::of(&image)
                .root()
                .keys()
                .any(|path| path.starts_with("/nix")),
            "{attribute}"
        );
        let tag = format!("hello:{}", attribute.to_lowercase());
        let image = docker.load_as(&image, &tag);
        assert!(!image.try_run(&[], &[]).status.success());
        assert_eq!(
            image.run(&["-v", "/nix/store:/nix/store:ro"], &[]),
            "Hello, world!\n"
        );
    }
}

#[needs(nix, docker)]
#[test]
fn the_tag_without_one_is_known_before_the_build() {
    let (nix, docker) = peers();
    for (attribute, is_stream) in [
        ("bashNoTagLayered", false),
        ("bashNoTagStreamLayered", true),
    ] {
        let tag = nix.eval(FILE, &format!("{attribute}.imageTag"));
        let name = nix.eval(FILE, &format!("{attribute}.imageName"));
        let built = nix.build(FILE, attribute);
        let image = if is_stream {
            docker.load_from(&built)
        } else {
            docker.load(&built)
        };
        assert_eq!(
            image.name,
            format!("{}:{}", name.as_str().unwrap(), tag.as_str().unwrap())
        );
    }
}

#[needs(nix, docker, docker_on_containerd)]
#[test]
fn archives_load_compressed_and_not() {
    let (nix, docker) = peers();
    let newer = Engine::docker_on_containerd();
    for (attribute, kind, docker) in [
        ("bashLayeredUncompressed", "application/x-tar", &docker),
        ("layered-image", "application/gzip", &docker),
        // Docker 20.10 does not know zstd.
        ("bashLayeredZstdCompressed", "application/zstd", &newer),
    ] {
        let archive = nix.build(FILE, attribute);
        // nixpkgs' mergeImages goes by this.
        let output = Command::new("file")
            .args(["--brief", "--mime-type"])
            .arg(&archive)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), kind);
        let image = docker.load(&archive);
        let says = ["/bin/bash", "-c", "echo works"];
        assert_eq!(image.run(&[], &says), "works\n");
    }
}

#[needs(nix, docker)]
#[test]
fn another_user_can_use_the_store() {
    let (nix, docker) = peers();
    let image = docker.load(&nix.build(FILE, "bashLayeredWithUser"));
    let run = |command: &[&str]| image.run(&["-u", "somebody"], command);
    assert_eq!(
        run(&[
            "/bin/bash",
            "-c",
            "stat -c '%a' /nix; stat -c '%a' /nix/store"
        ]),
        "755\n755\n"
    );
    assert_eq!(run(&["/bin/id", "-un"]), "somebody\n");
}

#[needs(nix, docker)]
#[test]
fn nix_knows_the_contents_by_its_database() {
    let (nix, docker) = peers();
    let image = docker.load(&nix.build(FILE, "nixLayered"));
    let references = image.run(&[], &["nix-store", "-q", "--references", "/bin/bash"]);
    assert!(references.contains("-glibc-2"), "{references}");
    assert_eq!(image.run(&[], &["readlink", "/bin/nix-daemon"]), "nix\n");
    let roots = image.run(&[], &["ls", "/nix/var/nix/gcroots/docker"]);
    assert!(roots.contains("-nix-1"), "{roots}");
}

#[needs(nix, docker)]
#[test]
fn files_of_the_store_are_whole() {
    let (nix, docker) = peers();
    let image = docker.load(&nix.build(FILE, "filesInStore"));
    assert_eq!(image.run(&[], &[]), "some data");
    let output = image.try_run(&[], &["nix-store", "--verify", "--check-contents"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("checking store hashes"),
        "{text}"
    );
    // The script is of the configuration, not of the contents; it is in the database all the same.
    let valid = image.run(
        &[],
        &["sh", "-c", "nix-store -q --requisites $0", &script(&image)],
    );
    assert!(valid.contains("-myscript"), "{valid}");
}

fn script(image: &LoadedImage<'_>) -> String {
    image.inspect()["Config"]["Cmd"][0]
        .as_str()
        .unwrap()
        .to_owned()
}

#[needs(nix, docker)]
#[test]
fn a_server_serves() {
    let (nix, docker) = peers();
    let stream = nix.build(FILE, "serverStream");
    for image in [
        docker.load(&nix.build(FILE, "serverLayered")),
        docker.load_as(&stream, "web-server:stream"),
    ] {
        assert!(image.inspect()["Config"]["ExposedPorts"]["8080/tcp"].is_object());
        let server = image.start(&[]);
        let page = server.until(&["/bin/wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]);
        assert_eq!(page, "<h1>Hello from a layer</h1>\n");
        assert_eq!(server.exec(&["/bin/stat", "-c", "%a", "/tmp"]), "1777\n");
    }
}

#[needs(nix)]
#[test]
fn created_now_is_not_the_start_of_1970() {
    let nix = Nix::find();
    let image = file(&nix, "unstableDateLayered");
    let created = image.config["created"].as_str().unwrap();
    assert!(!created.starts_with("1970"), "{created}");
    // The files are dated as ever, so that layers are shared.
    assert!(
        image
            .store()
            .values()
            .all(|entry| entry.time == "1970-01-01 00:00:01")
    );
}

#[needs(nix, docker)]
#[test]
fn extra_commands_are_seen_and_layers_are_shared() {
    let (nix, docker) = peers();
    let image = docker.load(&nix.build(FILE, "layered-image"));
    assert_eq!(image.run(&[], &[]), "Hello, world!\n");
    assert_eq!(image.run(&[], &["/bin/cat", "/extraCommands"]), "layered\n");
    let (one, other) = (
        file(&nix, "layered-image"),
        file(&nix, "another-layered-image"),
    );
    let one: BTreeSet<&str> = one.diff_ids().into_iter().collect();
    assert!(
        other
            .diff_ids()
            .into_iter()
            .any(|digest| one.contains(digest))
    );
}

#[needs(nix, docker)]
#[test]
fn an_image_stands_on_another() {
    let (nix, docker) = peers();
    for attribute in ["layered-on-top-layered", "layered-on-top"] {
        let image = docker.load(&nix.build(FILE, attribute));
        assert_eq!(image.run(&[], &[]), "layered\n", "{attribute}");
        let (base, top) = (file(&nix, "layered-image"), file(&nix, attribute));
        assert!(top.diff_ids().starts_with(&base.diff_ids()));
    }
}

#[needs(nix)]
#[test]
fn archives_are_laid_out_as_nixpkgs_build_image_reads_them() {
    let nix = Nix::find();
    let archive = nix.build(FILE, "layered-image");
    let output = Command::new("tar")
        .arg("-tf")
        .arg(archive)
        .output()
        .unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let (layers, rest): (Vec<&str>, Vec<&str>) =
        names.lines().partition(|name| name.ends_with("/layer.tar"));
    assert!(
        layers
            .iter()
            .all(|name| name.len() == "/layer.tar".len() + 64),
        "{names}"
    );
    assert_eq!(rest.len(), 2);
    assert!(rest.contains(&"manifest.json"));
}

#[needs(nix, docker)]
#[test]
fn the_environment_is_the_base_images_and_the_images_own_over_it() {
    let (nix, docker) = peers();
    let image = nix.build(FILE, "environmentVariablesLayered");
    let config = Archive::of(&image).config;
    let variables: Vec<&str> = config["config"]["Env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    assert_eq!(
        variables,
        ["FROM_PARENT=true", "LAST_LAYER=child", "FROM_CHILD=true"]
    );
    let seen = docker.load_from(&image).run(&[], &["env"]);
    assert!(
        variables
            .iter()
            .all(|variable| seen.lines().any(|line| line == *variable)),
        "{seen}"
    );
}

#[needs(nix, docker)]
#[test]
fn the_number_of_layers_is_kept() {
    let (nix, docker) = peers();
    let two = docker.load(&nix.build(FILE, "two-layered-image"));
    assert_eq!(two.run(&[], &[]), "Hello, world!\n");
    let bulk = docker.load(&nix.build(FILE, "bulk-layer"));
    assert_eq!(bulk.run(&[], &["ls", "/bin/hello"]), "/bin/hello\n");
    for (attribute, layers) in [
        ("two-layered-image", 2),
        ("bulk-layer", 2),
        ("layered-bulk-layer", 4),
    ] {
        assert_eq!(
            file(&nix, attribute).diff_ids().len(),
            layers,
            "{attribute}"
        );
    }
    let on_top = docker.load(&nix.build(FILE, "layered-bulk-layer"));
    assert_eq!(on_top.run(&[], &["ls", "/bin/hello"]), "/bin/hello\n");
}

#[needs(nix, docker)]
#[test]
fn only_what_the_root_refers_to_is_in_the_store() {
    let (nix, docker) = peers();
    let image = docker.load(&nix.build(FILE, "no-store-paths"));
    let store = image.run(&[], &["/bin/ls", "/nix/store"]);
    let names: Vec<&str> = store.lines().map(|path| &path[33..]).collect();
    assert_eq!(names, ["self-referential-busybox"]);
}

#[needs(nix, docker)]
#[test]
fn a_store_path_that_is_a_link_stays_one() {
    let (nix, docker) = peers();
    let link = nix.build(FILE, "symlink");
    let image = docker.load_from(&nix.build(FILE, "layeredStoreSymlink"));
    image.run(
        &[],
        &["/bin/bash", "-c", &format!("test -L {}", link.display())],
    );
    assert_eq!(
        image.run(&[], &["/bin/cat", "/dir/target"]),
        "It does not matter.\n"
    );
}

#[needs(nix, docker)]
#[test]
fn a_name_has_a_registry_before_it() {
    let (nix, docker) = peers();
    let image = docker.load(&nix.build(FILE, "prefixedLayeredImage"));
    assert_eq!(image.name, "registry-1.docker.io/layered-image:latest");
}

#[needs(nix, docker)]
#[test]
fn fake_root_commands_are_kept() {
    let (nix, docker) = peers();
    let image = docker.load(&nix.build(FILE, "layeredImageWithFakeRootCommands"));
    assert_eq!(
        image.run(&[], &["/bin/stat", "-c", "%u", "/home/alice"]),
        "1000\n"
    );
    assert_eq!(image.run(&[], &["/hello/bin/hello"]), "Hello, world!\n");
}

#[needs(nix, docker)]
#[test]
fn fake_root_commands_see_the_image_s_root() {
    let (nix, docker) = peers();
    let root = stream(&nix, "imageViaFakeChroot").root();
    assert_eq!(root["/srv/data"].owner, "12345/12345");
    let names: Vec<&String> = root.keys().collect();
    assert_eq!(names, ["/", "/bin", "/bin/hello", "/srv", "/srv/data"]);
    let image = docker.load_from(&nix.build(FILE, "imageViaFakeChroot"));
    assert_eq!(image.run(&[], &[]), "Hello, world!\n");
    let image = docker.load_from(&nix.build(FILE, "chown-test"));
    assert_eq!(image.run(&[], &[]), "12345:12345\n");
}

#[needs(nix, docker)]
#[test]
fn store_paths_belong_to_another_user() {
    let (nix, docker) = peers();
    let image = docker.load_from(&nix.build(FILE, "non-root-test"));
    assert_eq!(image.run(&[], &[]), "1000:1000\n");
    assert_eq!(image.run(&[], &["id", "-u"]), "1000\n");
}

#[needs(nix, docker)]
#[test]
fn a_path_beside_the_expression_is_contents() {
    let (nix, docker) = peers();
    let image = docker.load_from(&nix.build(FILE, "layered-image-with-path"));
    assert_eq!(
        image.run(&[], &["/bin/bash", "-c", "echo \"$(</hello.txt)\""]),
        "a file beside the expression\n"
    );
}

#[needs(nix, docker)]
#[test]
fn another_architecture_is_told() {
    let (nix, docker) = peers();
    let image = docker.load_from(&nix.build(FILE, "layered-image-with-architecture"));
    assert_eq!(image.inspect()["Architecture"], "arm64");
}

#[needs(skopeo, nix)]
#[test]
fn skopeo_takes_the_archive() {
    let nix = Nix::find();
    let skopeo = peer::program("STREAM_LAYERED_TEST_SKOPEO");
    let archive = nix.build(FILE, "bashLayeredUncompressed");
    let reference = format!("docker-archive:{}", archive.display());
    let output = Command::new(skopeo)
        .arg("inspect")
        .arg(reference)
        .output()
        .unwrap();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["Layers"], json!(Archive::read(&archive).diff_ids()));
}
