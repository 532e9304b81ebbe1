//! What is typed by mistake is told as what it is, with what to type instead.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::App;
use crate::support::program::{fail, stream_layered, succeed};
use crate::support::store_tree::{Node, StoreRoot, store_path};

const APP: &str = "g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0";
const ALIAS: &str = "a9xlmsmmpw9hg4lamgjcdhnfmixsai23-alias";

/// The program in a directory that is empty.
fn nowhere(words: &[&str]) -> (TempDir, Command) {
    let directory = tempfile::tempdir().unwrap();
    let mut run = stream_layered();
    run.current_dir(directory.path()).args(words);
    (directory, run)
}

fn entry(name: &str, references: &[&str]) -> Value {
    let references: Vec<String> = references.iter().map(|name| store_path(name)).collect();
    json!({
        "path": store_path(name), "narSize": 1, "references": references,
        "narHash": format!("sha256:{}", "0".repeat(64)),
    })
}

/// The names in the uppermost layer of a docker-archive.
fn names_in_root(bytes: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(bytes);
    let mut layers = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("layer.tar") {
            let mut layer = Vec::new();
            entry.read_to_end(&mut layer).unwrap();
            layers.push(layer);
        }
    }
    let mut root = tar::Archive::new(layers.last().unwrap().as_slice());
    let entries = root.entries().unwrap().map(Result::unwrap);
    entries
        .map(|entry| entry.path().unwrap().display().to_string())
        .collect()
}

#[test]
fn a_mistyped_command() {
    for (words, command) in [
        (&["psuh", "localhost:1/a"][..], "`push`"),
        (
            &["psuh", "localhost:1/a", "--also", "localhost:1/b"],
            "`push`",
        ),
        (&["laod"], "`load`"),
        (&["dif", "a", "b"], "`diff`"),
        (&["strem", "--format", "oci"], "`stream`"),
    ] {
        let (_directory, mut run) = nowhere(words);
        let line = fail(&mut run, 2);
        assert!(
            line.contains("no command") && line.contains(command),
            "{words:?}: {line}"
        );
    }
    let (_directory, mut run) = nowhere(&["verfy"]);
    let line = fail(&mut run, 2);
    assert!(line.contains("no command and no path `verfy`"), "{line}");
    assert!(line.contains("`stream-layered help`"), "{line}");
}

#[test]
fn a_path_that_has_the_name_of_a_mistyped_command() {
    let app = App::new(10);
    let directory = tempfile::tempdir().unwrap();
    symlink(format!("/nix/store/{APP}"), directory.path().join("psuh")).unwrap();
    let mut run = stream_layered();
    run.current_dir(directory.path()).arg("psuh").arg("--store");
    run.arg(app.directory()).arg("--closure");
    run.arg(app.directory().join("graph.json"))
        .arg("--no-cache");
    succeed(&mut run);
}

/// What `nix build` takes.
#[test]
fn a_flake_reference_as_path() {
    for reference in [
        "nixpkgs#hello",
        ".#docker",
        "github:NixOS/nixpkgs#hello",
        "path:/x",
        "nixpkgs#",
    ] {
        for words in [&[reference][..], &["load", reference], &["plan", reference]] {
            let (_directory, mut run) = nowhere(words);
            let line = fail(&mut run, 2);
            assert!(line.contains(&format!("`nix build {reference}`")), "{line}");
        }
    }
}

#[test]
fn a_derivation_as_path() {
    const DRV: &str = "a9xlmsmmpw9hg4lamgjcdhnfmixsai23-app-1.0.drv";
    let root = StoreRoot::new();
    root.add(DRV, &Node::text("Derive()"), "".as_ref());
    root.describe(&[entry(DRV, &[])]);
    let path = store_path(DRV);
    let link = root.path().join("result");
    symlink(&path, &link).unwrap();
    for given in [Some(path.as_str()), link.to_str(), None] {
        let mut run = root.command(&["stream", "--cmd", "x"]);
        let line = fail(run.args(given), 2);
        assert!(
            line.contains("is a derivation") && line.contains("nix-store --realise"),
            "{line}"
        );
    }
    // Without a closure that was given, too.
    let mut run = stream_layered();
    run.args(["plan", "--store"]).arg(root.path());
    assert!(fail(run.arg(&path), 2).contains("is a derivation"));
}

