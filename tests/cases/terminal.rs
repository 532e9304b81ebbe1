//! What reaches the terminal and logs: no control character from anybody, no secret, no endless line.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::App;
use crate::support::program::stream_layered;
use crate::support::store_tree::{StoreRoot, store_path};

const HELLO: &str = "g86nplrhlhz6lr3f7aj1fb17m460rakb-hello-2.10";
const HASH: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const PASSWORD: &str = "s3cr3tpw";
/// `me:s3cr3tpw` in base 64.
const BASIC: &str = "bWU6czNjcjN0cHc=";

/// What a command prints, to both.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8([output.stderr, output.stdout].concat()).unwrap()
}

/// What a command prints is fit for a terminal; gives it.
fn is_fit(command: &mut Command) -> String {
    let text = said(command);
    let bad = text.chars().find(|&c| c.is_control() && c != '\n');
    assert_eq!(bad, None, "{command:?}: {text:?}");
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(longest.unwrap_or(0) < 2500, "{command:?}: {longest:?}");
    text
}

fn entry(base_name: &str) -> Value {
    json!({"path": store_path(base_name), "narSize": 1, "narHash": HASH, "references": []})
}

/// A store whose one package has files of these names in `bin`.
fn store(names: &[&[u8]]) -> StoreRoot {
    let root = StoreRoot::new();
    let bin = root.store().join(HELLO).join("bin");
    fs::create_dir_all(&bin).unwrap();
    for name in names {
        let file = bin.join(OsStr::from_bytes(name));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    root.describe(&[entry(HELLO)]);
    root
}

#[test]
fn names_of_files() {
    let names: [&[u8]; 3] = [b"\x1b[31mred", b"\x1b]0;title\x07", "\u{9b}31m".as_bytes()];
    let root = store(&names);
    let text = is_fit(&mut root.command(&["plan", "--format", "html"]));
    assert!(text.contains("hello"), "{text}");
    let text = is_fit(&mut root.command(&["stream", "--no-cache"]));
    assert!(text.contains("[31mred"), "{text}");
    // Two packages with the same names: the warnings show them.
    let second = "a9xlmsmmpw9hg4lamgjcdhnfmixsai23-tools-1.0";
    let bin = root.store().join(second).join("bin");
    fs::create_dir_all(&bin).unwrap();
    for name in names {
        fs::write(bin.join(OsStr::from_bytes(name)), "").unwrap();
    }
    root.describe(&[entry(HELLO), entry(second)]);
    let mut run = root.command(&["stream", "--no-cache", "--cmd", "x"]);
    run.arg("-o").arg(root.path().join("image.tar"));
    let text = is_fit(run.arg(store_path(HELLO)).arg(store_path(second)));
    assert!(
        text.contains("left out") && text.contains("[31mred"),
        "{text}"
    );
}

#[test]
fn arguments() {
    let root = store(&[b"hello"]);
    for words in [
        &["stream", "/nix/store/\u{1b}[31m"][..],
        &["stream", "\u{1b}]0;x\u{7}"],
        &["stream", "--from-image", "docker://\u{1b}[31m"],
        &["stream", "-t", "\u{1b}[31m:1"],
        &["stream", "--arch", "\u{1b}[31m"],
        &["stream", "--strategy", "\u{1b}[31m"],
        &["stream", "--owner", "\u{1b}[31m"],
        &["stream", "--created", "\u{1b}[31m"],
        &["stream", "--layer", "\u{1b}[31m["],
        &["stream", "--user", "\u{1b}[31m a"],
        &["stream", "--config", "\u{1b}[31m"],
        &["push", "\u{1b}[31m"],
        &["\u{1b}[31m"],
    ] {
        let text = is_fit(&mut root.command(words));
        assert!(text.starts_with("error: "), "{words:?}: {text}");
    }
}

/// Why a layer is one comes from whoever made the previous image.
#[test]
fn plans_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plan.json");
    let reason = "\u{1b}[31m\u{9b}31m\u{202e}\n".repeat(1000);
    let plan = json!({"layers": [{"paths": [store_path(HELLO)], "size": 1, "reason": reason}]});
    fs::write(&file, plan.to_string()).unwrap();
    let root = store(&[b"hello"]);
    for format in ["text", "json"] {
        let mut run = stream_layered();
        run.args(["diff", "--format", format]).arg(&file).arg(&file);
        is_fit(&mut run);
    }
    for format in ["table", "json", "layers", "dot", "html"] {
        is_fit(
            root.command(&["plan", "--format", format, "--previous"])
                .arg(&file),
        );
    }
    let mut run = root.command(&["why", "hello", "--previous"]);
    is_fit(run.arg(&file));
}

