//! Binary caches and stores as servers, proxies and environments have them, where Nix goes on.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use test_peers::needs;

use crate::support::peer;
use crate::support::program::{fail, stderr, stream_layered, succeed};

/// A store with one path, and caches with its closure.
struct Store {
    directory: TempDir,
    path: String,
    /// The image that the store itself gives.
    image: Vec<u8>,
}

impl Store {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), "text\n".repeat(100)).unwrap();
        let mut store = Self {
            directory,
            path: String::new(),
            image: Vec::new(),
        };
        let root = store.place("root");
        store.path = store.nix(&["store", "add", "--store", &root, tree.to_str().unwrap()]);
        let secret = store.nix(&["key", "generate-secret", "--key-name", "k-1"]);
        fs::write(store.place("secret"), secret).unwrap();
        store.image = succeed(&mut store.stream(&root));
        store
    }

    fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.directory.path().display())
    }

    fn nix(&self, arguments: &[&str]) -> String {
        let output = self.command("nix").args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn command(&self, name: &str) -> Command {
        let nix = peer::program("STREAM_LAYERED_TEST_NIX_NEW");
        let mut command = Command::new(nix.with_file_name(name));
        command
            .args(["--extra-experimental-features", "nix-command"])
            .env("HOME", self.directory.path())
            .env("NIX_CONF_DIR", self.directory.path())
            .env_remove("NIX_REMOTE");
        command
    }

    /// A cache of the store, signed, whose narinfo does not say that the path's content proves it.
    fn cache(&self, name: &str) -> String {
        let place = self.place(name);
        let to = format!(
            "file://{place}?compression=none&secret-key={}",
            self.place("secret")
        );
        self.nix(&[
            "copy",
            "--store",
            &self.place("root"),
            "--to",
            &to,
            &self.path,
        ]);
        self.edit(name, |text| without(text, "CA: "));
        format!("file://{place}")
    }

    fn narinfo(&self, cache: &str) -> PathBuf {
        let hash = &self.path["/nix/store/".len()..][..32];
        Path::new(&self.place(cache)).join(format!("{hash}.narinfo"))
    }

    fn edit(&self, cache: &str, edit: impl FnOnce(&str) -> String) {
        let narinfo = self.narinfo(cache);
        let text = fs::read_to_string(&narinfo).unwrap();
        fs::write(narinfo, edit(&text)).unwrap();
    }

    /// The program, with an environment of its own.
    fn stream(&self, store: &str) -> Command {
        let mut command = stream_layered();
        command
            .args(["--no-cache", "--cmd", "x", "--store", store])
            .arg(&self.path)
            .env("HOME", self.directory.path())
            .env("NIX_CONF_DIR", self.directory.path());
        for variable in [
            "NIX_REMOTE",
            "NIX_STORE_DIR",
            "NIX_STORE",
            "NIX_STATE_DIR",
            "NIX_CONFIG",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// The program, which trusts the key that signed the caches.
    fn trusting(&self, store: &str) -> Command {
        let secret = fs::File::open(self.place("secret")).unwrap();
        let mut public = self.command("nix");
        public
            .args(["key", "convert-secret-to-public"])
            .stdin(secret);
        let public = String::from_utf8(public.output().unwrap().stdout).unwrap();
        let mut command = self.stream(store);
        command.args(["--trusted-key", public.trim()]);
        command
    }

    /// Makes the image, and gives the warnings.
    fn makes_the_image(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        assert!(output.stdout == self.image, "another image: {said}");
        let warnings = said.split_inclusive('\n');
        warnings
            .filter(|line| line.starts_with("warning: "))
            .collect()
    }
}

fn without(text: &str, start: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !line.starts_with(start)).collect()
}

/// nix-serve, and what descends from it, writes `References:` only for a path that has some:
/// <https://github.com/kalbasit/ncps/issues/806>.
#[needs(newer_nix)]
#[test]
fn nix_serve_omits_references() {
    let store = Store::new();
    let cache = store.cache("cache");
    store.edit("cache", |text| without(text, "References:"));
    assert_eq!(store.makes_the_image(&mut store.trusting(&cache)), "");
}

/// <https://github.com/NixOS/nix/issues/4383>, <https://github.com/NixOS/nix/issues/811>.
#[needs(newer_nix)]
#[test]
fn nix_goes_on_without_a_dead_cache() {
    let store = Store::new();
    let cache = store.cache("cache");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let both = format!("{dead}?priority=1,{cache}?priority=2");
    let said = store.makes_the_image(&mut store.trusting(&both));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("warning: ") && said.contains(&dead),
        "{said}"
    );
    let error = fail(&mut store.trusting(&dead), 1);
    assert!(
        error.contains(&dead) && error.contains("refused"),
        "{error}"
    );
}

