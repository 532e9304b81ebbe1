//! `load --to`: engines behind ssh, TLS and docker's contexts, and several at once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_peers::needs;

use super::load::{Hello, Report, remove, says_hello};
use crate::support::engine::{Engine, NAMESPACE};
use crate::support::peer;
use crate::support::program::{fail, stderr, succeed};

/// The host that the peers' `ssh` knows.
const HOST: &str = "stream-layered-peer";

/// The peers' `ssh` with more options, which notes each login.
struct Ssh(TempDir);

impl Ssh {
    fn new(options: &str) -> Self {
        let ssh = Self(TempDir::new().unwrap());
        let text = format!(
            "#!/bin/sh\nexec {} {options} -o PermitLocalCommand=yes -o 'LocalCommand=echo login >> {}' \"$@\"\n",
            peer::setting("STREAM_LAYERED_TEST_SSH"),
            ssh.log().display()
        );
        fs::create_dir(ssh.directory()).unwrap();
        let file = ssh.directory().join("ssh");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        ssh
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("bin")
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("logins")
    }

    /// Lets a program find it first, and keep its sockets in a directory that is looked at later.
    fn put_on_path(&self, program: &mut Command) {
        let path = std::env::var("PATH").unwrap();
        program.env("PATH", format!("{}:{path}", self.directory().display()));
        let sockets = self.0.path().join("run");
        fs::create_dir_all(&sockets).unwrap();
        program.env("XDG_RUNTIME_DIR", sockets);
    }

    fn logins(&self) -> usize {
        fs::read_to_string(self.log()).map_or(0, |text| text.lines().count())
    }

    /// Nothing is left of the connections.
    fn is_tidy(&self) {
        let left = fs::read_dir(self.0.path().join("run")).unwrap();
        assert_eq!(left.count(), 0);
    }
}

/// `load` of the image to these places alone.
fn load_to(hello: &Hello, tag: &str, places: &[&str]) -> Command {
    let mut load = hello.program("load", tag);
    for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST"] {
        load.env_remove(variable);
    }
    load.env("CONTAINERD_NAMESPACE", NAMESPACE);
    for place in places {
        load.args(["--to", place]);
    }
    load
}

/// Loads by ssh, changes the application and loads again: what is there is not sent, and each run has one
/// connection.
fn loads_by_ssh(place: &str, above: usize) -> Hello {
    let ssh = Ssh::new("");
    let hello = Hello::new();
    let load = |tag: &str| {
        let mut load = load_to(&hello, tag, &[place]);
        ssh.put_on_path(&mut load);
        let report = Report::new(&load.output().unwrap());
        ssh.is_tidy();
        report
    };
    let first = load("1");
    assert!(first.text.contains(" at ssh"), "{}", first.text);
    assert!(first.sent >= 2, "{}", first.text);
    assert_eq!(first.id, hello.streamed_id());
    let again = load("1");
    assert_eq!((again.present, again.sent), (3, 0), "{}", again.text);
    hello.change(super::load::APP, "changed");
    let changed = load("2");
    assert_eq!(
        (changed.present, changed.sent),
        (2 - above, 1 + above),
        "{}",
        changed.text
    );
    assert_eq!(ssh.logins(), 3, "one for each run");
    hello
}

#[needs(ssh, docker)]
#[test]
fn docker_behind_ssh_takes_what_changed() {
    let hello = loads_by_ssh(&format!("ssh://{HOST}"), 1);
    let engine = Engine::docker();
    says_hello(&engine, &hello, "2");
    remove(&engine, &hello, &["1", "2"]);
}

#[needs(ssh, docker_on_containerd)]
#[test]
fn a_socket_of_docker_behind_ssh_is_used() {
    let engine = Engine::docker_on_containerd();
    let socket = engine.host().strip_prefix("unix://").unwrap();
    let hello = loads_by_ssh(&format!("ssh://{HOST}{socket}"), 0);
    says_hello(&engine, &hello, "2");
    remove(&engine, &hello, &["1", "2"]);
}

#[needs(ssh, podman_socket)]
#[test]
fn podman_behind_ssh_takes_what_changed() {
    let hello = loads_by_ssh(&format!("ssh+podman://root@{HOST}"), 0);
    remove(&Engine::podman(), &hello, &["1", "2"]);
}

