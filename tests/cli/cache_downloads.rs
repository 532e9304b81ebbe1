//! What is downloaded from a binary cache, by the bytes that its server sends: each NAR once, unless there
//! is no room to keep a layer.

use std::fs;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use stores::LocalStore;
use tempfile::TempDir;
use test_peers::needs;

use crate::support::binary_cache::{self, Server};
use crate::support::engine::Engine;
use crate::support::program::{fail, stderr, stream_layered, succeed};

const PATHS: usize = 8;

/// Bytes of each path.
const SIZE: usize = 200_000;

/// A cache that nobody signed, and an image of its paths, in bytes that no engine has seen.
struct Cache {
    directory: TempDir,
    server: Server,
    paths: Vec<String>,
    name: String,
}

impl Cache {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = TempDir::new().unwrap();
        let server = Server::start(directory.path().join("cache"));
        let mut cache = Self {
            directory,
            server,
            paths: Vec::new(),
            name: format!("stream-layered-downloads-{}-{number}", std::process::id()),
        };
        binary_cache::create(&cache.directory.path().join("cache"));
        for number in 0..PATHS {
            let base_name = format!("{number:032}-path");
            cache.paths.push(format!("/nix/store/{base_name}"));
            cache.write(number, "first");
        }
        fs::create_dir(cache.directory.path().join("spools")).unwrap();
        cache
    }

    /// Gives a path other contents.
    fn write(&self, number: usize, word: &str) {
        let base_name = &self.paths[number]["/nix/store/".len()..];
        let root = self.directory.path().join("root");
        let path = root
            .join("nix/store")
            .join(base_name)
            .join(number.to_string());
        fs::create_dir_all(&path).unwrap();
        let line = format!("{} {word} {number}\n", self.name);
        fs::write(path.join("file"), line.repeat(SIZE / line.len())).unwrap();
        let cache = self.directory.path().join("cache");
        binary_cache::add(&cache, &LocalStore::below(&root), base_name);
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = stream_layered();
        command
            .args(words)
            .args([
                "--no-require-sigs",
                "--cmd",
                "x",
                "--strategy",
                "popularity",
            ])
            .args(["--store", &self.server.url, "-t", &self.name])
            .args(&self.paths)
            .env("TMPDIR", self.directory.path().join("spools"))
            .env("STREAM_LAYERED_CACHE", self.directory.path().join("memory"));
        command
    }

    /// How often the NAR of each path was sent since this was asked last.
    fn downloads(&self) -> Vec<u64> {
        let sent = self.server.sent();
        let of = |path: &String| {
            let name = format!("nar/{}.nar", &path["/nix/store/".len()..][..32]);
            let length = fs::metadata(self.directory.path().join("cache").join(&name));
            let bytes = sent.get(&name).copied().unwrap_or_default();
            let length = length.unwrap().len();
            assert_eq!(bytes % length, 0, "{name}");
            bytes / length
        };
        self.paths.iter().map(of).collect()
    }

    fn load(&self, engine: &Engine, words: &[&str]) -> Output {
        let mut load = self.command(&[&["load"], words].concat());
        engine.name_to(&mut load);
        let output = load.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output
    }
}

