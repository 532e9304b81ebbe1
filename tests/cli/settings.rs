//! The image's own settings: what is typed, and what the image then says.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::program::{fail, stderr, stream_layered, succeed};
use crate::support::store_tree::{Node, StoreRoot, store_path};

const HELLO: &str = "g86nplrhlhz6lr3f7aj1fb17m460rakb-hello-2.10";
const TOOLS: &str = "a9xlmsmmpw9hg4lamgjcdhnfmixsai23-tools-1.0";
const HASH: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn programs(names: &[&str]) -> Node {
    let program = |name: &&str| {
        (
            (*name).to_owned(),
            Node::Text {
                text: format!("#!/bin/sh\n: {name}\n"),
                exec: true,
            },
        )
    };
    let bin = Node::Directory {
        dir: names.iter().map(program).collect(),
    };
    Node::Directory {
        dir: [("bin".to_owned(), bin)].into(),
    }
}

/// A store with two packages that do not know each other.
fn store() -> StoreRoot {
    let root = StoreRoot::new();
    root.add(HELLO, &programs(&["hello", "greet"]), Path::new(""));
    root.add(TOOLS, &programs(&["a", "b", "greet"]), Path::new(""));
    let entry = |name: &str| json!({"path": store_path(name), "narSize": 1, "narHash": HASH, "references": []});
    root.describe(&[entry(HELLO), entry(TOOLS)]);
    root
}

fn command(root: &StoreRoot, options: &[&str]) -> Command {
    root.command(options)
}

/// The image's configuration without the plan that it carries, and the name it has.
fn image(archive: &[u8]) -> (Value, String) {
    let read = |wanted: &str| -> Value {
        let mut archive = tar::Archive::new(archive);
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let mut entry = entries
            .find(|entry| entry.path_bytes() == wanted.as_bytes())
            .unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let manifest = read("manifest.json");
    let config = read(manifest[0]["Config"].as_str().unwrap());
    (
        config,
        manifest[0]["RepoTags"][0].as_str().unwrap().to_owned(),
    )
}

fn hello() -> String {
    format!("/nix/store/{HELLO}")
}

#[test]
fn without_any_the_package_says_it() {
    let root = store();
    let (config, tag) = image(&succeed(&mut command(&root, &[&hello()])));
    assert_eq!(tag, "hello:latest");
    assert_eq!(config["config"], json!({"Cmd": ["/bin/hello"]}));
    assert_eq!(config["created"], "1970-01-01T00:00:01+00:00");
    assert_eq!(config["os"], "linux");
}

#[test]
fn each_option_is_in_the_image() {
    let root = store();
    let options = [
        "--name",
        "registry.example:5000/team/app",
        "--tag",
        "v1",
        "--cmd",
        "-g",
        "--cmd",
        "two words",
        "--entrypoint",
        r#"["/bin/hello", "--"]"#,
        "-e",
        "A=1",
        "-e",
        "B=x=y",
        "-e",
        "A=2",
        "-l",
        "a.b=c",
        "-u",
        "1000:100",
        "-w",
        "/data",
        "--expose",
        "80",
        "--expose",
        "53/udp",
        "--arch",
        "arm64",
        "--created",
        "20240229123456",
        "--config",
        r#"{"StopSignal": "SIGINT", "User": "nobody", "Env": ["A=0", "Z=1"]}"#,
    ];
    let (config, tag) = image(&succeed(command(&root, &options).arg(hello())));
    assert_eq!(tag, "registry.example:5000/team/app:v1");
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["created"], "2024-02-29T12:34:56+00:00");
    let expected = json!({
        "StopSignal": "SIGINT", "User": "1000:100", "Env": ["A=2", "Z=1", "B=x=y"], "Entrypoint": ["/bin/hello", "--"],
        "Cmd": ["-g", "two words"], "Labels": {"a.b": "c"}, "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "WorkingDir": "/data",
    });
    assert_eq!(config["config"], expected);
}

#[test]
fn one_name_option_does_for_both() {
    let root = store();
    for (option, tag) in [
        ("host:1/a", "host:1/a:latest"),
        ("a:b", "a:b"),
        ("host:1/a:b", "host:1/a:b"),
    ] {
        assert_eq!(
            image(&succeed(command(&root, &["-t", option]).arg(hello()))).1,
            tag
        );
    }
}

#[test]
fn time_and_owner_reach_every_file_of_the_store() {
    let root = store();
    let archive = succeed(
        command(
            &root,
            &["--mtime", "@86400", "--owner", "1000:100:me:users"],
        )
        .arg(hello()),
    );
    let mut outer = tar::Archive::new(archive.as_slice());
    let mut layer = Vec::new();
    outer
        .entries()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .read_to_end(&mut layer)
        .unwrap();
    let mut inner = tar::Archive::new(layer.as_slice());
    for entry in inner.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let seen = (
            header.mtime().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.username().unwrap(),
        );
        assert_eq!(seen, (86400, 1000, 100, Some("me")));
    }
}