/// The caches have different stores: the one that is left out is told, not the good one. A priority that
/// is none is told as such.
#[needs(newer_nix)]
#[test]
fn a_cache_that_does_not_fit_is_left_out() {
    let store = Store::new();
    let cache = store.cache("cache");
    let other = store.place("other");
    fs::create_dir(&other).unwrap();
    for (info, why) in [
        ("StoreDir: /other/store\n", "the store /other/store"),
        (
            "StoreDir: /nix/store\nPriority: abc\n",
            "`Priority: abc` is not a whole number",
        ),
    ] {
        fs::write(format!("{other}/nix-cache-info"), info).unwrap();
        let said = store.makes_the_image(&mut store.trusting(&format!("file://{other},{cache}")));
        assert!(
            said.contains(&format!("{other} is left out")) && said.contains(why),
            "{said}"
        );
    }
}

/// <https://github.com/kalbasit/ncps/issues/1392>, <https://github.com/NixOS/nix/issues/11411>: the NAR is
/// there, and is not the right one.
#[needs(newer_nix)]
#[test]
fn ncps_serves_a_corrupt_nar() {
    let store = Store::new();
    let (bad, good) = (store.cache("bad"), store.cache("good"));
    let nar = fs::read_dir(store.place("bad/nar"))
        .unwrap()
        .next()
        .unwrap();
    let nar = nar.unwrap().path();
    let right = fs::read(&nar).unwrap();
    let mut changed = right.clone();
    changed[250] ^= 1;
    for wrong in [&changed[..], &right[..right.len() / 2], b""] {
        fs::write(&nar, wrong).unwrap();
        let both = format!("{bad}?priority=1,{good}?priority=2");
        let said = store.makes_the_image(&mut store.trusting(&both));
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains(nar.to_str().unwrap()) && said.contains(&good),
            "{said}"
        );
        let error = fail(&mut store.trusting(&bad), 1);
        assert!(error.contains(nar.to_str().unwrap()), "{error}");
    }
}

/// <https://github.com/edolstra/nix-serve/issues/53>: `nix copy` takes it.
#[needs(newer_nix)]
#[test]
fn nix_serve_has_an_unsigned_content_addressed_path() {
    let store = Store::new();
    let cache = store.cache("cache");
    let to = format!("file://{}?compression=none", store.place("plain"));
    store.nix(&[
        "copy",
        "--store",
        &store.place("root"),
        "--to",
        &to,
        &store.path,
    ]);
    let plain = format!("file://{}", store.place("plain"));
    assert_eq!(store.makes_the_image(&mut store.stream(&plain)), "");
    // The address must fit the name and the content.
    store.edit("plain", |text| {
        text.replace("CA: fixed:r:sha256:", "CA: fixed:sha256:")
    });
    let error = fail(&mut store.stream(&plain), 1);
    assert!(error.contains("does not follow from its `CA`"), "{error}");
    // Without one, nobody proves the path.
    let error = fail(&mut store.stream(&cache), 1);
    assert!(error.contains("--trusted-key"), "{error}");
}

