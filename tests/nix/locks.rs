//! Locks, and previous images whose digests are taken over: what is hashed, and that no byte changes.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use test_peers::needs;

use super::arguments::{FILE, archive, read_json};
use super::{Nix, stderr};

/// What an image's script writes.
fn bytes(script: &Path) -> Vec<u8> {
    let output = Command::new(script).arg("-q").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

/// What the step that takes the digests said.
fn log(nix: &Nix, attribute: &str) -> String {
    let digests = nix.build(FILE, &format!("{attribute}.conf.layerDigests"));
    let log = nix.command().arg("log").arg(digests).output().unwrap();
    String::from_utf8_lossy(&log.stdout).into_owned()
}

#[needs(nix)]
#[test]
fn a_lock_is_a_plan_with_keys_and_digests() {
    let nix = Nix::find();
    let lock = nix.build(FILE, "locks.file");
    let lock = read_json(&lock);
    assert_eq!(lock["lock"], 1);
    assert_eq!(lock["history"]["releases"], 0);
    let conf = read_json(&nix.build(FILE, "locks.first.conf"));
    let digests = conf["store_layer_digests"].as_array().unwrap();
    let layers = lock["layers"].as_array().unwrap();
    assert_eq!(layers.len(), digests.len());
    for ((layer, paths), digest) in layers
        .iter()
        .zip(conf["store_layers"].as_array().unwrap())
        .zip(digests)
    {
        assert_eq!(&layer["paths"], paths);
        let words: Vec<&str> = layer["tar"].as_str().unwrap().split(' ').collect();
        assert_eq!(digest["key"], words[0]);
        assert_eq!(digest["diff_id"], format!("sha256:{}", words[1]));
        assert_eq!(digest["size"].to_string(), words[2]);
        assert_eq!(words.len(), 4);
    }
}

#[needs(nix)]
#[test]
fn what_is_known_is_not_hashed_and_no_byte_changes() {
    let nix = Nix::find();
    let first = bytes(&nix.build(FILE, "locks.first"));
    for (attribute, taken) in [
        ("same", Some("3 of 3")),
        ("popularity", Some("3 of 3")),
        ("changed", Some("3 of 4")),
        ("changedAfterConf", Some("3 of 4")),
        ("changedAfterPlan", Some("3 of 4")),
        ("renewed", Some("4 of 4")),
        ("otherOwner", Some("0 of 3")),
        ("foreign", Some("0 of 3")),
        ("editedPaths", Some("3 of 3")),
        ("empty", None),
        ("changedAnew", None),
    ] {
        let attribute = format!("locks.{attribute}");
        let log = log(&nix, &attribute);
        match taken {
            Some(taken) => assert!(
                log.contains(&format!("{taken} digests")),
                "{attribute}: {log}"
            ),
            None => assert!(!log.contains("digests are"), "{attribute}: {log}"),
        }
        // All digests are those of the bytes.
        let script = nix.build(FILE, &attribute);
        let verified = Command::new(&script).args(["-q", "--verify"]).output();
        let verified = verified.unwrap();
        assert!(
            verified.status.success(),
            "{attribute}: {}",
            stderr(&verified)
        );
        if ["same", "empty"]
            .iter()
            .any(|name| attribute.ends_with(name))
        {
            assert!(verified.stdout == first, "{attribute}");
        }
    }
}

#[needs(nix)]
#[test]
fn the_bytes_follow_from_the_plan_alone() {
    let nix = Nix::find();
    let changed = bytes(&nix.build(FILE, "locks.changed"));
    for attribute in ["changedAfterConf", "changedAfterPlan", "renewed"] {
        let script = nix.build(FILE, &format!("locks.{attribute}"));
        assert!(bytes(&script) == changed, "{attribute}");
    }
    // The layers that were there before stay below.
    let (before, after) = (archive(&nix, "locks.first"), archive(&nix, "locks.changed"));
    assert_eq!(before.diff_ids()[..3], after.diff_ids()[..3]);
}

#[needs(newer_nix)]
#[test]
fn a_newer_nix_takes_a_lock() {
    let nix = Nix::find_newer();
    assert!(log(&nix, "locks.changed").contains("3 of 4 digests"));
    nix.build(FILE, "locks.changed.tests.lock");
    for step in ["conf.layerDigests", "tests.lock"] {
        nix.rebuild_in_sandbox(FILE, &format!("locks.changed.{step}"));
    }
}

#[needs(nix)]
#[test]
fn the_check_of_a_lock_hashes_everything() {
    let nix = Nix::find();
    for (attribute, words) in [
        ("tests", "has 3 of 3 layers"),
        ("changed.tests", "has 3 of 4 layers"),
    ] {
        let checked = nix.build(FILE, &format!("locks.{attribute}.lock"));
        let said = std::fs::read_to_string(checked).unwrap();
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(nix.eval(FILE, "locks.tests.own"), "own");
    let error = nix.fails(FILE, "locks.forged.tests.lock");
    let wrong = format!("the lock says sha256:{:064} of ", 1);
    assert!(
        error.contains("layer 1 (glibc-2)") && error.contains(&wrong),
        "{error}"
    );
    assert!(
        error.contains("the lock is wrong about layer 1;"),
        "{error}"
    );
}

#[needs(nix)]
#[test]
fn a_forged_digest_is_found_where_its_layer_is_read() {
    let nix = Nix::find();
    let forged = nix.build(FILE, "locks.forged");
    let verified = Command::new(&forged)
        .args(["-q", "--verify"])
        .output()
        .unwrap();
    assert!(!verified.status.success());
    assert!(
        stderr(&verified).contains("layer 1 (glibc-2"),
        "{}",
        stderr(&verified)
    );
    let error = nix.fails(FILE, "locks.forged.oci");
    assert!(error.contains("layer 1 (glibc-2"), "{error}");
    // A lock that is written anew does not take it over.
    let lock = nix.build(FILE, "locks.forged.lock").join("bin/lock-some");
    let written = Command::new(lock).arg("--no-cache").output().unwrap();
    let written: Value = serde_json::from_slice(&written.stdout).unwrap();
    assert_eq!(written, read_json(&nix.build(FILE, "locks.file")));
}

#[needs(nix)]
#[test]
fn a_lock_that_cannot_be_used_is_refused_and_can_be_written_anew() {
    let nix = Nix::find();
    for (attribute, words) in [
        (
            "editedDigest",
            "the digest of layer 1 does not fit its checksum",
        ),
        (
            "editedDigest.tests.lock",
            "the digest of layer 1 does not fit its checksum",
        ),
        (
            "notJson",
            "not.json cannot be used as a lock (take an older one",
        ),
        ("notALock", "it is no lock"),
        ("otherVersion", "it is a lock of another version than 1"),
    ] {
        let error = nix.fails(FILE, &format!("locks.{attribute}"));
        assert!(error.contains(words), "{attribute}: {error}");
    }
    let lock = nix
        .build(FILE, "locks.editedDigest.lock")
        .join("bin/lock-some");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image.lock.json");
    let status = Command::new(lock)
        .arg("--no-cache")
        .arg("-o")
        .arg(&file)
        .status();
    assert!(status.unwrap().success());
    assert_eq!(read_json(&file), read_json(&nix.build(FILE, "locks.file")));
}
