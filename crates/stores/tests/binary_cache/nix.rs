//! Caches that Nix makes, from a store that Nix makes, against that store itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use nix_compat::signature::PublicKey;
use nix_compat::{StoreDir, StorePath};
use stores::LocalStore;
use stores::binary_cache::Trust;
use tempfile::TempDir;
use test_peers::needs;

use crate::made::open;
use crate::server::{Answer, Server};
use crate::shown::{outline, shown};

/// A store below a directory of its own, and a key.
struct Store {
    directory: TempDir,
    nix: String,
}

impl Store {
    fn new() -> Self {
        let store = Self {
            nix: std::env::var("STREAM_LAYERED_TEST_NIX").unwrap(),
            directory: tempfile::tempdir().unwrap(),
        };
        let secret = store.nix(&["key", "generate-secret", "--key-name", "test-1"], None);
        fs::write(store.path("secret"), secret).unwrap();
        store
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory.path().display())
    }

    fn root(&self) -> String {
        self.path("root")
    }

    fn nix(&self, arguments: &[&str], input: Option<&str>) -> String {
        let mut command = Command::new(&self.nix);
        command
            .args(["--extra-experimental-features", "nix-command flakes"])
            .args(arguments)
            .env("HOME", self.directory.path())
            .env_remove("NIX_REMOTE");
        if let Some(input) = input {
            command.stdin(fs::File::open(input).unwrap());
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Three texts, each referring to those before it.
    fn texts(&self) -> StorePath {
        let expression = r#"
            let
              a = builtins.toFile "a" "text";
              b = builtins.toFile "b" "refers to ${a}";
            in builtins.toFile "c" "refers to ${b} and ${a}"
        "#;
        let path = self.nix(
            &[
                "eval",
                "--store",
                &self.root(),
                "--raw",
                "--expr",
                expression,
            ],
            None,
        );
        StoreDir::default().parse(&path).unwrap()
    }

    /// A tree with all that a store path can have.
    fn tree(&self, name: &str, names_are_text: bool) -> StorePath {
        let tree = Path::new(&self.path(name)).to_owned();
        fs::create_dir_all(tree.join("bin/empty")).unwrap();
        fs::create_dir_all(tree.join("d/".repeat(70))).unwrap();
        fs::write(tree.join("bin/run"), "#!/bin/sh\n").unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(tree.join("bin/run"), executable).unwrap();
        fs::write(tree.join("nothing"), "").unwrap();
        fs::write(tree.join("large"), "many words. ".repeat(100_000)).unwrap();
        symlink("bin/run", tree.join("link")).unwrap();
        symlink("/nowhere", tree.join("dangling")).unwrap();
        for name in ["é", "\u{e000}", "𐀀", "a b", "a.b", "a", "-"] {
            fs::write(tree.join(name), name).unwrap();
        }
        if !names_are_text {
            fs::write(tree.join(OsStr::from_bytes(b"\x80")), "first").unwrap();
            fs::create_dir(tree.join(OsStr::from_bytes(b"\xff"))).unwrap();
            symlink("x", tree.join(OsStr::from_bytes(b"\xff/\xfe"))).unwrap();
        }
        let tree = tree.to_str().unwrap().to_owned();
        let path = self.nix(&["store", "add-path", "--store", &self.root(), &tree], None);
        StoreDir::default().parse(&path).unwrap()
    }

    /// Copies closures into a new cache, and gives its directory.
    fn copy(&self, name: &str, settings: &str, paths: &[StorePath]) -> String {
        let directory = self.path(name);
        let url = format!("file://{directory}?{settings}");
        let root = self.root();
        let mut arguments = vec!["copy", "--no-check-sigs", "--from", &root, "--to", &url];
        arguments.extend(paths.iter().map(StorePath::as_str));
        self.nix(&arguments, None);
        directory
    }

    fn trust(&self) -> Trust {
        let secret = self.path("secret");
        let public = self.nix(&["key", "convert-secret-to-public"], Some(&secret));
        Trust {
            keys: vec![PublicKey::parse(&public).unwrap()],
            require_signatures: true,
        }
    }
}

#[needs(nix)]
#[test]
fn closures_and_trees_equal_those_of_the_store() {
    let store = Store::new();
    let roots = [
        store.texts(),
        store.tree("tree", true),
        store.tree("bytes", false),
    ];
    let local = LocalStore::below(Path::new(&store.root()));
    let expected = local.closure(&roots).unwrap();
    assert_eq!(expected.len(), 5);
    let expected_trees: Vec<_> = expected
        .iter()
        .map(|info| shown(local.files(), &info.path).unwrap())
        .collect();
    let secret = store.path("secret");
    for compression in ["none", "xz", "zstd", "gzip", "bzip2", "br"] {
        let settings = format!("compression={compression}&secret-key={secret}");
        let directory = store.copy(compression, &settings, &roots);
        let server = Server::start(Path::new(&directory), |_| Answer::Right);
        for url in [format!("file://{directory}"), server.url()] {
            let caches = open(&[&url], store.trust()).unwrap();
            assert_eq!(caches.closure(&roots).unwrap(), expected, "{compression}");
            for (info, tree) in expected.iter().zip(&expected_trees) {
                assert_eq!(&shown(&caches, &info.path).unwrap(), tree, "{compression}");
            }
        }
    }
}

#[needs(nix)]
#[test]
fn listings_of_nix_save_the_nars() {
    let store = Store::new();
    // A listing is JSON, so names have to be text; and one of seventy levels is too deep for it.
    let path = store.texts();
    let tree = store.tree("tree", true);
    let local = LocalStore::below(Path::new(&store.root()));
    let secret = store.path("secret");
    let settings = format!("compression=none&write-nar-listing=true&secret-key={secret}");
    let directory = store.copy("cache", &settings, &[path.clone(), tree.clone()]);
    let server = Server::start(Path::new(&directory), |_| Answer::Right);
    let caches = open(&[&server.url()], store.trust()).unwrap();
    for (path, nars) in [(path, 0), (tree, 1)] {
        let expected = outline(local.files(), &path).unwrap();
        assert_eq!(outline(&caches.outlines(), &path).unwrap(), expected);
        let asked = server.asked();
        assert_eq!(
            asked.iter().filter(|a| a.name.starts_with("nar/")).count(),
            nars
        );
    }
}

#[needs(nix)]
#[test]
fn paths_are_signed_in_the_store_or_later() {
    let store = Store::new();
    let root = store.texts();
    let unsigned = store.copy("unsigned", "compression=none", std::slice::from_ref(&root));
    let url = format!("file://{unsigned}");
    // Their names follow from their content, which needs no signature.
    let caches = open(&[&url], Trust::default()).unwrap();
    assert_eq!(
        caches.closure(std::slice::from_ref(&root)).unwrap().len(),
        3
    );
    forget_addresses(&unsigned);
    let caches = open(&[&url], store.trust()).unwrap();
    let error = caches
        .closure(std::slice::from_ref(&root))
        .unwrap_err()
        .to_string();
    assert!(error.contains("it has no signature"), "{error}");

    let (of_store, secret) = (store.root(), store.path("secret"));
    let sign = [
        "store",
        "sign",
        "--store",
        &of_store,
        "-k",
        &secret,
        "-r",
        root.as_str(),
    ];
    store.nix(&sign, None);
    let signed = store.copy("signed", "compression=xz", std::slice::from_ref(&root));
    forget_addresses(&signed);
    let url = format!("file://{signed}");
    let caches = open(&[&url], store.trust()).unwrap();
    assert_eq!(
        caches.closure(std::slice::from_ref(&root)).unwrap().len(),
        3
    );
    let caches = open(&[&url], Trust::default()).unwrap();
    let error = caches
        .closure(std::slice::from_ref(&root))
        .unwrap_err()
        .to_string();
    assert!(error.contains("its signatures are by test-1"), "{error}");
}

/// Makes paths of a cache like any others: leaves out that their names follow from their content.
fn forget_addresses(cache: &str) {
    for file in fs::read_dir(cache).unwrap() {
        let file = file.unwrap().path();
        if file.extension() == Some(OsStr::new("narinfo")) {
            let text = fs::read_to_string(&file).unwrap();
            let lines = text.split_inclusive('\n');
            let text: String = lines.filter(|line| !line.starts_with("CA: ")).collect();
            fs::write(file, text).unwrap();
        }
    }
}
