//! Buckets of a server that speaks as S3 does: s3s-fs, which checks signatures.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix_compat::narinfo::Compression;
use stores::binary_cache::Environment;
use test_peers::needs;

use crate::made::{Made, open_in, path, some_nar};
use crate::shown::{chain, shown};

const KEY: &str = "AKIAEXAMPLE";
const SECRET: &str = "a secret/with+signs=";

/// A server for one test, which has a directory's directories as buckets.
struct Server {
    process: Child,
    endpoint: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let program = std::env::var("STREAM_LAYERED_TEST_S3S_FS").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(arguments)
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let endpoint = format!("127.0.0.1:{port}");
        let server = Self { process, endpoint };
        for _ in 0..600 {
            if TcpStream::connect(&server.endpoint).is_ok() {
                return server;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("s3s-fs does not listen");
    }
}

/// A cache of two paths.
fn cache() -> Made {
    let made = Made::new();
    let (large, small) = (some_nar(300_000), some_nar(10));
    made.add(&path(1), &large, Compression::Xz, &[path(2)], |_| {});
    made.add(&path(2), &small, Compression::None, &[], |_| {});
    made
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[needs(s3s_fs)]
#[test]
fn a_public_bucket_needs_no_credentials() {
    let made = cache();
    let buckets = tempfile::tempdir().unwrap();
    fs::create_dir_all(buckets.path().join("public/some")).unwrap();
    let folder = buckets.path().join("public/some/folder");
    std::os::unix::fs::symlink(made.path(), folder).unwrap();
    let server = Server::start(buckets.path(), &[]);
    let url = format!(
        "s3://public/some/folder?endpoint={}&scheme=http",
        server.endpoint
    );
    let caches = open_in(&[&url], made.trust(), environment(&[])).unwrap();
    assert_eq!(caches.closure(&[path(1)]).unwrap().len(), 2);
    let expected = shown(&made.open(), &path(1)).unwrap();
    assert_eq!(shown(&caches, &path(1)).unwrap(), expected);
    let addresses: Vec<_> = caches.addresses().collect();
    assert_eq!(addresses, ["s3://public/some/folder"]);

    let url = format!("s3://public?endpoint=http://{}", server.endpoint);
    let error = open_in(&[&url], made.trust(), environment(&[])).unwrap_err();
    let error = chain(&error);
    assert!(
        error.contains("does not look like a binary cache"),
        "{error}"
    );
}

#[needs(s3s_fs)]
#[test]
fn a_private_bucket_wants_the_right_signature() {
    let made = cache();
    let buckets = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(made.path(), buckets.path().join("private")).unwrap();
    let arguments = ["--access-key", KEY, "--secret-key", SECRET];
    let server = Server::start(buckets.path(), &arguments);
    let url = format!(
        "s3://private?endpoint={}&scheme=http&region=eu-west-1",
        server.endpoint
    );
    let expected = shown(&made.open(), &path(1)).unwrap();
    let variables = [
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let caches = open_in(&[&url], made.trust(), environment(&variables)).unwrap();
    assert_eq!(caches.closure(&[path(1)]).unwrap().len(), 2);
    assert_eq!(shown(&caches, &path(1)).unwrap(), expected);

    let file = made.path().join("credentials");
    let text = format!("[ci]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n");
    fs::write(&file, text).unwrap();
    let files = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())];
    let with_profile = format!("{url}&profile=ci");
    let caches = open_in(&[&with_profile], made.trust(), environment(&files)).unwrap();
    assert_eq!(shown(&caches, &path(1)).unwrap(), expected);

    for (variables, expected) in [
        (
            vec![
                ("AWS_ACCESS_KEY_ID", KEY),
                ("AWS_SECRET_ACCESS_KEY", "wrong"),
            ],
            "SignatureDoesNotMatch",
        ),
        (vec![], "403 (AccessDenied)"),
    ] {
        let error = open_in(&[&url], made.trust(), environment(&variables)).unwrap_err();
        let error = chain(&error);
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains(KEY) && !error.contains("X-Amz"), "{error}");
    }
}
