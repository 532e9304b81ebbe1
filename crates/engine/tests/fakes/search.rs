//! Which engine is found, where some do not answer.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::{Choice, Engine, Error, Surroundings, Timeouts};
use oci::Digest;
use serde_json::json;
use tempfile::TempDir;

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
    let surroundings = Surroundings {
        environment: &environment,
        usual: usual.iter().map(|docker| docker.socket()).collect(),
        ctr: PathBuf::from("/there/is/no/ctr").into(),
        ssh: "/there/is/no/ssh".into(),
        timeouts: TIMEOUTS,
    };
    surroundings.find(choice)
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

/// A directory with docker's configuration: contexts with these names and engines.
fn contexts(contexts: &[(&str, &str)], config: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("config.json"), config).unwrap();
    for (name, host) in contexts {
        let id = Digest::of(name.as_bytes());
        let meta = directory.path().join("contexts/meta").join(id.hex());
        fs::create_dir_all(&meta).unwrap();
        let text = json!({"Name": name, "Endpoints": {"docker": {"Host": host}}});
        fs::write(meta.join("meta.json"), text.to_string()).unwrap();
    }
    directory
}

#[test]
fn dockers_contexts_are_followed_in_its_own_order() {
    let [usual, a, b] = [docker(), docker(), docker()];
    let none = "unix:///there/is/none.sock";
    let all = [("a", &*a.host()), ("b", &*b.host()), ("none", none)];
    let configuration = contexts(&all, r#"{"currentContext": "a"}"#);
    let config = ("DOCKER_CONFIG", configuration.path().to_str().unwrap());
    let (at_a, at_b) = (a.socket(), b.socket());
    let (at_a, at_b) = (at_a.display(), at_b.display());
    for choice in [Choice::Any, Choice::Docker] {
        for (variables, expected) in [
            (vec![], format!("docker at {at_a}, context a")),
            (
                vec![("DOCKER_CONTEXT", "b")],
                format!("docker at {at_b}, context b"),
            ),
            (
                vec![("DOCKER_CONTEXT", "a"), ("DOCKER_HOST", &*b.host())],
                format!("docker at {at_b}"),
            ),
            (
                vec![("DOCKER_CONTEXT", ""), ("DOCKER_HOST", "")],
                format!("docker at {at_a}, context a"),
            ),
        ] {
            let variables = [&[config], &variables[..]].concat();
            let engine = find(&variables, &[&usual], choice).unwrap();
            assert_eq!(engine.name(), expected, "{variables:?}");
        }
        let variables = [config, ("DOCKER_CONTEXT", "none")];
        let error = find(&variables, &[&usual], choice).err().unwrap();
        let error = error.to_string();
        let expected = "/there/is/none.sock, docker's context none: not there";
        assert!(error.contains(expected), "{error}");
    }
    // The environment is nearer than docker's configuration, which is no business of podman's.
    let container = ("CONTAINER_HOST", &*b.host());
    let engine = find(&[config, container], &[&usual], Choice::Any).unwrap();
    assert_eq!(engine.name(), format!("docker at {at_b}"));
    let error = find(&[config], &[], Choice::Podman).err().unwrap();
    assert!(!error.to_string().contains("context"), "{error}");
    assert_eq!(usual.log(), [""; 0]);
}

#[test]
fn a_context_that_cannot_be_used_is_an_error_that_says_what_to_do() {
    let usual = docker();
    let all = [("far", "ssh://me:secret@there"), ("odd", "npipe:////./x")];
    let configuration = contexts(&all, r#"{"currentContext": "gone"}"#);
    let config = ("DOCKER_CONFIG", configuration.path().to_str().unwrap());
    for (variables, expected) in [
        (
            vec![],
            "docker's context gone (docker's current context): it does not exist",
        ),
        (
            vec![("DOCKER_CONTEXT", "far")],
            "docker's context far (DOCKER_CONTEXT): it is at ssh://me@there: ssh takes no password",
        ),
        (
            vec![("DOCKER_CONTEXT", "odd")],
            "docker's context odd (DOCKER_CONTEXT): it is at npipe:////./x: use unix:///path",
        ),
        (
            vec![("DOCKER_HOST", "ssh://me:secret@there")],
            "DOCKER_HOST=ssh://me@there: ssh takes no password in an address; use a key",
        ),
        (
            vec![("DOCKER_HOST", "ssh://me@there")],
            "cannot connect: `/there/is/no/ssh -l me there docker system dial-stdio` says: cannot run /there",
        ),
        (
            vec![
                ("DOCKER_HOST", "tcp://127.0.0.1:2376"),
                ("DOCKER_TLS_VERIFY", "1"),
                ("DOCKER_CERT_PATH", "/etc"),
                ("SSL_CERT_FILE", "/there/is/none.pem"),
            ],
            "no container engine answers (DOCKER_HOST=tcp://127.0.0.1:2376: SSL_CERT_FILE=/there/is/none.pem: cannot",
        ),
    ] {
        let variables = [&[config], &variables[..]].concat();
        let error = find(&variables, &[&usual], Choice::Any).err().unwrap();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    // podman's users are not held up by what is said of Docker.
    let variables = [config, ("DOCKER_HOST", "ssh://there")];
    let error = find(&variables, &[], Choice::Podman).err().unwrap();
    assert!(error.to_string().starts_with("no podman"), "{error}");
}

/// As with docker, which says so and goes on.
#[test]
fn a_configuration_of_docker_that_cannot_be_read_is_a_warning() {
    let usual = docker();
    let configuration = contexts(&[], "{");
    let config = ("DOCKER_CONFIG", configuration.path().to_str().unwrap());
    let engine = find(&[config], &[&usual], Choice::Any).unwrap();
    let warning = engine.warning().unwrap();
    assert!(warning.contains("config.json"), "{warning}");
    assert_eq!(find(&[], &[&usual], Choice::Any).unwrap().warning(), None);
}

#[test]
fn a_containerd_that_is_named_is_not_replaced() {
    let usual = docker();
    let variables = [("CONTAINERD_ADDRESS", "/there/is/none.sock")];
    let error = find(&variables, &[&usual], Choice::Any).err().unwrap();
    let error = error.to_string();
    assert!(error.contains("/there/is/none.sock: not there"), "{error}");
    // It is not what was asked for.
    find(&variables, &[&usual], Choice::Docker).unwrap();
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
