//! What images in registries, and caches, say of layers that they do not have: an image whose
//! annotations name another layer, or a cache with wrong digests, harms no other image.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use image::Compression;
use oci::{Digest, Reference, media_type};
use registry::{Access, Bytes, Client, Options, Push, PushOptions};
use serde_json::{Value, json};
use test_peers::needs;

use crate::support::app::App;
use crate::support::engine::Engine;
use crate::support::program::{stderr, succeed};
use crate::support::registry::Registry;

/// Which of a layer's annotations an attacker changes beside its blob.
#[derive(Clone, Copy, PartialEq)]
enum Tampered {
    /// The digest of the tar is that of the other layer.
    BlobAndTar,
    /// The blob alone is another.
    Blob,
}

/// An image in a registry that was tampered with, and the closure that it was made of.
struct Attack {
    app: App,
    registry: Registry,
    /// The manifest as it should be.
    honest: Vec<u8>,
    /// Digests of the other layer: its tar and its blob.
    evil: [Digest; 2],
}

impl Attack {
    /// Pushes an image as `:t`, and puts another layer in the place of one of its own.
    fn new(test: &str, tampered: Tampered) -> Self {
        let (app, registry) = (App::new(1 << 16), Registry::find(test));
        let name = registry.reference("t");
        succeed(&mut app.command(&["push", "--no-cache", &name]));
        let honest = registry.manifest("t").unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        tar.append_data(&mut header, "nix/evil", &b"evil\n"[..])
            .unwrap();
        let tar = tar.into_inner().unwrap();
        let mut blob = Vec::new();
        let encoder = Compression::LAYER_GZIP.encoder(&mut blob, 1.try_into().unwrap());
        let mut encoder = encoder.unwrap();
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap();
        let evil = [Digest::of(&tar), Digest::of(&blob)];
        let mut manifest: Value = serde_json::from_slice(&honest).unwrap();
        let layers = manifest["layers"].as_array_mut().unwrap();
        let at = layers.len() - 2;
        layers[at]["digest"] = json!(evil[1].to_string());
        layers[at]["size"] = json!(blob.len());
        if tampered == Tampered::BlobAndTar {
            let annotation = &mut layers[at]["annotations"]["io.github.stream-layered.diff-id"];
            assert!(annotation.is_string());
            *annotation = json!(evil[0].to_string());
        }
        let reference: Reference = name.parse().unwrap();
        let client = Client::new(Options::default()).unwrap();
        let repository = client.repository(&reference, Access::Push);
        let blob = Bytes::new("evil", blob);
        Push::new(&repository, PushOptions::default(), &())
            .blobs(&[&blob])
            .unwrap();
        let manifest = serde_json::to_vec(&manifest).unwrap();
        repository
            .put_manifest("t", media_type::MANIFEST, &manifest)
            .unwrap();
        app.forget();
        Self {
            app,
            registry,
            honest,
            evil,
        }
    }

    /// The tampered image.
    fn name(&self) -> String {
        self.registry.reference("t")
    }

    /// Another repository of the registry, by its own name or by another.
    fn elsewhere(&self, host: &str) -> Registry {
        let port = self.registry.host.rsplit_once(':').unwrap().1;
        Registry {
            host: format!("{host}:{port}"),
            repository: format!("{}-clean", self.registry.repository),
            log: self.registry.log.clone(),
            skopeo: self.registry.skopeo.clone(),
        }
    }

    fn run(&self, words: &[&str]) -> String {
        let output = self.app.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stderr(&output)
    }

    /// Nothing of the other layer is in the cache.
    #[track_caller]
    fn cache_is_clean(&self) {
        let cache = fs::read_to_string(cache(&self.app)).unwrap_or_default();
        for digest in self.evil {
            assert!(!cache.contains(&digest.hex()), "{cache}");
        }
    }
}

fn cache(app: &App) -> PathBuf {
    app.directory().join("cache/layers-v1")
}

/// Who can write a tag can write the image there. So the next push may leave it as it is, but says on
/// whose word; and it goes no further.
#[needs(registry, skopeo)]
#[test]
fn a_tampered_image_is_believed_for_its_own_repository_alone() {
    for tampered in [Tampered::BlobAndTar, Tampered::Blob] {
        let attack = Attack::new(&format!("own-{}", tampered as u8), tampered);
        let said = attack.run(&["push", &attack.name()]);
        let word = format!(
            "4 of 4 layers are as annotations at {}/{} say, and are not read",
            attack.registry.host, attack.registry.repository
        );
        assert!(said.contains(&word), "{said}");
        attack.cache_is_clean();
        // What is pushed elsewhere afterwards is not harmed, nor is an archive.
        let clean = attack.elsewhere("localhost");
        attack.run(&["push", &clean.reference("t")]);
        assert_eq!(clean.manifest("t").unwrap(), attack.honest);
        // And the own repository is healed by who reads the layers.
        attack.run(&["push", "--no-cache", &attack.name()]);
        assert_eq!(attack.registry.manifest("t").unwrap(), attack.honest);
    }
}

