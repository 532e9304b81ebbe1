//! Names, platforms and settings with which no engine takes an image, or no container starts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use test_peers::needs;

use crate::support::app::App;
use crate::support::archive;
use crate::support::peer;
use crate::support::program::{fail, stderr, stream_layered, succeed};
use crate::support::store_tree::{Node, StoreRoot, store_path};

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The blob that a descriptor in a layout names.
fn blob(layout: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().unwrap();
    json_of(&layout.join("blobs").join(digest.replace(':', "/")))
}

/// Runs a command with some options on a directory that holds nothing it could read: what is wrong
/// with the options is told all the same.
fn refused(command: &str, options: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut run = stream_layered();
    run.current_dir(directory.path()).arg(command);
    if command == "push" {
        run.arg("localhost:1/app");
    }
    fail(run.args(options).arg("/nix/store/nothing"), 2)
}

/// `docker load` says "invalid reference format" after it has read the whole archive.
#[test]
fn names_that_docker_refuses() {
    let long = format!("{}:1", "a".repeat(300));
    let tag = format!("a:{}", "t".repeat(129));
    let digest = format!("a@sha256:{}", "0".repeat(64));
    for command in ["stream", "load", "push", "plan"] {
        for (name, says) in [
            ("Foo/Bar:1", "lower case"),
            ("Bad Name:1", "lower case"),
            ("a b:1", "lower case"),
            ("UPPER/x", "lower case"),
            ("https://reg/a:1", "leave out what comes before the host"),
            (digest.as_str(), "leave out the `@`"),
            (long.as_str(), "longer than 255"),
            (tag.as_str(), "up to 128"),
        ] {
            let line = refused(command, &["-t", name]);
            assert!(line.contains(says), "{command} {name}: {line}");
            assert!(line.len() < 600, "{line}");
        }
        let line = refused(command, &["--name", "Bad Name"]);
        assert!(line.contains("lower case"), "{command}: {line}");
        let line = refused(command, &["--tag", "a b"]);
        assert!(line.contains("a tag has"), "{command}: {line}");
    }
}

/// A package's name need not be one that images can have: `gtk+`, `libstdc++`.
#[test]
fn a_package_whose_name_is_no_image_name() {
    let app = App::new(10);
    let packages = app.directory().join("nix/store");
    let odd = "a9xlmsmmpw9hg4lamgjcdhnfmixsai23-Lib++-1.0";
    fs::create_dir(packages.join(odd)).unwrap();
    let closure = app.directory().join("odd.json");
    let entry = json!([{"path": format!("/nix/store/{odd}"), "narSize": 1, "references": [],
        "narHash": format!("sha256:{}", "0".repeat(64))}]);
    fs::write(&closure, entry.to_string()).unwrap();
    let mut run = stream_layered();
    run.arg("--store").arg(app.directory()).arg("--closure");
    let output = run
        .arg(&closure)
        .args(["--no-cache", "--cmd", "x"])
        .output()
        .unwrap();
    assert!(
        stderr(&output).contains("\nlib:latest\n"),
        "{}",
        stderr(&output)
    );
}

/// <https://github.com/bazel-contrib/rules_oci/issues/777>: names of platforms as the kernel, Nix and
/// docker's `--platform` have them.
#[test]
fn architectures_as_others_call_them() {
    let app = App::new(10);
    let layout = app.directory().join("layout");
    for (name, architecture, variant) in [
        ("x86_64", "amd64", None),
        ("AMD64", "amd64", None),
        ("aarch64", "arm64", None),
        ("linux/arm64", "arm64", None),
        ("arm/v7", "arm", Some("v7")),
        ("linux/arm/v6", "arm", Some("v6")),
    ] {
        let _ = fs::remove_dir_all(&layout);
        let words = ["stream", "-q", "--format", "oci", "--index", "--arch", name];
        succeed(app.command(&words).arg("-o").arg(&layout));
        let index = blob(
            &layout,
            &json_of(&layout.join("index.json"))["manifests"][0],
        );
        let platform = &index["manifests"][0]["platform"];
        let manifest = blob(&layout, &index["manifests"][0]);
        for of in [platform, &blob(&layout, &manifest["config"])] {
            assert_eq!(of["architecture"], architecture, "{name}: {of}");
            assert_eq!(of["os"], "linux", "{name}: {of}");
            assert_eq!(
                of.get("variant").and_then(Value::as_str),
                variant,
                "{name}: {of}"
            );
        }
    }
    for (name, says) in [
        ("bogus", "386, amd64, arm, arm64"),
        ("windows/amd64", "Linux"),
        ("arm/v9", "v5, v6, v7, v8"),
        ("aarch64-darwin", "Linux"),
        ("", "386, amd64"),
    ] {
        for command in ["stream", "load", "push", "plan"] {
            let line = refused(command, &["--arch", name]);
            assert!(line.contains(says), "{command} {name}: {line}");
        }
    }
}