/// A cache's narinfo may say anything.
#[test]
fn binary_caches() {
    let cache = tempfile::tempdir().unwrap();
    fs::write(
        cache.path().join("nix-cache-info"),
        "StoreDir: /nix/store\n",
    )
    .unwrap();
    let good = [
        ("StorePath", store_path(HELLO)),
        ("URL", "nar/x.nar".to_owned()),
        ("Compression", "none".to_owned()),
        ("NarHash", HASH.to_owned()),
        ("NarSize", "1".to_owned()),
        ("References", String::new()),
    ];
    let long = format!("nar/{}", "x".repeat(100_000));
    for bad in [
        "\u{1b}[31m",
        "\u{1b}]0;x\u{7}",
        "\0",
        "\u{9b}31m",
        long.as_str(),
    ] {
        for (changed, _) in &good {
            let lines = good.iter().map(|(key, value)| {
                format!("{key}: {}\n", if key == changed { bad } else { value })
            });
            let info: String = lines.collect();
            fs::write(cache.path().join(format!("{}.narinfo", &HELLO[..32])), info).unwrap();
            let mut run = stream_layered();
            run.args([
                "stream",
                "--no-cache",
                "--no-require-sigs",
                "--cmd",
                "x",
                "-o",
                "/dev/null",
            ]);
            run.arg("--store")
                .arg(format!("file://{}", cache.path().display()));
            is_fit(run.arg(store_path(HELLO)));
        }
    }
}