#[needs(registry, skopeo)]
#[test]
fn a_tampered_previous_image_harms_no_other_repository() {
    for tampered in [Tampered::BlobAndTar, Tampered::Blob] {
        let attack = Attack::new(&format!("previous-{}", tampered as u8), tampered);
        // In the same registry, where blobs are taken over, and in one of another name.
        for host in ["127.0.0.1", "localhost"] {
            attack.app.forget();
            let clean = attack.elsewhere(host);
            let said = attack.run(&[
                "push",
                "--previous-image",
                &attack.name(),
                &clean.reference(host),
            ]);
            assert_eq!(clean.manifest(host).unwrap(), attack.honest);
            attack.cache_is_clean();
            if host == "127.0.0.1" {
                assert!(said.contains("wrong annotations for layer 3;"), "{said}");
                assert!(said.contains(" 4 taken over, 0 sent, "), "{said}");
            }
        }
    }
}

#[needs(registry, skopeo)]
#[test]
fn a_tampered_image_harms_no_other_name_of_the_push() {
    let attack = Attack::new("also", Tampered::BlobAndTar);
    let clean = attack.elsewhere("127.0.0.1");
    let also = clean.reference("t");
    attack.run(&["push", &attack.name(), "--also", &also]);
    assert_eq!(clean.manifest("t").unwrap(), attack.honest);
    assert_eq!(attack.registry.manifest("t").unwrap(), attack.honest);
    attack.cache_is_clean();
}

/// Trust is a choice.
#[needs(registry, skopeo)]
#[test]
fn annotations_of_a_trusted_repository_spare_reading() {
    let (app, registry) = (App::new(1 << 16), Registry::find("trusted"));
    let name = registry.reference("t");
    succeed(&mut app.command(&["push", &name]));
    app.forget();
    app.take_contents_away();
    let other = Registry {
        repository: format!("{}-other", registry.repository),
        ..Registry::find("trusted")
    };
    let to = other.reference("t");
    let push = [
        "push",
        "--trust-annotations",
        "--previous-image",
        &name,
        &to,
    ];
    succeed(&mut app.command(&push));
    assert_eq!(other.manifest("t"), registry.manifest("t"));
}

/// Puts wrong digests, or wrong digests and lengths, in place of all that a cache has.
fn poison(app: &App, lengths: bool) {
    let file = cache(app);
    let text = fs::read_to_string(&file).unwrap();
    let mut poisoned = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(' ').collect();
        let digest = Digest::of(parts[1].as_bytes()).hex();
        let size: u64 = parts[2].parse().unwrap();
        let size = if lengths { size + 512 } else { size };
        let entry = format!("{} {digest} {size}", parts[0]);
        let checksum = &Digest::of(entry.as_bytes()).hex()[..16];
        poisoned += &format!("{entry} {checksum}\n");
    }
    fs::write(file, poisoned).unwrap();
}

/// The run went well, and says that the cache was wrong; the next one has nothing to say.
#[track_caller]
fn healed(app: &App, output: &Output, next: &[&str]) {
    let said = stderr(output);
    assert!(output.status.success(), "{said}");
    let warnings = said.lines().filter(|line| line.starts_with("warning: "));
    let warnings: Vec<&str> = warnings.collect();
    assert_eq!(warnings.len(), 1, "{said}");
    let about = format!(
        "the layer cache {} was wrong about layer",
        cache(app).display()
    );
    assert!(warnings[0].contains(&about), "{said}");
    assert!(!said.contains("nix store verify"), "{said}");
    let again = app.command(next).output().unwrap();
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(!stderr(&again).contains("warning: "), "{}", stderr(&again));
}

fn archive(app: &App, words: &[&str], file: &Path) -> Output {
    let mut command = app.command(words);
    command.arg("-o").arg(file).output().unwrap()
}