#[test]
fn of_two_equal_names_the_first_wins_and_both_are_told() {
    let root = store();
    let output = command(
        &root,
        &["--cmd", "a", &hello(), &format!("/nix/store/{TOOLS}")],
    )
    .output()
    .unwrap();
    assert!(output.status.success());
    let said = stderr(&output);
    let warnings: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("warning:"))
        .collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(
        warnings[0].contains(&format!("{HELLO}/bin/greet"))
            && warnings[0].contains(&format!("{TOOLS}/bin/greet"))
    );
}

#[test]
fn a_command_that_cannot_be_guessed_is_asked_for() {
    let root = store();
    let line = fail(command(&root, &[]).arg(format!("/nix/store/{TOOLS}")), 2);
    assert!(
        line.contains("a, b, greet") && line.contains("--cmd"),
        "{line}"
    );
}

#[test]
fn wrong_usage_is_told_with_its_own_exit_code() {
    let root = store();
    for (options, says) in [
        (vec!["--owner", "me"], "UID:GID"),
        (vec!["--max-layers", "1"], "2 or more"),
        (vec!["-l", "novalue"], "NAME=VALUE"),
        (vec!["-t", ":tag"], "not empty"),
    ] {
        let mut command = command(&root, &options);
        let line = fail(command.arg(hello()), 2);
        assert!(line.contains(says), "{options:?}: {line}");
    }
    for options in [
        vec!["--nonsense"],
        vec!["--conf", "x", "--cmd", "y"],
        vec!["--compression", "lzma"],
        vec!["--jobs", "0"],
    ] {
        let output = command(&root, &options).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}");
    }
    let mut command = stream_layered();
    command.current_dir(root.path());
    assert!(fail(&mut command, 2).contains("./result"));
}

#[test]
fn the_number_of_layers_counts_all_of_them() {
    let root = store();
    for (most, expected) in [(2, 2), (3, 3), (100, 3)] {
        let most = most.to_string();
        let options = ["--cmd", "x", "--max-layers", &most];
        for strategy in ["auto", "popularity"] {
            let (config, _) = image(&succeed(
                command(&root, &options).args(["--strategy", strategy]),
            ));
            assert_eq!(
                config["rootfs"]["diff_ids"].as_array().unwrap().len(),
                expected,
                "{strategy} {most}"
            );
        }
    }
}

/// Options that only an image of packages follows, with their default value where they have one.
const PACKAGE_OPTIONS: [(&str, &str); 18] = [
    ("--config", "{}"),
    ("--cmd", "a"),
    ("--entrypoint", "a"),
    ("--env", "A=b"),
    ("--label", "a=b"),
    ("--user", "a"),
    ("--workdir", "/"),
    ("--expose", "80"),
    ("--arch", "amd64"),
    ("--created", "@1"),
    ("--mtime", "@1"),
    ("--owner", "0:0:root:root"),
    ("--from-image", "a.tar"),
    ("--inherit", "env"),
    ("--strategy", "stable"),
    ("--max-layers", "100"),
    ("--layer", "a"),
    ("--min-layer-size", "1000000"),
];

#[test]
fn an_image_that_is_described_elsewhere_refuses_the_options_of_packages() {
    const CONF: &str = "/nix/store/00000000000000000000000000000000-image-conf.json";
    const SCRIPT: &str = "11111111111111111111111111111111-stream-image";
    let root = store();
    let script = Node::Text {
        text: format!("#!/bin/sh\nexec stream-layered --conf {CONF} \"$@\"\n"),
        exec: true,
    };
    root.add(SCRIPT, &script, Path::new(""));
    let script = format!("/nix/store/{SCRIPT}");
    for command in ["stream", "plan"] {
        for (option, value) in PACKAGE_OPTIONS {
            for subject in [&["--conf", CONF][..], &[&script]] {
                let mut run = stream_layered();
                run.arg(command).arg("--store").arg(root.path());
                let line = fail(run.args([option, value]).args(subject), 2);
                let says = format!("which {option} does not change");
                assert!(line.contains(&says), "{command} {subject:?}: {line}");
            }
        }
    }
}

#[test]
fn a_secret_key_that_is_given_by_mistake_is_not_shown() {
    let root = store();
    let secret = "c2VjcmV0".repeat(11);
    let file = root.path().join("keys");
    fs::write(&file, format!("cache-1:{secret}\n")).unwrap();
    for key in [format!("cache-1:{secret}"), format!("@{}", file.display())] {
        let mut run = stream_layered();
        run.args(["--store", "file:///nowhere", "--trusted-key", &key]);
        let line = fail(run.arg(hello()), 1);
        assert!(line.contains("cache-1"), "{line}");
        assert!(!line.contains("c2VjcmV0"), "{line}");
    }
}
