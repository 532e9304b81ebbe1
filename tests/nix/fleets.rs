//! `streamLayeredImages`: images whose layers are planned together.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use test_peers::needs;

use super::archive::Archive;
use super::arguments::read_json;
use super::{Nix, stderr};
use crate::support::engine::Engine;
use crate::support::registry::Registry;

const FILE: &str = "fleets.nix";

fn archive(nix: &Nix, attribute: &str) -> Archive {
    Archive::of(&nix.build(FILE, attribute))
}

/// The layers of store paths.
fn store_layers(archive: &Archive) -> BTreeSet<String> {
    let diff_ids = archive.diff_ids();
    let (_, layers) = diff_ids.split_last().unwrap();
    layers.iter().map(|&layer| layer.to_owned()).collect()
}

/// The store paths of each layer of a configuration.
fn layers(nix: &Nix, image: &str) -> Vec<Value> {
    let conf = read_json(&nix.build(FILE, &format!("{image}.conf")));
    conf["store_layers"].as_array().unwrap().clone()
}

#[needs(nix)]
#[test]
fn what_images_share_is_in_the_same_layers() {
    let nix = Nix::find();
    let plan = read_json(&nix.build(FILE, "first.api.fleet.plan"));
    for image in ["api", "web"] {
        let layers = layers(&nix, &format!("first.{image}"));
        let planned = plan["images"][image]["layers"].as_array().unwrap();
        let planned: Vec<Value> = planned.iter().map(|layer| layer["paths"].clone()).collect();
        assert_eq!(layers, planned);
    }
    let (api, web) = (archive(&nix, "first.api"), archive(&nix, "first.web"));
    let paths =
        |archive: &Archive| -> BTreeSet<String> { archive.store_paths().into_iter().collect() };
    let shared = &store_layers(&api) & &store_layers(&web);
    assert!(!shared.is_empty());
    // No path of both is in a layer of one alone.
    let of_both = &paths(&api) & &paths(&web);
    let layers = [layers(&nix, "first.api"), layers(&nix, "first.web")];
    for layer in &layers[0] {
        let names: Vec<&str> = layer
            .as_array()
            .unwrap()
            .iter()
            .map(|path| &path.as_str().unwrap()[44..])
            .collect();
        let is_shared = layers[1].contains(layer);
        assert!(
            names
                .iter()
                .all(|name| of_both.contains(*name) == is_shared),
            "{names:?}"
        );
    }
    let known = nix.eval(FILE, "known");
    assert_eq!(known["names"], json!({"api": "api", "web": "team/web"}));
    assert_eq!(known["tags"], json!({"api": "1", "web": "1"}));
    assert_eq!(known["plans"], true);
}

#[needs(nix)]
#[test]
fn a_change_of_one_image_leaves_the_layers_of_the_others() {
    let nix = Nix::find();
    let web = layers(&nix, "first.web");
    for fleet in ["next", "locked", "after"] {
        assert_eq!(layers(&nix, &format!("{fleet}.web")), web, "{fleet}");
        let api = layers(&nix, &format!("{fleet}.api"));
        let before = layers(&nix, "first.api");
        assert_eq!(api.len(), before.len() + 1, "{fleet}");
        assert!(before.iter().all(|layer| api.contains(layer)), "{fleet}");
    }
    // What is new takes the layers that the others share.
    let (api, worker) = (layers(&nix, "first.api"), layers(&nix, "next.worker"));
    let mut shared = web.iter().filter(|layer| api.contains(layer)).peekable();
    assert!(shared.peek().is_some());
    assert!(shared.all(|layer| worker.contains(layer)));
    // Nothing of the other image is hashed.
    for fleet in ["locked", "after"] {
        let digests = nix.build(FILE, &format!("{fleet}.web.conf.layerDigests"));
        let log = nix.command().arg("log").arg(digests).output().unwrap();
        let log = String::from_utf8_lossy(&log.stdout).into_owned();
        let all = layers(&nix, "first.web").len();
        assert!(log.contains(&format!("{all} of {all} digests")), "{log}");
    }
}

#[needs(nix, docker, registry, skopeo)]
#[test]
fn the_images_of_a_fleet_run_and_are_pushed_together() {
    let nix = Nix::find();
    let docker = Engine::docker();
    let image = docker.load_from(&nix.build(FILE, "onBase.api"));
    assert_eq!(image.run(&[], &["/bin/cat", "/etc/api"]), "api");
    let registry = Registry::find("nix-fleet");
    let to = format!("{}/{}/{{name}}:{{tag}}", registry.host, registry.repository);
    let push = nix
        .build(FILE, "first.web.fleet.push")
        .join("bin/push-fleet");
    let pushed = Command::new(push)
        .arg(to)
        .arg("--no-cache")
        .output()
        .unwrap();
    assert!(pushed.status.success(), "{}", stderr(&pushed));
    for (attribute, name) in [("first.api", "api"), ("first.web", "team/web")] {
        let image = Registry {
            repository: format!("{}/{name}", registry.repository),
            ..Registry::find("nix-fleet")
        };
        let manifest: Value = serde_json::from_slice(&image.manifest("1").unwrap()).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), archive(&nix, attribute).diff_ids().len());
    }
    assert!(
        stderr(&pushed).contains(" taken over, "),
        "{}",
        stderr(&pushed)
    );
}

#[needs(nix)]
#[test]
fn what_has_no_meaning_for_a_fleet_is_refused() {
    let nix = Nix::find();
    for (attribute, words) in [
        ("strategy", "planned together"),
        ("unknown", "unexpected argument 'content'"),
    ] {
        let error = nix.refused(FILE, &format!("refused.{attribute}"));
        assert!(error.contains(words), "{attribute}: {error}");
    }
}

#[needs(newer_nix)]
#[test]
fn a_newer_nix_builds_a_fleet() {
    let nix = Nix::find_newer();
    nix.build(FILE, "locked.api");
    nix.rebuild_in_sandbox(FILE, "first.api.fleet.plan");
}
