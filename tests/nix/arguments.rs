//! Each argument of the builder functions: what it does, its default, what is refused.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use test_peers::needs;

use super::Nix;
use super::archive::Archive;

/// The file that they are in.
pub const FILE: &str = "arguments.nix";

/// What an image's script writes.
pub fn archive(nix: &Nix, attribute: &str) -> Archive {
    Archive::of(&nix.build(FILE, attribute))
}

#[needs(nix)]
#[test]
fn names_and_tags_are_known_without_a_build() {
    let nix = Nix::find();
    let known = nix.eval(FILE, "known");
    let plain = &known["plain"];
    assert_eq!(plain["imageName"], "plain");
    assert_eq!(plain["imageTag"], plain["hash"]);
    assert_eq!(plain["confTag"], plain["hash"]);
    assert_eq!(plain["isExe"], true);
    assert_eq!(plain["name"], "stream-plain");
    assert_eq!(plain["conf"], "plain-conf.json");
    assert_eq!(plain["layers"], "layers.json");
    assert_eq!(known["tagged"]["imageTag"], "v1.2_a-B");
    assert_eq!(known["prefixed"]["imageName"], "ghcr.io:443/some/name");
    assert_eq!(known["prefixed"]["name"], "stream-Name");
    assert_eq!(known["override"], "other");
    assert_eq!(known["overrideFunction"], "plain-2");
    assert_eq!(
        known["architecture"],
        json!({"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "go": "mips"})
    );
}

#[needs(nix)]
#[test]
fn passthru_and_meta_are_kept() {
    let nix = Nix::find();
    let known = nix.eval(FILE, "known");
    let image = &known["passthru"];
    assert_eq!(image["own"], 1);
    assert_eq!(image["conf"], "plain-conf.json");
    assert_eq!(image["description"], "an image");
    let archive = &known["archive"];
    assert_eq!(archive["imageName"], "archive");
    assert_eq!(archive["imageTag"], archive["streamTag"]);
    assert_eq!(archive["name"], "Archive.tar.gz");
    assert_eq!(archive["tests"], "own");
    assert_eq!(archive["description"], "an archive");
    assert_eq!(
        archive["streamMeta"],
        json!({"mainProgram": "stream-Archive"})
    );
    assert_eq!(
        archive["names"],
        json!(["Archive.tar", "Archive.tar.gz", "Archive.tar.zst"])
    );
}

#[needs(nix)]
#[test]
fn digests_are_taken_again_for_other_store_paths_only() {
    let nix = Nix::find();
    let known = nix.eval(FILE, "known");
    assert_eq!(
        known["sameDigests"],
        json!([true, true, true, true, false, false, false, false])
    );
    assert_eq!(known["noDigests"], json!([true, true]));
}

#[needs(nix)]
#[test]
fn mistakes_are_refused_before_anything_is_built() {
    let nix = Nix::find();
    for (attribute, words) in [
        ("unknown", "unexpected argument 'content'"),
        ("unknownOfArchive", "unexpected argument 'content'"),
        ("maxLayers", "maxLayers has to be 2 or more"),
        ("compressor", "compressor must be one of: [gz none zstd]"),
        ("tag", "`a b` is no tag"),
        ("strategies", "give one of them"),
        ("lockAndPrevious", "give one of them"),
        ("runAsRoot", "runAsRoot needs a virtual machine"),
        ("unknownOfBuildImage", "unexpected argument 'content'"),
        ("fromImageName", "give a fromImage that holds one image"),
        ("copyToRootAndContents", "give one of them"),
        ("enableFakechroot", "enableFakechroot needs a Linux builder"),
    ] {
        let error = nix.refused(FILE, &format!("refused.{attribute}"));
        assert!(error.contains(words), "{attribute}: {error}");
    }
}

#[needs(nix)]
#[test]
fn mistakes_that_only_the_build_can_see_are_told() {
    let nix = Nix::find();
    for (attribute, words) in [
        (
            "contents",
            "is a file, and what is linked into the image's root is what a directory holds",
        ),
        (
            "maxLayers",
            "maxLayers = 4: 4 layers of fromImage and 1 of the image's root leave none",
        ),
        ("strategy", "strategy `best` is not known"),
        ("layeringPipeline", "no_such_thing"),
        (
            "owners",
            "owners.\"/nothing\" matches nothing in the image's root",
        ),
        ("modes", "modes.\"/bin\": `rwx` is no mode"),
        ("fromImage", "cannot be used as the archive of an image"),
        ("extraCommands", "plain-customisation-layer"),
        ("fakeRootCommands", "plain-customisation-layer"),
    ] {
        let error = nix.fails(FILE, &format!("fails.{attribute}"));
        assert!(error.contains(words), "{attribute}: {error}");
    }
}

#[needs(nix)]
#[test]
fn contents_are_one_package_a_list_or_a_path() {
    let nix = Nix::find();
    let one = archive(&nix, "contentsOne");
    assert_eq!(one.store_paths(), ["hello-2.12"]);
    let target = one.root()["/bin/hello"].target.clone().unwrap();
    assert!(one.store().contains_key(&target), "{target}");
    let path = archive(&nix, "contentsPath");
    assert_eq!(path.store_paths(), ["contents"]);
    assert!(path.root().contains_key("/hello.txt"));
    let merged = archive(&nix, "contentsMerged").root();
    assert!(
        merged["/etc/a"]
            .target
            .as_ref()
            .unwrap()
            .ends_with("-a/etc/a")
    );
    assert!(
        merged["/etc/b"]
            .target
            .as_ref()
            .unwrap()
            .ends_with("-second/etc/b")
    );
    assert_eq!(merged["/etc/link"].target.as_deref(), Some("b"));
}

#[needs(nix)]
#[test]
fn config_is_passed_on_and_its_store_paths_are_in_the_image() {
    let nix = Nix::find();
    let image = archive(&nix, "config");
    assert_eq!(image.config["config"]["Labels"]["text"], "ünï \"code\"");
    assert_eq!(image.store_paths(), ["hello-2.12"]);
    assert_eq!(archive(&nix, "configNull").config["config"], Value::Null);
}

#[needs(nix)]
#[test]
fn architecture_is_the_package_sets_or_another() {
    let nix = Nix::find();
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    assert_eq!(archive(&nix, "contentsOne").config["architecture"], machine);
    assert_eq!(
        archive(&nix, "architecture").config["architecture"],
        "riscv64"
    );
}

#[needs(nix)]
#[test]
fn created_is_a_time_now_or_a_flakes_date() {
    let nix = Nix::find();
    for (attribute, expected) in [
        ("contentsOne", "1970-01-01T00:00:01+00:00"),
        ("created", "2024-02-29T10:34:56+00:00"),
        ("createdFlake", "2024-02-29T12:34:56+00:00"),
        ("createdDay", "2024-02-29T00:00:00+00:00"),
    ] {
        let image = archive(&nix, attribute);
        assert_eq!(image.config["created"], expected, "{attribute}");
        assert_eq!(
            image.config["history"][0]["created"], expected,
            "{attribute}"
        );
    }
    let now = archive(&nix, "createdNow").config["created"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(now.as_str() > "2024", "{now}");
}

#[needs(nix)]
#[test]
fn mtime_dates_the_files_of_store_paths() {
    let nix = Nix::find();
    let times = |attribute| -> Vec<String> {
        let mut times: Vec<String> = archive(&nix, attribute)
            .store()
            .into_values()
            .map(|entry| entry.time)
            .collect();
        times.dedup();
        times
    };
    assert_eq!(times("contentsOne"), ["1970-01-01 00:00:01"]);
    assert_eq!(times("mtime"), ["2024-02-29 12:34:56"]);
    assert!(times("mtimeNow")[0].as_str() > "2024");
}

#[needs(nix)]
#[test]
fn uid_gid_and_names_own_the_files_of_store_paths() {
    let nix = Nix::find();
    let image = archive(&nix, "owner");
    assert!(
        image
            .store()
            .values()
            .all(|entry| entry.owner == "1234/567")
    );
    assert!(image.root().values().all(|entry| entry.owner == "0/0"));
    let output = Command::new("tar")
        .arg("-tvf")
        .arg(&image.layers()[0])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("alice/staff"));
}

#[needs(nix)]
#[test]
fn max_layers_counts_all_layers_and_loses_no_path() {
    let nix = Nix::find();
    let image = archive(&nix, "maxLayers");
    assert_eq!(image.diff_ids().len(), 3);
    let expected = [
        "bash-1",
        "busybox-1",
        "coreutils-1",
        "glibc-2",
        "hello-2.12",
    ];
    assert_eq!(image.store_paths(), expected);
}

#[needs(nix)]
#[test]
fn extra_commands_run_in_the_root() {
    let nix = Nix::find();
    let image = archive(&nix, "extraCommands");
    assert!(image.text("/var/data/file").starts_with("made in "));
    let root = image.root();
    assert_eq!(root["/var/data"].mode, "drwx------");
    assert!(!root.contains_key("/bin/hello"));
    assert!(root.contains_key("/share/doc/hello.txt"));
    assert!(root.values().all(|entry| entry.owner == "0/0"));
}

#[needs(nix)]
#[test]
fn fake_root_commands_set_owners_and_what_they_refer_to_is_in_the_image() {
    let nix = Nix::find();
    let image = archive(&nix, "fakeRootCommands");
    let root = image.root();
    assert_eq!(root["/home/alice"].owner, "1000/100");
    assert_eq!(root["/home/alice/file"].owner, "1000/100");
    assert_eq!(root["/home/alice/file"].mode, "-rwsr-xr-x");
    assert_eq!(root["/home"].owner, "0/0");
    assert_eq!(image.store_paths(), ["hello-2.12"]);
}

#[needs(nix)]
#[test]
fn with_fakechroot_the_root_is_the_images() {
    let nix = Nix::find();
    let image = archive(&nix, "enableFakechroot");
    assert_eq!(image.text("/srv/data/where"), "/srv/data\n");
    let root = image.root();
    assert_eq!(root["/srv/data/where"].owner, "7/8");
    let names: Vec<&String> = root.keys().collect();
    assert_eq!(names, ["/", "/srv", "/srv/data", "/srv/data/where"]);
}

#[needs(nix)]
#[test]
fn a_nix_database_knows_what_is_in_the_image() {
    let nix = Nix::find();
    let image = archive(&nix, "includeNixDB");
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new("tar")
        .arg("-xf")
        .arg(image.layers().last().unwrap())
        .arg("-C")
        .arg(directory.path())
        .status();
    assert!(status.unwrap().success());
    let output = nix
        .command()
        .args(["path-info", "--all", "--store"])
        .arg(format!("local?root={}", directory.path().display()))
        .output()
        .unwrap();
    let known = String::from_utf8(output.stdout).unwrap();
    let mut known: Vec<&str> = known.lines().map(|path| &path[44..]).collect();
    known.sort_unstable();
    assert_eq!(known, ["bash-1", "glibc-2", "hello-2.12"]);
    assert_eq!(known, image.store_paths());
}

#[needs(nix)]
#[test]
fn without_store_paths_the_root_is_all() {
    let nix = Nix::find();
    let image = archive(&nix, "includeStorePaths");
    assert_eq!(image.diff_ids().len(), 1);
    let root = image.root();
    assert!(root.contains_key("/bin/hello") && !root.contains_key("/nix"));
}

#[needs(nix)]
#[test]
fn debug_says_how_layers_came_about() {
    let nix = Nix::find();
    let image = nix.build(FILE, "debug.conf.layersJsonFile");
    let log = nix.command().arg("log").arg(image).output().unwrap();
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(log.contains("hello-2.12"), "{log}");
}

#[needs(nix)]
#[test]
fn strategy_is_another_planner() {
    let nix = Nix::find();
    let image = archive(&nix, "strategy");
    assert_eq!(image.config["history"].as_array().unwrap().len(), 3);
    let bottom = image.config["history"][0]["comment"].as_str().unwrap();
    // The most used path comes first, and alone.
    assert!(
        bottom.contains("-glibc-2'") && !bottom.contains(", "),
        "{bottom}"
    );
}

#[needs(nix)]
#[test]
fn layering_pipeline_says_what_a_layer_is() {
    let nix = Nix::find();
    for attribute in ["layeringPipeline", "layeringPipelineFile"] {
        let layers = read_json(&nix.build(FILE, &format!("{attribute}.conf.layersJsonFile")));
        let name = |path: &Value| path.as_str().unwrap()[44..].to_owned();
        let names = |layer: &Value| -> Vec<String> {
            let mut names: Vec<String> = layer.as_array().unwrap().iter().map(name).collect();
            names.sort();
            names
        };
        let names: Vec<Vec<String>> = layers.as_array().unwrap().iter().map(names).collect();
        assert_eq!(
            names,
            [vec!["bash-1", "glibc-2"], vec!["hello-2.12"]],
            "{attribute}"
        );
        assert_eq!(archive(&nix, attribute).diff_ids().len(), 3);
    }
}

#[needs(nix)]
#[test]
fn layers_are_stable_and_the_image_carries_its_plan() {
    let nix = Nix::find();
    let image = archive(&nix, "stable");
    assert_eq!(image.store_paths(), ["bash-1", "glibc-2", "hello-2.12"]);
    let plan = |attribute: &str| {
        let plan = nix.build(FILE, &format!("{attribute}.plan"));
        let plan = Command::new(plan.join("bin/plan-some"))
            .args(["--format", "json"])
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&plan.stdout).unwrap()
    };
    let first = plan("stable");
    assert!(first["history"].is_object(), "{first}");
    assert!(
        !first.to_string().contains("configuration"),
        "reasons are told: {first}"
    );
    assert_eq!(plan("previous"), first, "nothing changed");
}

#[needs(nix)]
#[test]
fn a_budget_is_a_test() {
    let nix = Nix::find();
    nix.build(FILE, "budgetKept.tests.budget");
    let error = nix.fails(FILE, "budgetExceeded.tests.budget");
    assert!(
        error.contains("the budget is exceeded: closure "),
        "{error}"
    );
}

#[needs(nix)]
#[test]
fn build_image_has_one_layer_of_store_paths() {
    let nix = Nix::find();
    let base = Archive::read(&nix.build(FILE, "gzip"));
    let image = Archive::read(&nix.build(FILE, "buildImage"));
    assert!(image.diff_ids().starts_with(&base.diff_ids()));
    assert_eq!(image.diff_ids().len(), base.diff_ids().len() + 2);
    assert_eq!(image.config["architecture"], "riscv64");
    assert_eq!(image.config["created"], "2024-02-29T00:00:00+00:00");
    assert_eq!(image.text("/file"), "text\n");
    let root = image.root();
    assert!(root.contains_key("/bin/hello") && root.contains_key("/bin/bash"));
    assert!(root.values().all(|entry| entry.owner == "1/2"));
    assert!(image.store().values().all(|entry| entry.owner == "0/0"));
    let plain = Archive::read(&nix.build(FILE, "buildImageContents"));
    assert_eq!(plain.store_paths(), ["hello-2.12"]);
    assert!(plain.root().values().all(|entry| entry.owner == "0/0"));
    assert_eq!(plain.config["config"], Value::Null);
}

#[needs(nix)]
#[test]
fn labels_go_over_those_of_the_configuration() {
    let nix = Nix::find();
    let labels = archive(&nix, "labels").config["config"]["Labels"].take();
    assert_eq!(labels, json!({"a": "config", "b": "labels", "c": "labels"}));
    let alone = archive(&nix, "labelsAlone").config["config"].take();
    assert_eq!(alone, json!({"Labels": {"a": "b"}}));
}

#[needs(nix)]
#[test]
fn annotations_are_in_the_configuration_for_formats_that_have_them() {
    let nix = Nix::find();
    let conf = read_json(&nix.build(FILE, "annotations.conf"));
    assert_eq!(
        conf["annotations"],
        json!({"org.opencontainers.image.title": "An image"})
    );
    assert!(
        read_json(&nix.build(FILE, "labels.conf"))
            .get("annotations")
            .is_none()
    );
}

#[needs(nix)]
#[test]
fn owners_and_modes_are_data() {
    let nix = Nix::find();
    let root = archive(&nix, "ownersAndModes").root();
    let entry = |path: &str| (root[path].owner.as_str(), root[path].mode.as_str());
    assert_eq!(entry("/"), ("0/0", "drwx--x--x"));
    assert_eq!(entry("/srv"), ("0/0", "drwxr-xr-x"));
    assert_eq!(entry("/srv/data"), ("1000/100", "drwxr-xr-x"));
    assert_eq!(entry("/srv/data/a"), ("1000/100", "drwxr-xr-x"));
    assert_eq!(entry("/srv/data/a/b"), ("7/8", "-rwsr-x---"));
    assert_eq!(entry("/srv/other"), ("0/0", "-rw-r--r--"));
    assert_eq!(entry("/home/alice"), ("1000/1000", "drwxr-xr-x"));
    assert_eq!(entry("/tmp"), ("0/0", "drwxrwxrwt"));
    let alone = archive(&nix, "modesAlone").root();
    assert_eq!(alone["/tmp"].mode, "drwxrwxrwt");
}

#[needs(nix)]
#[test]
fn digests_change_no_byte() {
    let nix = Nix::find();
    let (with, without) = (
        nix.build(FILE, "digestsOn.conf"),
        nix.build(FILE, "digestsOff.conf"),
    );
    let with = read_json(&with);
    assert!(read_json(&without).get("store_layer_digests").is_none());
    let layers = with["store_layers"].as_array().unwrap().len();
    assert_eq!(
        with["store_layer_digests"].as_array().unwrap().len(),
        layers
    );
    let taken = archive(&nix, "digestsOn");
    let not_taken = archive(&nix, "digestsOff");
    assert_eq!(taken.diff_ids(), not_taken.diff_ids());
    for (layer, digest) in taken
        .layers()
        .iter()
        .zip(with["store_layer_digests"].as_array().unwrap())
    {
        assert_eq!(
            format!("sha256:{}", crate::support::program::sha256(layer)),
            digest["diff_id"]
        );
        assert_eq!(
            std::fs::metadata(layer).unwrap().len(),
            digest["size"].as_u64().unwrap()
        );
    }
}

/// What is in a file of JSON.
pub fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}