/// The left side of `nix path-info … | stream-layered --closure -` has failed.
#[test]
fn an_empty_closure() {
    let root = StoreRoot::new();
    for text in ["", "\n", "[]", "{}", " [ ]\n", r#"{"graph": []}"#] {
        fs::write(root.closure(), text).unwrap();
        for command in ["stream", "plan"] {
            let mut run = root.command(&[command, "--cmd", "x"]);
            let line = fail(&mut run, 1);
            assert!(line.contains("graph.json: it is empty"), "{text:?}: {line}");
            let mut run = root.command(&[
                command,
                "--cmd",
                "x",
                "/nix/store/a9xlmsmmpw9hg4lamgjcdhnfmixsai23-x",
            ]);
            let line = fail(&mut run, 1);
            assert!(line.contains("graph.json: it is empty"), "{text:?}: {line}");
        }
    }
}

/// <https://github.com/NixOS/nixpkgs/issues/107021>: a store path that is a link to another one is
/// followed, as `lndir` does on the Nix side.
#[test]
fn a_store_path_that_is_a_link() {
    let root = StoreRoot::new();
    let bin = Node::directory([("app", Node::program())]);
    let link = |link: &str| Node::Link {
        link: link.to_owned(),
    };
    root.add(APP, &Node::directory([("bin", bin)]), "".as_ref());
    root.describe(&[entry(APP, &[]), entry(ALIAS, &[APP])]);
    let result = root.path().join("result");
    symlink(store_path(ALIAS), &result).unwrap();
    for target in [store_path(APP), format!("../store/{APP}"), APP.to_owned()] {
        let at = root.store().join(ALIAS);
        let _ = fs::remove_file(&at);
        root.add(ALIAS, &link(&target), "".as_ref());
        for path in [store_path(ALIAS).as_ref(), result.as_path()] {
            let bytes = succeed(root.command(&["stream", "--no-cache"]).arg(path));
            assert_eq!(names_in_root(&bytes), ["bin/", "bin/app"], "{target}");
        }
    }
}

#[test]
fn an_image_of_a_registry_without_docker() {
    for image in [
        "alpine:3",
        "alpine",
        "ghcr.io/a/b:1",
        "localhost:5000/a@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let app = App::new(10);
        for option in ["--from-image", "--previous"] {
            let line = fail(&mut app.command(&["stream", option, image]), 2);
            assert!(line.contains(&format!("write docker://{image}")), "{line}");
            assert!(line.contains(option), "{line}");
        }
        let (_directory, mut run) = nowhere(&["diff", image, "x.json"]);
        let line = fail(&mut run, 2);
        assert!(line.contains(&format!("write docker://{image}")), "{line}");
    }
}

#[test]
fn a_layout_without_oci() {
    let app = App::new(10);
    let layout = app.directory().join("layout");
    let mut run = app.command(&["stream", "--format", "oci"]);
    succeed(run.arg("-o").arg(&layout));
    let mut run = app.command(&["stream"]);
    let line = fail(run.arg("--from-image").arg(&layout), 2);
    assert!(
        line.contains(&format!("write oci:{}", layout.display())),
        "{line}"
    );
}

/// "cannot push to X: X: manifest …".
#[test]
fn a_registry_is_named_once() {
    let app = App::new(10);
    let line = fail(&mut app.command(&["push", "localhost:1/some/app:1"]), 1);
    assert_eq!(line.matches("some/app").count(), 1, "{line}");
    for option in ["--from-image", "--previous"] {
        let image = "docker://localhost:1/some/app:1";
        let line = fail(&mut app.command(&["stream", option, image]), 1);
        assert_eq!(line.matches("some/app").count(), 1, "{line}");
        assert!(line.contains(option), "{line}");
        let mut run = app.command(&["stream", option, "/nowhere/some.tar"]);
        let line = fail(&mut run, 1);
        assert_eq!(line.matches("some.tar").count(), 1, "{line}");
    }
}