/// Images of both variants of an architecture stand in one index.
#[test]
fn variants_of_an_architecture_in_one_index() {
    let app = App::new(10);
    let layout = app.directory().join("layout");
    for name in ["arm/v7", "arm/v6", "arm64", "linux/arm64/v8"] {
        let words = ["stream", "-q", "--format", "oci", "--index", "--arch", name];
        succeed(app.command(&words).arg("-o").arg(&layout));
    }
    let index = blob(
        &layout,
        &json_of(&layout.join("index.json"))["manifests"][0],
    );
    let entries = index["manifests"].as_array().unwrap().iter();
    let platforms = entries.map(|entry| {
        let platform = &entry["platform"];
        let variant = platform["variant"].as_str().unwrap_or("-");
        format!("{} {variant}", platform["architecture"].as_str().unwrap())
    });
    let platforms: Vec<String> = platforms.collect();
    assert_eq!(platforms, ["arm v6", "arm v7", "arm64 v8"]);
}

/// Values with which no container starts.
#[test]
fn options_that_no_container_starts_with() {
    for (option, value, says) in [
        ("--env", "FOO", "NAME=VALUE"),
        ("--env", "=x", "NAME=VALUE"),
        ("--expose", "abc", "PORT[/PROTOCOL]"),
        ("--expose", "70000", "1 to 65535"),
        ("--expose", "80/http", "tcp, udp or sctp"),
        ("--user", "a b", "USER[:GROUP]"),
        ("--user", "a:b:c", "USER[:GROUP]"),
        ("--workdir", "data", "absolute"),
        ("--workdir", "", "absolute"),
        ("--label", "x", "NAME=VALUE"),
    ] {
        for command in ["stream", "load", "push", "plan"] {
            let line = refused(command, &[option, value]);
            assert!(
                line.contains(says) && line.contains(option),
                "{command} {option} {value}: {line}"
            );
        }
    }
    let app = App::new(10);
    for (config, says) in [
        (json!({"Env": ["FOO"]}), "config.Env"),
        (json!({"ExposedPorts": {"abc": {}}}), "config.ExposedPorts"),
        (json!({"User": "a b"}), "config.User"),
        (json!({"WorkingDir": "data"}), "config.WorkingDir"),
        (
            json!({"Healthcheck": {"Interval": 30}}),
            "config.Healthcheck.Interval",
        ),
    ] {
        let mut run = app.command(&["stream", "--config", &config.to_string()]);
        let line = fail(&mut run, 2);
        assert!(line.contains(says), "{config}: {line}");
    }
}

/// Docker says "json: cannot unmarshal …" of such an image, after it has received it.
#[test]
fn config_with_types_that_docker_refuses() {
    let app = App::new(10);
    let image_json = |config: &Value| {
        json!({
            "architecture": "amd64", "config": config, "os": "linux", "store_dir": "/nix/store",
            "from_image": null, "store_layers": [], "customisation_layer": "/nowhere", "repo_tag": "a:1",
            "created": "1970-01-01T00:00:01+00:00", "mtime": "1970-01-01T00:00:01+00:00",
            "uid": "0", "gid": "0", "uname": "root", "gname": "root",
        })
    };
    for (config, says) in [
        (
            json!({"Env": {"A": "1"}}),
            "config.Env has to be a list of strings",
        ),
        (json!({"User": 1000}), "config.User has to be a string"),
        (
            json!({"Cmd": "x"}),
            "config.Cmd has to be a list of strings",
        ),
        (
            json!({"Entrypoint": "x"}),
            "config.Entrypoint has to be a list of strings",
        ),
        (
            json!({"ExposedPorts": ["80/tcp"]}),
            "config.ExposedPorts has to be an object whose names count",
        ),
        (
            json!({"Volumes": ["/data"]}),
            "config.Volumes has to be an object whose names count",
        ),
        (
            json!({"Labels": {"a": 1}}),
            "config.Labels has to be an object of strings",
        ),
        (
            json!({"Healthcheck": {"Interval": "30s"}}),
            "config.Healthcheck.Interval has to be a number of nanoseconds",
        ),
        (
            json!({"Healthcheck": "CMD x"}),
            "config.Healthcheck has to be an object",
        ),
        (json!(["Cmd"]), "expected a JSON object"),
    ] {
        let line = fail(
            &mut app.command(&["stream", "--config", &config.to_string()]),
            1,
        );
        assert!(line.contains(says), "{config}: {line}");
        let file = app.directory().join("conf.json");
        fs::write(&file, image_json(&config).to_string()).unwrap();
        let line = fail(stream_layered().arg("stream").arg("--conf").arg(&file), 1);
        let says = says.replace("expected a JSON object", "config has to be an object");
        assert!(line.contains(&says), "{config}: {line}");
    }
}

