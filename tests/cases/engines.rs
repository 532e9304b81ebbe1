//! Which engine is meant.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use test_peers::needs;

use crate::support::app::App;
use crate::support::engine::Engine;
use crate::support::peer;
use crate::support::program::{fail, stderr};

/// A directory for docker's configuration, and the environment's variables that count.
struct Situation {
    config: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Situation {
    fn new(variables: &[(&'static str, &str)]) -> Self {
        Self {
            config: TempDir::new().unwrap(),
            variables: variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
        }
    }

    /// With docker's `config.json`.
    fn config(self, text: &str) -> Self {
        fs::write(self.config.path().join("config.json"), text).unwrap();
        self
    }

    /// With a context's file.
    fn context(self, name: &str, meta: &str) -> Self {
        let plain = self.config.path().join("name");
        fs::write(&plain, name).unwrap();
        let id = crate::support::program::sha256(&plain);
        let directory = self.config.path().join("contexts/meta").join(id);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("meta.json"), meta).unwrap();
        self
    }

    fn apply(&self, command: &mut Command) {
        for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST"] {
            command.env_remove(variable);
        }
        command.env("DOCKER_CONFIG", self.config.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// The socket that docker's client speaks to, out of these two; nothing where it fails.
    fn of_docker(&self, sockets: [&Path; 2]) -> Option<usize> {
        let id = |command: &mut Command| {
            command.args(["info", "--format", "{{.ID}}"]);
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
        };
        let docker = || Command::new(peer::program("STREAM_LAYERED_TEST_DOCKER"));
        let mut command = docker();
        self.apply(&mut command);
        let found = id(&mut command)?;
        sockets.into_iter().position(|socket| {
            let mut command = docker();
            let host = format!("unix://{}", socket.display());
            id(command.args(["--host", &host])).as_ref() == Some(&found)
        })
    }

    /// The same of `load`, which then cannot read the image.
    fn of_load(&self, sockets: [&Path; 2]) -> (Option<usize>, String) {
        let app = App::new(1000);
        app.take_contents_away();
        app.forget();
        let mut load = app.command(&["load", "-t", "stream-layered-engines:1"]);
        self.apply(&mut load);
        load.env("PATH", "");
        let text = stderr(&load.output().unwrap());
        let first = text.lines().find(|line| line.starts_with("loading into "));
        let found = first.and_then(|line| {
            let at = |socket: &Path| line.contains(&format!(" at {}", socket.display()));
            sockets.into_iter().position(at)
        });
        (found, text)
    }
}

fn socket(engine: &Engine) -> std::path::PathBuf {
    engine.host().strip_prefix("unix://").unwrap().into()
}

fn meta(host: &str) -> String {
    format!(r#"{{"Name":"x","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#)
}

/// `docker` and `load` find the same engine, whatever docker's configuration holds:
/// <https://github.com/GoogleContainerTools/container-diff/issues/400>,
/// <https://github.com/jesseduffield/lazydocker/issues/464>.
#[needs(docker, docker_on_containerd)]
#[test]
fn lazydocker_ignores_the_context() {
    let (usual, other) = (Engine::docker(), Engine::docker_on_containerd());
    let (usual, other) = (socket(&usual), socket(&other));
    let host = format!("unix://{}", other.display());
    let x = || Situation::new(&[("DOCKER_CONTEXT", "x")]);
    let of_host = |text: &str| Situation::new(&[("DOCKER_HOST", text)]);
    let current = |config: &str| {
        Situation::new(&[])
            .config(config)
            .context("x", &meta(&host))
    };
    let situations = [
        Situation::new(&[]),
        of_host(&host),
        of_host("unix:///nobody/listens"),
        of_host(""),
        of_host(" "),
        of_host("unix://"),
        of_host("127.0.0.1:9"),
        of_host("tcp://"),
        of_host("nonsense://x"),
        of_host("/nobody/listens"),
        x().context("x", &meta(&host)),
        x(),
        x().context("y", &meta(&host)),
        x().context("x", &meta("unix:///nobody/listens")),
        x().context("x", &meta("")),
        x().context("x", &meta("tcp://127.0.0.1:9")),
        x().context("x", &meta("npipe:////./pipe/x")),
        x().context("x", &meta(&host).replace("Host", "host")),
        x().context("x", &meta(&host).replace("docker\":", "Docker\":")),
        x().context("x", &meta(&host).replace("Endpoints", "endpoints")),
        x().context("x", &meta(&host).replace("\"x\"", "\"y\"")),
        x().context("x", &(meta(&host) + " junk")),
        x().context("x", &meta(&host)[..40]),
        x().context("x", ""),
        x().context("x", "[]"),
        x().context("x", r#"{"Name":"x"}"#),
        x().context("x", r#"{"Endpoints":{"docker":null}}"#),
        x().context("x", r#"{"Endpoints":{"docker":{}}}"#),
        x().context("x", r#"{"Endpoints":{"docker":{"Host":5}}}"#),
        x().context("x", r#"{"Endpoints":{"kubernetes":{"Host":"https://x"}}}"#),
        Situation::new(&[("DOCKER_CONTEXT", "default")]).config(r#"{"currentContext":"x"}"#),
        Situation::new(&[("DOCKER_CONTEXT", "../x")]).context("x", &meta(&host)),
        Situation::new(&[("DOCKER_CONTEXT", "X")]).context("x", &meta(&host)),
        Situation::new(&[("DOCKER_CONTEXT", "x"), ("DOCKER_HOST", &host)]),
        Situation::new(&[("DOCKER_CONTEXT", "x"), ("DOCKER_HOST", "unix:///none")])
            .context("x", &meta(&host)),
        current(r#"{"currentContext":"x"}"#),
        current(r#"{"currentContext":"y"}"#),
        current(r#"{"currentContext":""}"#),
        current(r#"{"currentContext":null}"#),
        current(r#"{"currentContext":"default"}"#),
        current(r#"{"CurrentContext":"x"}"#),
        current(r#"{"currentContext":"x"} junk"#),
        current(r#"{"currentContext":"x""#),
        current(r#"{"currentContext":5}"#),
        current(r#"{"currentContext":"x","auths":5}"#),
        current("[]"),
        current(""),
    ];
    for situation in situations {
        let docker = situation.of_docker([&usual, &other]);
        let (load, text) = situation.of_load([&usual, &other]);
        let config = fs::read_to_string(situation.config.path().join("config.json"));
        assert_eq!(load, docker, "{:?} {config:?}: {text}", situation.variables);
    }
}

/// The image went into containerd: <https://github.com/bazel-contrib/rules_img/issues/766>.
#[test]
fn rules_img_ignores_a_docker_host_that_does_not_answer() {
    let app = App::new(1000);
    let unreachable = [
        ("DOCKER_HOST", "unix:///nobody/listens"),
        ("CONTAINER_HOST", "unix:///nobody/listens"),
        ("CONTAINERD_ADDRESS", "/nobody/listens"),
    ];
    for (variable, value) in unreachable {
        let mut load = app.command(&["load", "-t", "stream-layered-engines:1"]);
        Situation::new(&[(variable, value)]).apply(&mut load);
        let error = fail(&mut load, 1);
        assert!(error.contains("/nobody/listens"), "{error}");
        assert!(!error.contains("docker.sock"), "{error}");
    }
}

/// An engine on another machine has a client that takes the image:
/// <https://github.com/containers/skopeo/issues/1824>.
#[test]
fn skopeo_has_no_docker_host_with_ssh() {
    let app = App::new(1000);
    let programs = TempDir::new().unwrap();
    let ssh = programs.path().join("ssh");
    fs::write(&ssh, "#!/bin/sh\necho nobody is at home >&2\nexit 255\n").unwrap();
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    for situation in [
        Situation::new(&[("DOCKER_HOST", "ssh://me@there")]),
        Situation::new(&[])
            .config(r#"{"currentContext":"far"}"#)
            .context("far", &meta("ssh://me@there")),
    ] {
        let mut load = app.command(&["load", "-t", "stream-layered-engines:1"]);
        situation.apply(&mut load);
        let error = fail(load.env("PATH", &path), 1);
        assert!(
            error.contains("`ssh -l me there docker system dial-stdio`"),
            "{error}"
        );
        assert!(error.contains("nobody is at home"), "{error}");
    }
}
