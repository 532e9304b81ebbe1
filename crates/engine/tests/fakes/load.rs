//! Loading an image into engines that fail half way, are old, or answer otherwise than expected.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use engine::{Engine, Error, Loaded, Observer, Options};
use image::bytes::tar::{Owner, TarRules};
use image::timestamp::Timestamp;
use image::{Compression, Image, Layer, LayerTable, Root, Spool};
use nix_compat::StorePath;
use nix_compat::tree::{TreeError, Trees, Visit};
use oci::Platform;
use serde_json::json;
use tempfile::TempDir;

use crate::docker::{Classic, Docker, Reply};
use crate::search::named;

/// No store paths.
struct NoTrees;

impl Trees for NoTrees {
    fn visit(&self, path: &StorePath, _: &mut dyn Visit) -> Result<(), TreeError> {
        panic!("{path} was asked for");
    }
}

/// Keeps warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn missing(&self, _: usize, _: usize, _: Option<u64>) {}
    fn layer(&self, _: usize, _: usize, _: &Layer<'_>, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn again(&self) {}

    fn warning(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Loads an image with one layer of a megabyte; gives the warnings, too.
pub(crate) fn load(engine: &Engine) -> (Result<Loaded, Error>, Vec<String>) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("layer.tar");
    fs::write(&file, vec![0; 1 << 20]).unwrap();
    let image = Image {
        platform: Platform::linux("amd64"),
        config: json!({}),
        created: Timestamp::parse("@1", Timestamp::now()).unwrap(),
        rules: TarRules {
            mtime: 1,
            owner: Owner::root(),
        },
        base: None,
        store_layers: Vec::new(),
        root: Root::Tar {
            name: "root".to_owned(),
            file,
            diff_id: None,
        },
        repo_tags: vec!["app:1".to_owned()],
        plan_text: None,
    };
    let spool = Spool::new(1 << 30);
    let options = Options {
        spool: &spool,
        jobs: NonZeroUsize::MIN,
        verify: false,
    };
    let warnings = Warnings::default();
    let table = LayerTable::new(&image, Compression::None).unwrap();
    let loaded = engine.load(&table, &NoTrees, options, &warnings);
    (loaded, warnings.0.into_inner().unwrap())
}

/// A Docker that takes images, but for what `other` answers.
fn docker(other: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Docker {
    let classic = Classic::new(json!({}));
    Docker::start(move |request| other(&request.line).unwrap_or_else(|| classic.reply(request)))
}

/// Version 1.24 of the API, which is Docker 1.12's, knows no manifests.
#[test]
fn an_old_docker_takes_an_image() {
    let docker = docker(|_| None);
    let (loaded, warnings) = load(&named(&docker));
    assert_eq!(loaded.unwrap().sent, 1);
    assert_eq!(warnings, [""; 0]);
    let log = docker.log();
    let tag = |line: &String| line.ends_with("/tag?repo=app&tag=1");
    let tag = log.iter().position(tag).unwrap();
    // It had a name from the start.
    let removed = "DELETE /images/stream-layered.invalid/loading:";
    assert!(log[tag + 1].starts_with(removed), "{log:?}");
}

#[test]
fn an_engine_that_falls_silent_is_given_up() {
    for (at, expected) in [
        (
            "GET /images/app:1/json",
            "cannot ask for an image: docker at ",
        ),
        (
            "GET /images/json",
            "cannot ask which images there are: docker at ",
        ),
        ("POST /images/load", "cannot load the image: docker at "),
    ] {
        let docker = docker(move |line| (line == at).then_some(Reply::Silence));
        let error = load(&named(&docker)).0.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(error.contains("was silent for 400ms"), "{error}");
        assert!(!docker.log().iter().any(|line| line.contains("/tag?")));
    }
}

#[test]
fn an_engine_that_hangs_up_or_talks_nonsense_is_an_error() {
    let cut = |text: &str| Some(Reply::Cut(text.to_owned()));
    let told = |text: &str| Some(Reply::Answer(200, text.to_owned()));
    let docker_1 = docker(move |line| cut("[]").filter(|_| line == "GET /images/json"));
    let docker_2 = docker(move |line| told("[{").filter(|_| line == "GET /images/json"));
    let docker_3 = docker(move |line| told("{}").filter(|_| line.contains("app:1")));
    let docker_4 = docker(move |line| {
        cut("{\"stream\": \"Loading\"}\n").filter(|_| line == "POST /images/load")
    });
    for (docker, expected) in [
        (docker_1, "cannot be reached"),
        (docker_2, "unexpected answer"),
        (docker_3, "without Id and RootFS.Layers"),
        (docker_4, "cannot be reached"),
    ] {
        let error = load(&named(&docker)).0.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Docker has said 200 by then.
#[test]
fn an_error_in_the_stream_of_a_load_is_told() {
    let docker = docker(|line| {
        let stream = "{\"stream\": \"Loading\"}\n\
                      {\"errorDetail\": {\"message\": \"disk full\"}, \"error\": \"disk full\"}\n";
        (line == "POST /images/load").then(|| Reply::Answer(200, stream.to_owned()))
    });
    let error = load(&named(&docker)).0.unwrap_err().to_string();
    assert!(error.ends_with("says: disk full"), "{error}");
}

/// An image that the engine took and does not have gets no name.
#[test]
fn an_image_that_is_not_there_after_the_load_is_an_error() {
    let docker = docker(|line| line.contains("sha256:").then(Reply::not_found));
    let error = load(&named(&docker)).0.unwrap_err().to_string();
    assert!(error.contains("the image is incomplete"), "{error}");
    assert!(!docker.log().iter().any(|line| line.contains("/tag?")));
}

/// A Docker with containerd's store that sums up no blobs, and lists these images.
fn containerd_store(listed: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Docker {
    let info = json!({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]});
    let classic = Classic::new(info);
    Docker::start(move |request| {
        if request.line.starts_with("GET /images/json?filters=") {
            return Reply::json(&json!([{"Id": "sha256:1", "RepoTags": listed()}]));
        }
        classic.reply(request)
    })
}

#[test]
fn a_probe_that_is_not_understood_gives_a_warning_and_everything_is_sent() {
    let docker = containerd_store(Vec::new);
    let (loaded, warnings) = load(&named(&docker));
    assert_eq!(loaded.unwrap().sent, 1);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("does not tell which layers it has"),
        "{warnings:?}"
    );
}

#[test]
fn what_killed_runs_left_is_removed_and_nothing_else() {
    let listed = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&listed);
    let docker = containerd_store(move || shown.lock().unwrap().clone());
    let removed = |docker: &Docker| -> Vec<String> {
        let log = docker.log();
        let names = log
            .iter()
            .filter_map(|line| line.strip_prefix("DELETE /images/"));
        names.map(str::to_owned).collect()
    };
    let engine = named(&docker);
    load(&engine).0.unwrap();
    let own = removed(&docker);
    let [probe, name] = &own[..] else {
        panic!("{own:?}");
    };
    let mut names = vec![
        "stream-layered-probe:latest".to_owned(),
        "stream-layered.invalid/loading:latest".to_owned(),
        "app:1".to_owned(),
    ];
    let mut gone = Vec::new();
    for name in [probe, name] {
        // REPOSITORY:SPACE-PID-START, for a probe with a digest behind.
        let (repository, tag) = name.split_once(':').unwrap();
        let mut parts: Vec<&str> = tag.split('-').collect();
        // Another process had this one's number before.
        parts[2] = "1";
        gone.push(format!("{repository}:{}", parts.join("-")));
        parts[0] = "01234567";
        let elsewhere = format!("{repository}:{}", parts.join("-"));
        names.extend([name.clone(), elsewhere]);
    }
    names.extend(gone.iter().cloned());
    *listed.lock().unwrap() = names;
    load(&engine).0.unwrap();
    // The image is there by then, and no probe is needed: what is gone goes last.
    let second = removed(&docker).split_off(own.len());
    assert_eq!(second, gone);
    engine.abandon();
    let third = removed(&docker).split_off(own.len() + second.len());
    assert_eq!(third, own);
}