#[needs(ssh, containerd)]
#[test]
fn containerd_behind_ssh_takes_what_changed() {
    let engine = Engine::containerd();
    let socket = engine.host().strip_prefix("containerd://").unwrap();
    let hello = loads_by_ssh(&format!("ssh+containerd://{HOST}{socket}"), 0);
    for tag in ["1", "2"] {
        let name = format!("docker.io/library/{}:{tag}", hello.name);
        let said = engine.run(&["run", "--rm", &name, &hello.name]);
        assert!(said.ends_with(&format!("I am {}\n", hello.name)), "{said}");
        engine.run(&["images", "rm", &name]);
    }
}

/// One line says what was run, and what to do; nobody is asked for anything.
#[needs(ssh, docker)]
#[test]
fn a_host_that_cannot_be_logged_into_is_told() {
    let hello = Hello::new();
    for (options, place, expected) in [
        (
            "-o PubkeyAuthentication=no",
            format!("ssh://{HOST}"),
            "Permission denied (publickey); nobody can be asked for a password",
        ),
        (
            "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=ask",
            format!("ssh://{HOST}"),
            "Host key verification failed; run `ssh stream-layered-peer` once",
        ),
        (
            "-o Port=1",
            format!("ssh://{HOST}"),
            "Connection refused; `ssh stream-layered-peer` has to work before",
        ),
        (
            "",
            "ssh://there.is.no.such.host.invalid".to_owned(),
            "write the host as",
        ),
        (
            "",
            format!("ssh+docker://{HOST}/there/is/none.sock"),
            "no docker answers at ssh+docker://stream-layered-peer/there/is/none.sock (`ssh stream-layered-peer \
             docker --host unix:///there/is/none.sock system dial-stdio`: ",
        ),
    ] {
        let ssh = Ssh::new(options);
        let mut load = load_to(&hello, "1", &[&place]);
        ssh.put_on_path(&mut load);
        let line = fail(load.stdin(Stdio::null()), 1);
        assert!(line.contains(expected), "{line}");
        ssh.is_tidy();
    }
    let mut load = load_to(&hello, "1", &["ssh://-oProxyCommand=touch"]);
    let line = fail(&mut load, 2);
    assert!(
        line.contains("no host and no user starts with `-`"),
        "{line}"
    );
}

/// As `docker context use` has it, with a context that docker itself has made.
#[needs(ssh, docker)]
#[test]
fn a_context_of_docker_leads_behind_ssh() {
    let engine = Engine::docker();
    let hello = Hello::new();
    let ssh = Ssh::new("");
    let docker = Context::new();
    docker.create("far", &format!("host=ssh://{HOST}"));
    let mut load = load_to(&hello, "1", &["context:far"]);
    ssh.put_on_path(&mut load);
    let report = Report::new(&load.env("DOCKER_CONFIG", docker.path()).output().unwrap());
    assert!(
        report
            .text
            .contains(&format!("docker at ssh://{HOST}, context far")),
        "{}",
        report.text
    );
    says_hello(&engine, &hello, "1");
    docker.run(&["context", "use", "far"]);
    let mut load = load_to(&hello, "2", &[]);
    ssh.put_on_path(&mut load);
    let report = Report::new(&load.env("DOCKER_CONFIG", docker.path()).output().unwrap());
    assert_eq!(report.sent, 0, "{}", report.text);
    remove(&engine, &hello, &["1", "2"]);
    let mut load = load_to(&hello, "1", &["context:none"]);
    let line = fail(load.env("DOCKER_CONFIG", docker.path()), 1);
    assert!(
        line.contains("docker's context none (--to): it does not exist"),
        "{line}"
    );
}

/// docker's configuration in a directory of its own.
struct Context(TempDir);

impl Context {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, words: &[&str]) {
        let mut docker = Command::new(peer::program("STREAM_LAYERED_TEST_DOCKER"));
        docker
            .env_remove("DOCKER_HOST")
            .env("DOCKER_CONFIG", self.path());
        succeed(docker.args(words));
    }

    fn create(&self, name: &str, endpoint: &str) {
        self.run(&["context", "create", name, "--docker", endpoint]);
    }
}

/// A port that passes connections with TLS on to Docker's socket, as a Docker with `--tlsverify` does.
struct Tls {
    directory: TempDir,
    port: u16,
    proxy: Child,
}

