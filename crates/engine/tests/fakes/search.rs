//! Which engine is found, where some do not answer.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::{Choice, Engine, Error, Search, Timeouts};
use serde_json::json;

use crate::docker::{Classic, Docker, Reply};

/// Waits that let no test take long.
pub(crate) const TIMEOUTS: Timeouts = Timeouts {
    search: Duration::from_millis(100),
    named: Duration::from_millis(400),
    request: Duration::from_millis(400),
    load: Duration::from_millis(400),
};

/// Looks for an engine at these places alone.
fn find(variables: &[(&str, &str)], usual: &[&Docker], choice: Choice) -> Result<Engine, Error> {
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    };
    let search = Search {
        choice,
        environment: &environment,
        usual: usual.iter().map(|docker| docker.socket()).collect(),
        ctr: PathBuf::from("/there/is/no/ctr").into(),
        timeouts: TIMEOUTS,
    };
    search.run()
}

/// The engine that `DOCKER_HOST` names.
pub(crate) fn named(docker: &Docker) -> Engine {
    find(&[("DOCKER_HOST", &docker.host())], &[], Choice::Any).unwrap()
}

fn docker() -> Docker {
    let classic = Classic::new(json!({}));
    Docker::start(move |request| classic.reply(request))
}

#[test]
fn an_engine_that_does_not_answer_is_passed_over() {
    let (silent, docker) = (Docker::silent(), docker());
    let engine = find(&[], &[&silent, &docker], Choice::Any).unwrap();
    assert_eq!(
        engine.name(),
        format!("docker at {}", docker.socket().display())
    );
    let podman = find(&[], &[&silent, &docker], Choice::Podman);
    let error = podman.err().unwrap().to_string();
    let socket = docker.socket().display().to_string();
    assert!(error.contains(&format!("{socket}: is docker")), "{error}");
}

#[test]
fn an_engine_that_is_named_and_does_not_answer_is_an_error() {
    let (silent, docker) = (Docker::silent(), docker());
    let found = find(&[("DOCKER_HOST", &silent.host())], &[&docker], Choice::Any);
    let error = found.err().unwrap().to_string();
    let place = format!("DOCKER_HOST={}", silent.socket().display());
    let expected = format!("{place}: a program listens there, but does not answer within 400ms");
    assert!(error.contains(&expected), "{error}");
    let found = find(&[], &[&silent], Choice::Docker);
    let error = found.err().unwrap().to_string();
    assert!(error.starts_with("no docker answers"), "{error}");
    assert!(error.contains("does not answer within 400ms"), "{error}");
    assert_eq!(silent.log(), ["GET /_ping"; 3]);
}

/// systemd holds a socket open, and starts its engine at the first call.
#[test]
fn an_engine_that_is_just_being_started_is_waited_for_where_there_is_no_other() {
    let classic = Classic::new(json!({}));
    let calls = AtomicUsize::new(0);
    let starting = Docker::start(move |request| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Silence,
        _ => classic.reply(request),
    });
    find(&[], &[&starting], Choice::Any).unwrap();
    assert_eq!(starting.log(), ["GET /_ping", "GET /_ping", "GET /info"]);
}

#[test]
fn an_engine_that_answers_nonsense_is_named() {
    for (answer, expected) in [
        (
            Reply::Answer as fn(u16, String) -> Reply,
            "unexpected answer",
        ),
        (|_, body| Reply::Cut(body), "cannot be reached"),
        (|_, _| Reply::Silence, "was silent for 400ms"),
        (
            |_, _| Reply::Answer(500, "{\"message\": \"no\"}".to_owned()),
            "says: no",
        ),
    ] {
        let classic = Classic::new(json!({}));
        let docker = Docker::start(move |request| match request.line.as_str() {
            "GET /info" => answer(200, "this is no JSON".to_owned()),
            _ => classic.reply(request),
        });
        let found = find(&[("DOCKER_HOST", &docker.host())], &[], Choice::Any);
        let error = found.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