#[test]
fn each_form_of_an_image_downloads_each_path_once() {
    let cache = Cache::new();
    let forms: [&[&str]; 4] = [
        &["stream"],
        &["stream", "--verify"],
        &["stream", "--format", "oci-archive"],
        &["stream", "--format", "oci-archive", "--compression", "zstd"],
    ];
    for form in forms {
        let plain = [form, &["--no-cache"]].concat();
        let expected = succeed(&mut cache.command(&plain));
        // The root's links come from a listing, or from the NARs where there is none: as here.
        let once = cache.downloads();
        assert!(once.iter().all(|count| *count == once[0]), "{once:?}");
        for jobs in ["1", "5"] {
            let words = [&plain[..], &["--jobs", jobs]].concat();
            assert!(succeed(&mut cache.command(&words)) == expected, "{words:?}");
            assert_eq!(cache.downloads(), once, "{words:?}");
        }
        // Without room, what is to be known before it is written is downloaded again.
        let twice = vec![once[0] + 1; PATHS];
        for size in ["0", "10kB"] {
            let words = [&plain[..], &["--spool-size", size]].concat();
            let output = cache.command(&words).output().unwrap();
            assert!(output.stdout == expected, "{words:?}");
            let said = stderr(&output);
            let is_warned = said.contains("--spool-size may give more");
            if form.contains(&"zstd") && size == "10kB" {
                // Compressed, a layer has less.
                assert_eq!(cache.downloads(), once, "{said}");
                continue;
            }
            assert_eq!(cache.downloads(), twice, "{words:?}");
            assert_eq!(is_warned, size != "0", "{said}");
        }
    }
    let spools = cache.directory.path().join("spools");
    assert_eq!(fs::read_dir(&spools).unwrap().count(), 0);
    fs::remove_dir(&spools).unwrap();
    let words = ["stream", "--no-cache", "--format", "oci-archive"];
    let error = fail(&mut cache.command(&words), 1);
    assert!(
        error.contains("TMPDIR") && error.contains("--spool-size 0"),
        "{error}"
    );
}

/// Loads from the cache, and after a change of the last path once more.
fn is_loaded_with_one_download(engine: &Engine) {
    let cache = Cache::new();
    cache.load(engine, &["--no-cache", "--spool-size", "0"]);
    let expected = cache.downloads();
    engine.remove(&cache.name);
    // Twice without room, of which the root's links took one.
    let once: Vec<u64> = expected.iter().map(|count| count - 1).collect();
    let first = cache.load(engine, &[]);
    assert_eq!(cache.downloads(), once, "{}", stderr(&first));
    // Only the digest of the changed path is unknown, and only its layer is sent.
    cache.write(PATHS - 1, "changed");
    let changed = cache.load(engine, &[]);
    let mut one = vec![once[0] - 1; PATHS];
    one[PATHS - 1] = once[0];
    assert_eq!(cache.downloads(), one, "{}", stderr(&changed));
    assert_ne!(first.stdout, changed.stdout);
    // What is known and not there is downloaded once. containerd's blobs stay for a while.
    engine.remove(&cache.name);
    let again = cache.load(engine, &[]);
    assert_eq!(again.stdout, changed.stdout);
    let downloads = cache.downloads();
    let is_once = downloads
        .iter()
        .zip(&once)
        .all(|(count, once)| count <= once);
    assert!(is_once, "{downloads:?} {}", stderr(&again));
    engine.remove(&cache.name);
}

#[needs(docker)]
#[test]
fn docker_gets_what_was_downloaded_once() {
    is_loaded_with_one_download(&Engine::docker());
}

#[needs(docker_on_containerd)]
#[test]
fn dockers_containerd_store_gets_what_was_downloaded_once() {
    is_loaded_with_one_download(&Engine::docker_on_containerd());
}

#[needs(podman_socket)]
#[test]
fn podman_gets_what_was_downloaded_once() {
    is_loaded_with_one_download(&Engine::podman());
}

#[needs(containerd)]
#[test]
fn containerd_gets_what_was_downloaded_once() {
    is_loaded_with_one_download(&Engine::containerd());
}

/// Docker takes a docker-archive, and the others OCI layouts: the same layers on disk serve all.
#[needs(docker, docker_on_containerd)]
#[test]
fn several_engines_get_what_was_downloaded_once() {
    let engines = [Engine::docker(), Engine::docker_on_containerd()];
    let cache = Cache::new();
    let mut load = cache.command(&["load", "--no-cache"]);
    for engine in &engines {
        load.args(["--to", engine.host()]);
    }
    let output = load.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    // Once for the layers and once for the root's links.
    assert_eq!(cache.downloads(), [2; PATHS], "{}", stderr(&output));
    for engine in &engines {
        engine.remove(&cache.name);
    }
}