impl Tls {
    fn new(engine: &Engine) -> Self {
        let directory = TempDir::new().unwrap();
        let script = "
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca \
                -keyout ca-key.pem -out ca.pem
            for name in server client; do
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name \
                    -keyout $name-key.pem -out $name.csr
                printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\n' >extensions
                openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 \
                    -extfile extensions -out $name.pem
            done
            mkdir own none && cp ca.pem own && cp ca.pem none
            cp client.pem own/cert.pem && cp client-key.pem own/key.pem";
        succeed(
            Command::new("sh")
                .args(["-ec", script])
                .current_dir(directory.path()),
        );
        let socket = engine.host().strip_prefix("unix://").unwrap();
        // A port that nobody had just now; another one where somebody takes it first.
        loop {
            let port = free_port();
            let configuration = format!(
                "foreground = yes\npid =\ndebug = 3\n[docker]\naccept = 127.0.0.1:{port}\nconnect = {socket}\n\
                 cert = server.pem\nkey = server-key.pem\nCAfile = ca.pem\nverifyChain = yes\nrequireCert = yes\n"
            );
            fs::write(directory.path().join("stunnel.conf"), configuration).unwrap();
            let mut proxy = Command::new("stunnel")
                .arg("stunnel.conf")
                .current_dir(directory.path())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let start = Instant::now();
            while proxy.try_wait().unwrap().is_none() {
                assert!(
                    start.elapsed() < Duration::from_secs(60),
                    "stunnel does not listen"
                );
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self {
                        directory,
                        port,
                        proxy,
                    };
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn host(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[needs(docker, "openssl", "stunnel")]
#[test]
fn docker_behind_tls_takes_what_changed() {
    let engine = Engine::docker();
    let tls = Tls::new(&engine);
    let hello = Hello::new();
    let load = |tag: &str, certificates: &str| {
        let mut load = load_to(&hello, tag, &[&tls.host()]);
        load.env("DOCKER_TLS_VERIFY", "1");
        load.env("DOCKER_CERT_PATH", tls.file(certificates));
        load
    };
    let first = Report::new(&load("1", "own").output().unwrap());
    assert!(
        first.text.contains(&format!("docker at {}", tls.host())),
        "{}",
        first.text
    );
    hello.change(super::load::APP, "changed");
    let changed = Report::new(&load("2", "own").output().unwrap());
    assert_eq!((changed.present, changed.sent), (1, 2), "{}", changed.text);
    says_hello(&engine, &hello, "2");
    // Without the client's certificate, with other authorities, and without TLS.
    let line = fail(&mut load("1", "none"), 1);
    assert!(line.contains(&tls.host()), "{line}");
    fs::create_dir(tls.file("other")).unwrap();
    let line = fail(&mut load("1", "other"), 1);
    assert!(line.contains("invalid peer certificate"), "{line}");
    fail(&mut load_to(&hello, "1", &[&tls.host()]), 1);
    // A context has the files of its own.
    let docker = Context::new();
    let [ca, cert, key] = ["own/ca.pem", "own/cert.pem", "own/key.pem"].map(|file| tls.file(file));
    docker.create(
        "tls",
        &format!("host={},ca={ca},cert={cert},key={key}", tls.host()),
    );
    let mut by_context = load_to(&hello, "3", &[]);
    by_context
        .env("DOCKER_CONFIG", docker.path())
        .env("DOCKER_CONTEXT", "tls");
    let report = Report::new(&by_context.output().unwrap());
    assert_eq!(report.sent, 0, "{}", report.text);
    assert!(report.text.contains("context tls"), "{}", report.text);
    remove(&engine, &hello, &["1", "2", "3"]);
}

/// Each is told what it lacks; who is not there does not stop the others.
#[needs(docker, docker_on_containerd)]
#[test]
fn several_engines_are_loaded_into_at_once() {
    let engines = [Engine::docker(), Engine::docker_on_containerd()];
    let [old, new] = engines.each_ref().map(Engine::host);
    let hello = Hello::new();
    let first = load_to(&hello, "1", &[old]).output().unwrap();
    assert!(first.status.success());
    let both = load_to(&hello, "1", &[old, new, old]).output().unwrap();
    let text = stderr(&both);
    assert!(both.status.success(), "{text}");
    assert!(
        text.contains(&format!("{old}: 3 layers present, 0 sent, ")),
        "{text}"
    );
    assert!(
        text.contains(&format!("{new}: ")) && text.contains(" on the wire"),
        "{text}"
    );
    hello.change(super::load::APP, "changed");
    let none = "unix:///there/is/none.sock";
    let output = load_to(&hello, "2", &[old, none, new]).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(&format!("{old}: 1 layer present, 2 sent, ")),
        "{text}"
    );
    assert!(
        text.contains(&format!("{new}: 2 layers present, 1 sent, ")),
        "{text}"
    );
    assert!(text.contains(&format!("error: {none}: ")), "{text}");
    let last = format!("error: not loaded into {none}");
    assert_eq!(text.lines().last(), Some(&*last), "{text}");
    let id = String::from_utf8(output.stdout).unwrap();
    assert_eq!(id.trim(), hello.streamed_id());
    for engine in &engines {
        says_hello(engine, &hello, "2");
        remove(engine, &hello, &["1", "2"]);
    }
}

/// Results of streamLayeredImage in the store of an image that says hello: images that differ in their last
/// layer alone.
fn scripts(hello: &Hello, names: &[&str]) -> Vec<String> {
    let store = hello.store().join("nix/store");
    let digit = |number: usize| "0123456789".chars().nth(number).unwrap().to_string();
    let script = |(number, name): (usize, &&str)| {
        let hash = digit(number).repeat(31);
        let layer = format!("{hash}0-layer");
        let text = format!(
            "mkdir {layer} && echo {name} > {name} && tar --format=pax --sort=name -cf {layer}/layer.tar {name} && \
             rm {name} && sha256sum < {layer}/layer.tar | cut -d' ' -f1 > {layer}/checksum"
        );
        succeed(Command::new("sh").args(["-ec", &text]).current_dir(&store));
        let path = |path: &str| format!("/nix/store/{path}");
        let conf = serde_json::json!({
            "architecture": "amd64",
            "config": {"Cmd": [path(&format!("{}/bin/hello", super::load::APP))]},
            "store_dir": "/nix/store",
            "from_image": null,
            "store_layers": [[path(super::load::GREETING)], [path(super::load::APP)]],
            "customisation_layer": path(&layer),
            "repo_tag": hello.reference(name),
            "created": "1970-01-01T00:00:01+00:00",
            "mtime": "1970-01-01T00:00:01+00:00",
            "uid": "0", "gid": "0", "uname": "root", "gname": "root",
        });
        fs::write(store.join(format!("{hash}1-conf.json")), conf.to_string()).unwrap();
        let script = format!("{hash}2-{name}");
        let text = format!("#!/bin/sh\nexec stream --conf /nix/store/{hash}1-conf.json\n");
        fs::write(store.join(&script), text).unwrap();
        path(&script)
    };
    names.iter().enumerate().map(script).collect()
}

#[needs(docker, docker_on_containerd)]
#[test]
fn several_images_are_loaded_in_one_run_and_send_what_they_share_once() {
    let engines = [Engine::docker(), Engine::docker_on_containerd()];
    let hello = Hello::new();
    let scripts = scripts(&hello, &["one", "two"]);
    let load = |paths: &[&String]| {
        let mut load = crate::support::program::stream_layered();
        load.args(["load", "--no-cache", "--store"])
            .arg(hello.store());
        load.args(["--to", engines[0].host(), "--to", engines[1].host()]);
        load.args(paths);
        load
    };
    let output = load(&[&scripts[0], &scripts[1]]).output().unwrap();
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    for engine in &engines {
        let host = engine.host();
        let lines = text.lines().filter(|line| line.starts_with(host));
        let lines: Vec<&str> = lines.filter(|line| line.contains(" on the wire")).collect();
        assert!(lines[0].contains(": 0 layers present, 3 sent, "), "{text}");
        assert!(lines[1].contains(": 2 layers present, 1 sent, "), "{text}");
        for name in ["one", "two"] {
            says_hello(engine, &hello, name);
        }
        remove(engine, &hello, &["one", "two"]);
    }
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    let package = format!("/nix/store/{}", super::load::APP);
    let line = fail(&mut load(&[&scripts[0], &package]), 2);
    assert!(
        line.contains("cannot be combined with other paths"),
        "{line}"
    );
    let line = fail(load(&[&scripts[0], &scripts[1]]).args(["-t", "a:1"]), 2);
    assert!(line.contains("there are several images"), "{line}");
}
