//! Images from binary caches: the same bytes as from a store, or one error and no image.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stores::LocalStore;
use tempfile::TempDir;
use test_peers::needs;

use crate::golden;
use crate::support::binary_cache::{self, Server};
use crate::support::debian::hello;
use crate::support::peer;
use crate::support::program::{fail, stderr, stream_layered, succeed};

/// Nix with a key to sign with, and a place for caches.
struct Nix {
    program: PathBuf,
    directory: TempDir,
}

impl Nix {
    fn find() -> Self {
        let nix = Self {
            program: peer::program("STREAM_LAYERED_TEST_NIX"),
            directory: TempDir::new().unwrap(),
        };
        let secret = nix.run(&["key", "generate-secret", "--key-name", "test-1"]);
        fs::write(nix.path("secret"), secret).unwrap();
        let public = Command::new(&nix.program)
            .args(["--extra-experimental-features", "nix-command"])
            .args(["key", "convert-secret-to-public"])
            .stdin(fs::File::open(nix.path("secret")).unwrap())
            .output()
            .unwrap();
        fs::write(nix.path("public"), public.stdout).unwrap();
        nix
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.program)
            .args(["--extra-experimental-features", "nix-command"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Copies a closure into a new cache, and gives its address.
    fn copy(&self, name: &str, settings: &str, path: &Path) -> String {
        let url = format!("file://{}", self.path(name).display());
        let to = format!("{url}?{settings}");
        self.run(&["copy", "--to", &to, path.to_str().unwrap()]);
        url
    }

    /// Signs what a cache has.
    fn sign(&self, url: &str, path: &Path) {
        let (secret, path) = (self.path("secret"), path.to_str().unwrap());
        let secret = secret.to_str().unwrap();
        self.run(&["store", "sign", "--store", url, "-k", secret, "-r", path]);
    }

    /// The program, for a path in a cache that this key signed; what it spools goes into a
    /// directory of its own.
    fn stream(&self, url: &str, path: &Path) -> Command {
        let spools = self.path("spools");
        fs::create_dir_all(&spools).unwrap();
        let mut command = stream_layered();
        command
            .args(["-q", "--store", url, "--trusted-key"])
            .arg(format!("@{}", self.path("public").display()))
            .arg(path)
            .env("TMPDIR", spools);
        command
    }

    /// The file of the cache that holds a path's NAR.
    fn nar(&self, cache: &str, path: &Path) -> PathBuf {
        let base_name = path.file_name().unwrap().to_str().unwrap();
        let narinfo = self
            .path(cache)
            .join(format!("{}.narinfo", &base_name[..32]));
        let text = fs::read_to_string(narinfo).unwrap();
        let url = text.lines().find_map(|line| line.strip_prefix("URL: "));
        self.path(cache).join(url.unwrap())
    }
}

#[needs(nix)]
#[test]
fn images_are_those_of_the_store() {
    let nix = Nix::find();
    let hello = hello();
    let expected = succeed(stream_layered().args(["-q", "--no-cache"]).arg(hello));
    for compression in ["zstd", "xz", "none"] {
        let settings = format!("compression={compression}&write-nar-listing=true");
        let url = nix.copy(compression, &settings, hello);
        nix.sign(&url, hello);
        let memory = nix.path(&format!("memory-{compression}"));
        for url in [url, Server::start(nix.path(compression)).url] {
            let once = succeed(nix.stream(&url, hello).arg("--no-cache"));
            assert!(once == expected, "{url} {compression}");
            // Digests are taken, and then remembered: nothing is spooled, and needs no room.
            for spools in [nix.path("spools"), nix.path("nowhere")] {
                let mut command = nix.stream(&url, hello);
                command.env("TMPDIR", spools).arg("--cache").arg(&memory);
                assert!(succeed(&mut command) == expected, "{url} {compression}");
            }
            fs::remove_dir_all(&memory).unwrap();
        }
    }
    assert_eq!(fs::read_dir(nix.path("spools")).unwrap().count(), 0);

    let base_name = Path::new(hello.file_name().unwrap());
    let url = format!(
        "file://{},{}",
        nix.path("xz").display(),
        Server::start(nix.path("none")).url
    );
    let mut command = nix.stream(&url, base_name);
    assert!(succeed(command.args(["--no-cache", "--verify", "--jobs", "5"])) == expected);
}

#[needs(nix)]
#[test]
fn what_no_trusted_key_signed_is_refused() {
    let nix = Nix::find();
    let hello = hello();
    let url = nix.copy("cache", "compression=zstd", hello);
    let error = fail(nix.stream(&url, hello).arg("--no-cache"), 1);
    assert!(
        error.contains("--trusted-key") && error.contains("--no-require-sigs"),
        "{error}"
    );

    let mut unsigned = stream_layered();
    unsigned.args(["--no-cache", "--store", &url, "--no-require-sigs"]);
    let output = unsigned.arg(hello).output().unwrap();
    assert!(output.status.success());
    let said = stderr(&output);
    assert!(
        said.contains("warning: signatures are not required"),
        "{said}"
    );

    nix.sign(&url, hello);
    // A key of the same name that did not sign it.
    let other = "test-1:CER3zxXbnBPunWGhSYfGoVsJhp6tD9leOIwS5xERj8M=";
    let mut command = stream_layered();
    command.args(["-q", "--store", &url, "--trusted-key", other]);
    let error = fail(command.arg(hello), 1);
    assert!(error.contains("its signatures are by test-1"), "{error}");

    let mut command = stream_layered();
    command.args(["-q", "--store", &url, "--trusted-key", "test-1"]);
    let error = fail(command.arg(hello), 1);
    assert!(error.contains("--trusted-key test-1"), "{error}");

    // A reference in the narinfo is no longer what was signed.
    let base_name = hello.file_name().unwrap().to_str().unwrap();
    let narinfo = nix
        .path("cache")
        .join(format!("{}.narinfo", &base_name[..32]));
    let text = fs::read_to_string(&narinfo).unwrap();
    fs::write(&narinfo, text.replace("NarSize: ", "NarSize: 1")).unwrap();
    let error = fail(&mut nix.stream(&url, hello), 1);
    assert!(error.contains("is not signed by a trusted key"), "{error}");
}

#[needs(nix)]
#[test]
fn a_damaged_nar_ends_without_an_image() {
    let nix = Nix::find();
    let hello = hello();
    let memory = nix.path("memory");
    let output = nix.path("image.tar");
    for compression in ["zstd", "none"] {
        let url = nix.copy(compression, &format!("compression={compression}"), hello);
        nix.sign(&url, hello);
        let mut whole = nix.stream(&url, hello);
        succeed(whole.arg("--cache").arg(&memory));
        let nar = nix.nar(compression, hello);
        let right = fs::read(&nar).unwrap();
        let mut changed = right.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let longer = [right.as_slice(), b"more"].concat();
        for (what, wrong) in [
            ("changed", &changed[..]),
            ("cut", &right[..middle]),
            ("longer", &longer),
        ] {
            fs::write(&nar, wrong).unwrap();
            // The digest is taken, and is remembered.
            for cache in [
                vec![OsStr::new("--no-cache")],
                vec!["--cache".as_ref(), memory.as_ref()],
            ] {
                let mut command = nix.stream(&url, hello);
                let error = fail(command.args(cache).arg("-o").arg(&output), 1);
                let name = nar.file_name().unwrap().to_str().unwrap();
                assert!(error.contains(name), "{compression} {what}: {error}");
                assert!(!output.exists(), "{compression} {what}");
            }
        }
        fs::remove_file(&nar).unwrap();
        let error = fail(nix.stream(&url, hello).arg("--no-cache"), 1);
        assert!(error.contains("does not exist"), "{error}");
    }
    assert_eq!(fs::read_dir(nix.path("spools")).unwrap().count(), 0);
}

#[needs(nix)]
#[test]
fn a_listing_is_held_to_its_nar() {
    let nix = Nix::find();
    let hello = hello();
    let url = nix.copy("cache", "compression=none&write-nar-listing=true", hello);
    nix.sign(&url, hello);
    let base_name = hello.file_name().unwrap().to_str().unwrap();
    let listing = nix.path("cache").join(format!("{}.ls", &base_name[..32]));
    let text = fs::read_to_string(&listing).unwrap();
    let wrong = text.replace("\"hello\"", "\"other\"");
    assert_ne!(text, wrong);
    fs::write(&listing, wrong).unwrap();
    let output = nix.path("image.tar");
    let mut command = nix.stream(&url, hello);
    let error = fail(command.arg("--no-cache").arg("-o").arg(&output), 1);
    assert!(
        error.contains(".ls is not that of the path's NAR"),
        "{error}"
    );
    assert!(!output.exists());
    // What is no listing is passed over.
    fs::write(&listing, "{").unwrap();
    succeed(nix.stream(&url, hello).arg("--no-cache"));
}

#[test]
fn what_cannot_be_a_store_is_said() {
    let directory = TempDir::new().unwrap();
    let url = format!("file://{}", directory.path().display());
    let path = "/nix/store/h780awpm6b8qcxx28gfnjq6z4i9dq73z-hello-1.0";
    for (stores, code, expected) in [
        (&[url.as_str()][..], 1, "nix-cache-info"),
        (
            &["ssh://host"],
            2,
            "--store ssh://host: a store of the kind ssh://",
        ),
        (&["local", &url], 2, "--store local"),
        (&["/", "/"], 2, "more than once"),
    ] {
        let mut command = stream_layered();
        for store in stores {
            command.args(["--store", store]);
        }
        let error = fail(command.arg(path), code);
        assert!(error.contains(expected), "{error}");
    }
    fs::write(
        directory.path().join("nix-cache-info"),
        "StoreDir: /nix/store\n",
    )
    .unwrap();
    let error = fail(stream_layered().args(["--store", &url, path]), 1);
    assert!(
        error.contains(&format!("{path} is not in {url}")),
        "{error}"
    );
}

#[test]
fn the_hard_trees_make_the_same_layers() {
    for name in golden::names() {
        let laid_out = golden::lay_out(&name);
        let cache = TempDir::new().unwrap();
        binary_cache::create(cache.path());
        let store = LocalStore::below(laid_out.root.path());
        for path in &laid_out.case.store {
            binary_cache::add(cache.path(), &store, &path.name);
        }
        // The image's root and base are files beside the configuration, which lie in no cache.
        let mut conf = laid_out.case.conf.clone();
        for key in ["customisation_layer", "from_image"] {
            if let Some(path) = conf[key].as_str().map(Path::new) {
                conf[key] = store.locate(path).to_str().into();
            }
        }
        let conf_file = cache.path().join("conf.json");
        fs::write(&conf_file, conf.to_string()).unwrap();
        let archive = cache.path().join("image.tar");
        let mut command = stream_layered();
        command
            .args(["-q", "--no-cache", "--no-require-sigs", "--store"])
            .arg(format!("file://{}", cache.path().display()))
            .arg("--conf")
            .arg(&conf_file)
            .arg("-o")
            .arg(&archive);
        succeed(&mut command);
        let expected: Vec<&str> = laid_out.diff_ids();
        assert_eq!(golden::config_of(&archive).1, expected, "{name}");
    }
}