/// The two ways in which Nix is told that signatures do not matter.
#[needs(newer_nix)]
#[test]
fn nix_is_told_to_trust_a_cache() {
    let store = Store::new();
    let cache = store.cache("cache");
    let said = store.makes_the_image(&mut store.stream(&format!("{cache}?trusted=1")));
    assert!(said.contains("`trusted` in the address"), "{said}");
    let mut command = store.stream(&cache);
    let said = store.makes_the_image(command.env("NIX_CONFIG", "require-sigs = false"));
    assert!(said.contains("`require-sigs = false`"), "{said}");
    let said = store.makes_the_image(&mut store.trusting(&format!("{cache}?trustd=1")));
    assert!(said.contains("unknown parameter `trustd`"), "{said}");
    assert!(!said.contains("signatures"), "{said}");
}

/// A store is named as Nix names it, or refused in one sentence.
#[needs(newer_nix)]
#[test]
fn nix_remote_names_a_store() {
    let store = Store::new();
    let root = store.place("root");
    for text in [
        format!("local?root={root}"),
        format!("local://{root}"),
        format!("unix:///socket?root={root}&max-connections=2"),
    ] {
        assert_eq!(store.makes_the_image(&mut store.stream(&text)), "");
        let mut remote = store.stream("auto");
        assert_eq!(store.makes_the_image(remote.env("NIX_REMOTE", &text)), "");
    }
    let mut remote = store.stream("auto");
    assert_eq!(store.makes_the_image(remote.env("NIX_REMOTE", &root)), "");
    for (text, why) in [
        (
            "ssh-ng://host",
            "a store of the kind ssh-ng:// cannot be read",
        ),
        ("local?rot=/x", "unknown parameter `rot`"),
    ] {
        let error = fail(&mut store.stream(text), 2);
        assert!(error.contains(&format!("--store {text}: {why}")), "{error}");
        let error = fail(store.stream("auto").env("NIX_REMOTE", text), 2);
        assert!(
            error.contains(&format!("NIX_REMOTE={text}: {why}")),
            "{error}"
        );
    }
}

/// A store that is not in `/nix`.
#[needs(newer_nix)]
#[test]
fn nix_store_dir_moves_the_store() {
    let store = Store::new();
    let (at, state) = (store.place("moved/store"), store.place("moved/var"));
    fs::create_dir_all(&at).unwrap();
    let moved = |command: &mut Command| -> Vec<u8> {
        succeed(
            command
                .env("NIX_STORE_DIR", &at)
                .env("NIX_STATE_DIR", &state),
        )
    };
    let tree = store.place("tree");
    let path = moved(
        store
            .command("nix")
            .args(["store", "add", "--store", "local", &tree]),
    );
    let path = String::from_utf8(path).unwrap();
    assert!(path.starts_with(&at), "{path}");
    let mut command = stream_layered();
    command.args(["-q", "--no-cache", "--cmd", "x", path.trim()]);
    let image = moved(command.env_remove("NIX_REMOTE"));
    let inside = format!("{}/file", path.trim().trim_start_matches('/'));
    let found = image
        .windows(inside.len())
        .any(|window| window == inside.as_bytes());
    assert!(found, "{inside}");
}

/// What a cache says never steers the terminal, and an error is no page.
#[needs(newer_nix)]
#[test]
fn a_cache_sends_control_characters() {
    let store = Store::new();
    let cache = store.cache("cache");
    let narinfo = store.narinfo("cache");
    let right = fs::read_to_string(&narinfo).unwrap();
    for field in [
        "StorePath",
        "URL",
        "Compression",
        "NarHash",
        "NarSize",
        "References",
        "Sig",
    ] {
        for bad in [
            "\x1b]0;title\x07\x1b[31m",
            "\0\u{9b}31m\u{202e}",
            &"x".repeat(100_000),
        ] {
            for value in [bad.to_owned(), format!("{bad}:AAAA"), format!("../{bad}")] {
                let text = without(&right, &format!("{field}: "));
                fs::write(&narinfo, format!("{text}{field}: {value}\n")).unwrap();
                // A path without references, whose field is another, may be taken.
                let output = store.trusting(&cache).output().unwrap();
                let said = stderr(&output);
                assert!(!output.status.success(), "{field}: {value:.20}");
                let plain = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
                assert!(said.chars().all(plain), "{field}: {said:?}");
                assert!(said.len() < 2000, "{field}: {} bytes", said.len());
            }
        }
    }
}