#[test]
fn a_wrong_cache_makes_no_wrong_archive_and_is_healed() {
    let app = App::new(1 << 16);
    let file = |name: &str| app.directory().join(name);
    for (number, (words, lengths)) in [
        (vec!["stream", "--verify"], false),
        (vec!["stream", "--verify"], true),
        (vec!["stream"], true),
        (vec!["stream", "--verify", "--format", "oci-archive"], false),
        (vec!["stream", "--format", "oci-archive"], true),
        (
            vec!["stream", "--format", "oci-archive", "--compression", "gzip"],
            false,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        app.forget();
        let (honest, healed_file) = (file("honest"), file(&format!("healed-{number}")));
        let first = archive(&app, &words, &honest);
        assert!(first.status.success(), "{}", stderr(&first));
        poison(&app, lengths);
        let output = archive(&app, &words, &healed_file);
        let next = file("next");
        let mut again = words.clone();
        again.extend(["-o", next.to_str().unwrap()]);
        healed(&app, &output, &again);
        for other in [healed_file, next] {
            assert!(
                fs::read(&honest).unwrap() == fs::read(other).unwrap(),
                "{words:?}, {lengths}"
            );
        }
    }
}

#[test]
fn a_wrong_cache_makes_no_wrong_layout_and_is_healed() {
    let app = App::new(1 << 16);
    let (honest, other) = (
        app.directory().join("honest"),
        app.directory().join("other"),
    );
    let words = ["stream", "--format", "oci", "-t", "app:1"];
    let first = archive(&app, &words, &honest);
    assert!(first.status.success(), "{}", stderr(&first));
    poison(&app, false);
    let output = archive(&app, &words, &other);
    let next = app.directory().join("next");
    let mut again = words.to_vec();
    again.extend(["-o", next.to_str().unwrap()]);
    healed(&app, &output, &again);
    let index = |layout: &Path| fs::read(layout.join("index.json")).unwrap();
    assert_eq!(index(&other), index(&honest));
}

/// A pipe cannot be written again: the run fails, and the next one goes well.
#[test]
fn what_went_into_a_pipe_ends_with_an_error_about_the_cache() {
    let app = App::new(1 << 16);
    let words = ["stream", "--format", "oci-archive", "--compression", "gzip"];
    let honest = succeed(&mut app.command(&words));
    poison(&app, false);
    let mut runs = 0;
    let output = loop {
        let output = app.command(&words).output().unwrap();
        if output.status.success() {
            break output;
        }
        let said = stderr(&output);
        assert!(said.contains("is not what the layer cache says"), "{said}");
        runs += 1;
        assert!(runs <= 4, "{said}");
    };
    assert!(runs > 0);
    assert!(output.stdout == honest);
}

#[needs(registry, skopeo)]
#[test]
fn a_wrong_cache_makes_no_wrong_push_and_is_healed() {
    for (compression, lengths) in [("gzip", false), ("gzip", true), ("none", false)] {
        let app = App::new(1 << 19);
        let registry = Registry::find(&format!("wrong-cache-{compression}-{lengths}"));
        let first = registry.reference("1");
        succeed(&mut app.command(&["push", &first, "--compression", compression]));
        let other = Registry {
            repository: format!("{}-other", registry.repository),
            ..Registry::find("wrong-cache")
        };
        poison(&app, lengths);
        let to = other.reference("1");
        let push = ["push", &to, "--compression", compression];
        let output = app.command(&push).output().unwrap();
        healed(&app, &output, &push);
        assert_eq!(other.manifest("1"), registry.manifest("1"));
    }
}

#[needs(docker, docker_on_containerd, podman, containerd)]
#[test]
fn a_wrong_cache_makes_no_wrong_image_in_an_engine_and_is_healed() {
    for (number, engine) in [
        Engine::docker(),
        Engine::docker_on_containerd(),
        Engine::podman(),
        Engine::containerd(),
    ]
    .into_iter()
    .enumerate()
    {
        // Of its own, so that no engine has any of its layers.
        let app = App::new((1 << 16) + number);
        let archive_file = app.directory().join("archive");
        let said = archive(&app, &["stream"], &archive_file);
        assert!(said.status.success(), "{}", stderr(&said));
        poison(&app, false);
        let name = format!("stream-layered-wrong-cache-{}:1", std::process::id());
        let load = ["load", "-t", &name];
        let command = |words: &[&str]| {
            let mut command = app.command(words);
            engine.name_to(&mut command);
            command
        };
        let output = command(&load).output().unwrap();
        let text = stderr(&output);
        assert!(output.status.success(), "{}: {text}", engine.host());
        assert!(
            text.contains("the layer cache"),
            "{}: {text}",
            engine.host()
        );
        let again = command(&load).output().unwrap();
        assert!(!stderr(&again).contains("warning: "), "{}", stderr(&again));
        assert_eq!(output.stdout, again.stdout);
        app.forget();
        let fresh = command(&load).output().unwrap();
        assert_eq!(output.stdout, fresh.stdout, "{}", engine.host());
        engine.remove(&name);
    }
}