/// An image of the Nix side names its architecture, too: `architecture = "aarch64"`.
#[test]
fn an_architecture_in_a_configuration() {
    let app = App::new(10);
    let file = app.directory().join("conf.json");
    let root = app.directory().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("layer.tar"), [0; 10_240]).unwrap();
    for (name, architecture) in [
        ("aarch64", Some("arm64")),
        ("mips", Some("mips")),
        ("bogus", None),
    ] {
        let conf = json!({
            "architecture": name, "config": {}, "os": "linux", "store_dir": "/nix/store", "from_image": null,
            "store_layers": [], "customisation_layer": root, "repo_tag": "a:1",
            "created": "1970-01-01T00:00:01+00:00", "mtime": "1970-01-01T00:00:01+00:00",
            "uid": "0", "gid": "0", "uname": "root", "gname": "root",
        });
        fs::write(&file, conf.to_string()).unwrap();
        let mut run = stream_layered();
        run.args(["stream", "--no-cache", "-q", "-o"]);
        run.arg(app.directory().join("image.tar"))
            .arg("--conf")
            .arg(&file);
        match architecture {
            Some(architecture) => {
                succeed(&mut run);
                let (_, config) = archive::config(&app.directory().join("image.tar"));
                assert_eq!(config["architecture"], architecture);
            }
            None => {
                let line = fail(&mut run, 1);
                assert!(
                    line.contains("`architecture`") && line.contains("amd64, arm"),
                    "{line}"
                );
            }
        }
    }
}

/// A store with so many paths, each in a layer of its own.
fn many_layers(count: usize) -> StoreRoot {
    let root = StoreRoot::new();
    let entries = (0..count).map(|at| {
        let name = format!("{at:0>32}-path");
        let text = Node::text(&at.to_string());
        root.add(&name, &Node::directory([(&*format!("file{at}"), text)]), Path::new(""));
        json!({"path": store_path(&name), "narSize": 1, "references": [], "narHash": format!("sha256:{at:0>64}")})
    });
    let entries: Vec<Value> = entries.collect();
    root.describe(&entries);
    root
}

const MANY: [&str; 5] = ["--no-cache", "--cmd", "x", "--strategy", "auto"];

/// <https://github.com/nlewo/nix2container/issues/5>: Docker's classic store takes 125 layers.
#[test]
fn more_layers_than_docker_takes() {
    let root = many_layers(130);
    for (most, warns) in [("125", false), ("126", true), ("140", true)] {
        let mut run = root.command(&["stream"]);
        run.args(MANY).args(["--max-layers", most]);
        let output = run.output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        let warning = said.lines().find(|line| line.starts_with("warning: "));
        assert_eq!(warning.is_some(), warns, "{most}: {said}");
        assert!(
            warning.is_none_or(|line| line.contains("--max-layers to 125")),
            "{said}"
        );
    }
}

#[needs(docker)]
#[test]
fn more_layers_than_docker_loads() {
    let root = many_layers(130);
    let mut run = root.command(&[
        "load",
        "--engine",
        "docker",
        "-t",
        "stream-layered-test:many",
    ]);
    run.env(
        "DOCKER_HOST",
        peer::setting("STREAM_LAYERED_TEST_DOCKER_HOST"),
    );
    let line = fail(run.args(MANY).args(["--max-layers", "140"]), 1);
    assert!(
        line.contains("takes no more than 125: lower --max-layers to 125"),
        "{line}"
    );
}

/// An option that has nothing to act on is a mistake.
#[test]
fn inherit_without_a_base_image() {
    let app = App::new(10);
    for inherit in ["all", "env"] {
        let line = fail(&mut app.command(&["stream", "--inherit", inherit]), 2);
        assert!(
            line.contains("--inherit") && line.contains("--from-image"),
            "{line}"
        );
    }
}
