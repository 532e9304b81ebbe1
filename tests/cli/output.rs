//! What is written, where, and what is left when the writing fails.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use test_peers::needs;

use crate::support::program::{fail, sha256, stderr, succeed};
use crate::support::store_tree::{Node, StoreRoot, store_path};

const APP: &str = "g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0";

/// A store with one path of some size, its graph, and a place for the image.
struct Fixture {
    root: StoreRoot,
    image: PathBuf,
}

impl Fixture {
    fn new(size: usize) -> Self {
        let root = StoreRoot::new();
        let bin = Node::directory([("app", Node::program())]);
        let data = Node::Pattern {
            pattern: "some bytes ".to_owned(),
            size,
            exec: false,
        };
        let tree = Node::directory([("bin", bin), ("data", data)]);
        root.add(APP, &tree, Path::new(""));
        let hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let path = store_path(APP);
        root.describe(&[json!({"path": path, "narSize": size, "narHash": hash, "references": []})]);
        let image = root.path().join("out/image.tar");
        fs::create_dir(root.path().join("out")).unwrap();
        Self { root, image }
    }

    fn command(&self) -> Command {
        self.root.command(&[])
    }

    fn data(&self) -> PathBuf {
        self.root.store().join(APP).join("data")
    }

    /// What lies beside the image, and the image.
    fn left(&self) -> Vec<PathBuf> {
        fs::read_dir(self.root.path().join("out"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

#[needs("gzip", "zstd")]
#[test]
fn a_file_a_pipe_and_a_compressed_archive_hold_the_same() {
    let fixture = Fixture::new(3_000_001);
    let expected = succeed(fixture.command().arg("-q"));
    succeed(fixture.command().arg("-o").arg(&fixture.image));
    assert!(fs::read(&fixture.image).unwrap() == expected);
    for (how, program) in [("gzip", "gzip"), ("zstd", "zstd"), ("zstd:1", "zstd")] {
        succeed(
            fixture
                .command()
                .args(["--compression", how, "-o"])
                .arg(&fixture.image),
        );
        let bytes = succeed(Command::new(program).arg("-dc").arg(&fixture.image));
        assert!(bytes == expected, "{how}");
    }
    // One file under the name, and nothing beside it.
    assert_eq!(fixture.left(), [fixture.image]);
}

#[test]
fn a_device_is_written_as_it_is() {
    let fixture = Fixture::new(100_000);
    succeed(fixture.command().args(["-o", "/dev/null"]));
    let line = fail(fixture.command().args(["-o", "/dev/full"]), 1);
    assert!(line.contains("No space left"), "{line}");
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    let fixture = Fixture::new(10);
    let line = fail(fixture.command().args(["-o", "/nowhere/image.tar"]), 1);
    assert!(line.contains("/nowhere/image.tar"), "{line}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let fixture = Fixture::new(5_000_000);
    let mut child = fixture
        .command()
        .arg("-q")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
}

#[needs("script")]
#[test]
fn a_terminal_gets_no_archive() {
    let fixture = Fixture::new(10);
    let words: Vec<String> = fixture
        .command()
        .get_args()
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    let line = format!(
        "{} {}",
        env!("CARGO_BIN_EXE_stream-layered"),
        words.join(" ")
    );
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("not for a terminal"), "{text}");
}

#[test]
fn nothing_is_left_of_a_run_that_was_stopped() {
    let fixture = Fixture::new(1_000_000);
    // A file of holes takes long enough to be stopped in the middle of it.
    let broken = fixture.data();
    fs::remove_file(&broken).unwrap();
    File::create(&broken)
        .unwrap()
        .set_len(40_000_000_000)
        .unwrap();
    fs::write(&fixture.image, "the image before").unwrap();
    let mut child = fixture
        .command()
        .args(["--no-cache", "-o"])
        .arg(&fixture.image)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let files = PathBuf::from(format!("/proc/{}/fd", child.id()));
    let is_writing = || {
        let open = fs::read_dir(&files)
            .into_iter()
            .flatten()
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        open.into_iter()
            .any(|file| file.starts_with(fixture.image.parent().unwrap()))
    };
    while !is_writing() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let interrupt = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(interrupt, rustix::process::Signal::INT).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(
        fs::read_to_string(&fixture.image).unwrap(),
        "the image before"
    );
    assert_eq!(fixture.left(), std::slice::from_ref(&fixture.image));
}

#[test]
fn a_layer_that_is_not_what_the_cache_says_is_hashed_again() {
    let fixture = Fixture::new(200_000);
    let cache = fixture.root.path().join("cache");
    succeed(
        fixture
            .command()
            .arg("--cache")
            .arg(&cache)
            .arg("-o")
            .arg(&fixture.image),
    );
    let first = sha256(&fixture.image);
    // The same again, from the cache, and verified.
    succeed(
        fixture
            .command()
            .arg("--cache")
            .arg(&cache)
            .arg("--verify")
            .arg("-o")
            .arg(&fixture.image),
    );
    assert_eq!(sha256(&fixture.image), first);
    // Another content of the same length: only --verify sees that.
    let bytes = vec![b'x'; 200_000];
    fs::remove_file(fixture.data()).unwrap();
    fs::write(fixture.data(), bytes).unwrap();
    let mut verify = fixture.command();
    verify.arg("--cache").arg(&cache).arg("--verify");
    let output = verify.arg("-o").arg(&fixture.image).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("was wrong about layer 1, or the files have changed since"),
        "{said}"
    );
    let second = sha256(&fixture.image);
    assert_ne!(second, first);
    // What is kept now is what is there now.
    let mut again = fixture.command();
    again.arg("--cache").arg(&cache);
    succeed(again.arg("-o").arg(&fixture.image));
    assert_eq!(sha256(&fixture.image), second);
    // Another length: the cache's digest is not used.
    fs::write(fixture.data(), "short").unwrap();
    succeed(
        fixture
            .command()
            .arg("--cache")
            .arg(&cache)
            .arg("--verify")
            .arg("-o")
            .arg(&fixture.image),
    );
    let with_cache = sha256(&fixture.image);
    succeed(
        fixture
            .command()
            .arg("--no-cache")
            .arg("-o")
            .arg(&fixture.image),
    );
    assert_eq!(sha256(&fixture.image), with_cache);
}

#[test]
fn a_store_path_that_is_gone_is_named() {
    let fixture = Fixture::new(10);
    let away = fixture.root.path().join("away");
    fs::rename(fixture.root.store().join(APP), away).unwrap();
    let line = fail(
        fixture
            .command()
            .args(["--cmd", "x", "-o"])
            .arg(&fixture.image),
        1,
    );
    assert!(line.contains(APP), "{line}");
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}
