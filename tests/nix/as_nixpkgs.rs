//! What images that were written for nixpkgs' dockerTools rely on.

use std::process::Command;

use test_peers::needs;

use super::Nix;
use super::archive::Archive;
use super::arguments::read_json;

const FILE: &str = "as_nixpkgs.nix";

fn archive(nix: &Nix, attribute: &str) -> Archive {
    Archive::of(&nix.build(FILE, attribute))
}

#[needs(nix)]
#[test]
fn values_are_taken_as_loosely() {
    let nix = Nix::find();
    let image = archive(&nix, "loose");
    assert_eq!(image.store_paths(), ["hello-2.12"]);
    assert!(image.root().contains_key("/bin/hello"));
    assert!(image.store().values().all(|entry| entry.owner == "1000/0"));
    assert!(archive(&nix, "noContents").store_paths().is_empty());
}

#[needs(nix)]
#[test]
fn pipes_and_devices_of_the_root_are_kept() {
    let nix = Nix::find();
    let root = archive(&nix, "devices").root();
    let entry = |path: &str| (root[path].mode.as_str(), root[path].owner.as_str());
    assert_eq!(entry("/jail/dev/null"), ("crw-rw-rw-", "1000/100"));
    assert_eq!(entry("/jail/dev/sda"), ("brw-r--r--", "0/0"));
    assert_eq!(entry("/jail/pipe"), ("prw-------", "0/0"));
    assert_eq!(archive(&nix, "pipe").root()["/pipe"].mode, "prw-r--r--");
}

#[needs(nix)]
#[test]
fn commands_are_isolated() {
    let nix = Nix::find();
    let root = archive(&nix, "isolated").root();
    assert_eq!(root["/private"].mode, "-rw-------");
    assert_eq!(root["/public"].mode, "-rw-r--r--");
}

#[needs(nix)]
#[test]
fn commands_have_the_derivations_environment() {
    let nix = Nix::find();
    let image = archive(&nix, "environment");
    let text = image.text("/environment");
    assert!(text.starts_with("plain-customisation-layer "), "{text}");
    let image = archive(&nix, "databaseEnvironment");
    assert_eq!(image.text("/user"), "nobody\n");
}

#[needs(nix)]
#[test]
fn a_nix_database_names_no_place_of_the_build() {
    let nix = Nix::find();
    let root = archive(&nix, "databaseEnvironment").root();
    assert_eq!(
        root["/nix/var/nix/gcroots/profiles"].target.as_deref(),
        Some("/nix/var/nix/profiles")
    );
}

#[needs(nix)]
#[test]
fn overriding_docker_tools_keeps_these_builders() {
    let nix = Nix::find();
    let overridden = nix.eval(FILE, "overridden");
    assert_eq!(overridden["conf"], "plain-conf.json");
    assert_eq!(overridden["load"], true);
    assert_eq!(overridden["examples"], true);
}

#[needs(nix)]
#[test]
fn the_stream_script_takes_a_configuration() {
    let nix = Nix::find();
    let script = nix.build(FILE, "streamScript");
    let conf = nix.build(FILE, "conf");
    let output = Command::new(script).arg(&conf).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = String::from_utf8_lossy(&output.stdout);
    assert!(names.contains("manifest.json"));
}

#[needs(nix)]
#[test]
fn build_image_is_tagged_by_its_own_path() {
    let nix = Nix::find();
    let file = nix.build(FILE, "buildImage");
    let hash = file.file_name().unwrap().to_str().unwrap()[..32].to_owned();
    let image = Archive::read(&file);
    assert_eq!(image.manifest["RepoTags"][0], format!("plain:{hash}"));
    let load = std::fs::read_to_string(nix.build(FILE, "buildImage.load").join("bin/load-plain"));
    assert!(load.unwrap().contains(&format!("plain:{hash}")));
}

#[needs(nix)]
#[test]
fn wrong_values_are_refused_at_evaluation() {
    let nix = Nix::find();
    for (attribute, words) in [
        ("uid", "uid has to be a number"),
        ("architecture", "architecture has to be a string"),
        ("createdNull", "created = null is no time"),
        (
            "createdWords",
            "created = `2024-02-29 12:34:56 UTC` is no time",
        ),
        ("mtime", "mtime = `yesterday` is no time"),
        ("env", "config.Env has to be a list of strings"),
        ("cmd", "config.Cmd has to be a list of strings"),
        ("user", "config.User has to be a string"),
        (
            "ports",
            "config.ExposedPorts has to be an attribute set whose names count",
        ),
        (
            "labels",
            "config.Labels has to be an attribute set of strings",
        ),
        (
            "interval",
            "config.Healthcheck.Interval has to be a number of nanoseconds",
        ),
        ("config", "config has to be an attribute set"),
        ("buildCommand", "cannot give it a buildCommand"),
    ] {
        let error = nix.refused(FILE, &format!("refused.{attribute}"));
        assert!(error.contains(words), "{attribute}: {error}");
    }
    let conf = read_json(&nix.build(FILE, "fits.conf"));
    assert_eq!(conf["config"]["User"], "1000:100");
}

#[needs(nix, newer_nix)]
#[test]
fn steps_run_in_the_sandbox() {
    for nix in [Nix::find(), Nix::find_newer()] {
        nix.build(FILE, "layered");
        for step in [
            "conf.customisationLayer",
            "conf.layersJsonFile",
            "conf.layerDigests",
            "conf",
        ] {
            nix.rebuild_in_sandbox(FILE, &format!("layered.stream.{step}"));
        }
        nix.rebuild_in_sandbox(FILE, "layered.stream");
    }
}

/// The path of a configuration is known only when it is built, then, and the tag is made from it.
#[needs(newer_nix)]
#[test]
fn an_image_of_content_addressed_packages_is_loaded_under_its_own_tag() {
    let options = ["--extra-experimental-features", "ca-derivations"];
    let load = Nix::find_newer().build_with(FILE, "contentAddressed.load", &options);
    let script = std::fs::read_to_string(load.join("bin/load-plain")).unwrap();
    let mut words = script.split_ascii_whitespace();
    let conf = words.find(|word| word.ends_with("-plain-conf.json"));
    let conf = conf.unwrap();
    let hash = &conf["/nix/store/".len()..][..32];
    assert_eq!(
        read_json(conf.as_ref())["repo_tag"],
        format!("plain:{hash}")
    );
}