/// Files with secrets, as docker, Nix and curl have them.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = home.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write(
        "good/config.json",
        &format!(r#"{{"auths": {{"localhost:1": {{"auth": "{BASIC}"}}}}}}"#),
    );
    write(
        "cut/config.json",
        &format!(r#"{{"auths": {{"localhost:1": {{"auth": "{BASIC}"#),
    );
    write(
        "bad/config.json",
        &format!(r#"{{"auths": {{"localhost:1": {{"auth": "{PASSWORD}!"}}}}}}"#),
    );
    write(
        "typed/config.json",
        &format!(r#"{{"auths": {{"localhost:1": "{PASSWORD}"}}}}"#),
    );
    write("helper/config.json", r#"{"credsStore": "leaky"}"#);
    let answer = format!("#!/bin/sh\necho '{{\"Username\": \"me\", \"Secret\": \"{PASSWORD}\"'\n");
    write("programs/docker-credential-leaky", &answer);
    write(
        "netrc",
        &format!("machine localhost login me password {PASSWORD}\nmachine"),
    );
    write(
        "nix.conf",
        &format!("access-tokens = localhost={PASSWORD}\n{PASSWORD}\n"),
    );
    write(
        ".aws/credentials",
        &format!("[default]\naws_secret_access_key = {PASSWORD}\n{PASSWORD}\n"),
    );
    home
}

fn is_silent(command: &mut Command) {
    let text = said(command);
    assert!(
        !text.contains(PASSWORD) && !text.contains(BASIC),
        "{command:?}: {text}"
    );
    assert!(!text.contains("c2VjcmV0"), "{command:?}: {text}");
    assert!(text.contains("error: "), "{command:?}: {text}");
}

fn run(home: &Path, words: &[&str]) -> Command {
    let mut run = stream_layered();
    let path = format!("{}:/usr/bin:/bin", home.join("programs").display());
    run.env("HOME", home).env("PATH", path).args(words);
    run.env("DOCKER_CONFIG", home.join("good"));
    run.env("NETRC", home.join("netrc"));
    run
}

#[test]
fn secrets_in_addresses() {
    let home = home();
    let path = store_path(HELLO);
    let secret = format!("cache-1:{}", "c2VjcmV0".repeat(11));
    for address in [
        "https://me:s3cr3tpw@localhost:1",
        "http://me:s3cr3tpw@localhost:1",
        "https://me:s3cr3tpw@local host",
        "https://me:s3cr3tpw@",
        "https://me:s3cr3tpw@localhost:x",
        "https://me:p/s3cr3tpw@localhost:1",
        "s3://me:s3cr3tpw@bucket?endpoint=localhost:1",
        "s3://bucket?endpoint=localhost:1&token=s3cr3tpw",
        "http://localhost:1?token=s3cr3tpw",
        "ftp://me:s3cr3tpw@localhost:1",
        "https://me:s3cr3tpw@localhost:1,/srv",
    ] {
        is_silent(&mut run(
            home.path(),
            &["stream", "--store", address, &path],
        ));
        is_silent(&mut run(home.path(), &["plan", "--store", address, &path]));
    }
    for reference in [
        "https://me:s3cr3tpw@localhost:1/a",
        "me:s3cr3tpw@localhost:1/a",
        "docker://me:s3cr3tpw@localhost:1/a",
    ] {
        is_silent(&mut run(home.path(), &["push", reference, &path]));
        is_silent(&mut run(
            home.path(),
            &["push", "localhost:1/a", "--also", reference, &path],
        ));
        is_silent(&mut run(
            home.path(),
            &[
                "push",
                "localhost:1/a",
                "--previous-image",
                reference,
                &path,
            ],
        ));
        is_silent(&mut run(home.path(), &["stream", "-t", reference, &path]));
        is_silent(&mut run(
            home.path(),
            &["stream", "--from-image", reference, &path],
        ));
        is_silent(&mut run(
            home.path(),
            &["stream", "--previous", reference, &path],
        ));
        is_silent(&mut run(home.path(), &["diff", reference, reference]));
        is_silent(&mut run(home.path(), &["stream", reference]));
    }
    for flake in [
        "git+https://me:s3cr3tpw@localhost/x#y",
        "github:a/b?token=s3cr3tpw#y",
    ] {
        is_silent(&mut run(home.path(), &["stream", flake]));
    }
    is_silent(&mut run(
        home.path(),
        &[
            "stream",
            "--store",
            "file:///nowhere",
            "--trusted-key",
            &secret,
            &path,
        ],
    ));
    is_silent(&mut run(
        home.path(),
        &["stream", "--store", &secret, &path],
    ));
    for host in [
        "tcp://me:s3cr3tpw@localhost:1",
        "ssh://me:s3cr3tpw@localhost",
        "http://me:s3cr3tpw@localhost:1",
    ] {
        let app = App::new(10);
        is_silent(app.command(&["load"]).env("DOCKER_HOST", host));
        is_silent(app.command(&["load"]).env("CONTAINER_HOST", host));
    }
}

#[test]
fn secrets_in_files_and_variables() {
    let home = home();
    let app = App::new(10);
    for docker in ["good", "cut", "bad", "typed", "helper"] {
        let mut push = app.command(&["push", "localhost:1/a"]);
        push.env("DOCKER_CONFIG", home.path().join(docker));
        let path = format!("{}:/usr/bin:/bin", home.path().join("programs").display());
        is_silent(push.env("PATH", path));
        let file = home.path().join(docker).join("config.json");
        let mut push = app.command(&["push", "localhost:1/a"]);
        is_silent(push.env("REGISTRY_AUTH_FILE", file));
    }
    let path = store_path(HELLO);
    let words = ["stream", "--store", "http://localhost:1", &path];
    is_silent(&mut run(home.path(), &words));
    let conf = home.path().join("nix.conf");
    is_silent(run(home.path(), &words).env("NIX_USER_CONF_FILES", &conf));
    is_silent(
        run(home.path(), &words).env("NIX_CONFIG", format!("netrc-file = {PASSWORD}\n{PASSWORD}")),
    );
    let words = [
        "stream",
        "--store",
        "s3://bucket?endpoint=localhost:1&scheme=http",
        &path,
    ];
    is_silent(&mut run(home.path(), &words));
    let mut keys = run(home.path(), &words);
    is_silent(
        keys.env("AWS_ACCESS_KEY_ID", "me")
            .env("AWS_SECRET_ACCESS_KEY", PASSWORD),
    );
    is_silent(keys.env("AWS_SESSION_TOKEN", PASSWORD));
    let keys = home.path().join("keys");
    fs::write(&keys, format!("cache-1:{}\n", "c2VjcmV0".repeat(11))).unwrap();
    let keys = format!("@{}", keys.display());
    is_silent(&mut run(
        home.path(),
        &[
            "stream",
            "--store",
            "file:///nowhere",
            "--trusted-key",
            &keys,
            &path,
        ],
    ));
}
