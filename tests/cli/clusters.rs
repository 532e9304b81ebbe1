//! `load` into the nodes of clusters, whose containerd is reached by a command.
//!
//! kind's node images cannot be had here. Containers with kind's labels and names, in which containerd runs with
//! Kubernetes' side of it, stand in for its nodes; kind itself finds them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use test_peers::needs;

use crate::cli::load::{APP, Hello};
use crate::support::engine::Engine;
use crate::support::peer;
use crate::support::program::{stderr, succeed};

/// Nodes with kind's labels, each of another image.
struct Cluster {
    docker: Engine,
    name: String,
    nodes: Vec<String>,
}

impl Cluster {
    fn start(name: &str) -> Self {
        let mut cluster = Self {
            docker: Engine::docker(),
            name: format!("stream-layered-{name}-{}", std::process::id()),
            nodes: Vec::new(),
        };
        for (image, role) in peer::setting("STREAM_LAYERED_TEST_NODES")
            .split(' ')
            .zip(["control-plane", "worker"])
        {
            let node = format!("{}-{role}", cluster.name);
            let labels = [
                format!("io.x-k8s.kind.cluster={}", cluster.name),
                format!("io.x-k8s.kind.role={role}"),
            ];
            let mut words = vec!["run", "--detach", "--network", "none", "--name", &node];
            // What is needed of kind's `--privileged`, which gives more than this machine may have.
            words.extend([
                "--cap-add",
                "SYS_ADMIN",
                "--cap-add",
                "NET_ADMIN",
                "--security-opt",
                "seccomp=unconfined",
            ]);
            words.extend(["--security-opt", "apparmor=unconfined", "--tmpfs", "/run"]);
            words.extend([
                "--volume",
                "/var",
                "--volume",
                "/sys/fs/cgroup:/sys/fs/cgroup",
            ]);
            words.extend(["--label", &labels[0], "--label", &labels[1], image]);
            cluster.docker.run(&words);
            cluster.nodes.push(node);
        }
        for node in &cluster.nodes {
            cluster.wait_for(node);
        }
        cluster
    }

    fn wait_for(&self, node: &str) {
        let mut tries = (0..200).map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let mut version = self.docker.command(&["exec", node, "ctr", "version"]);
            version.output().unwrap().status.success()
        });
        assert!(tries.any(|is_up| is_up), "{node} does not start");
    }

    fn ctr(&self, node: &str, words: &[&str]) -> String {
        let ctr = ["exec", node, "ctr", "--namespace", "k8s.io"];
        self.docker.run(&[&ctr, words].concat())
    }

    fn load(&self, hello: &Hello, tag: &str) -> Command {
        let mut load = hello.program("load", tag);
        load.args(["--to", &format!("kind:{}", self.name)]);
        load.env("DOCKER_HOST", self.docker.host());
        load.env_remove("KIND_EXPERIMENTAL_PROVIDER");
        load
    }

    /// How many layers each node was sent.
    fn sent(&self, output: &Output) -> Vec<usize> {
        let text = stderr(output);
        assert!(output.status.success(), "{text}");
        let sent = self.nodes.iter().map(|node| {
            let line = |line: &&str| line.starts_with(node) && line.contains(" present, ");
            let line = text.lines().find(line);
            let line = line.unwrap_or_else(|| panic!("nothing of {node}: {text}"));
            let words = line.split(", ").nth(1).unwrap().split(' ');
            words.into_iter().next().unwrap().parse().unwrap()
        });
        sent.collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            let mut remove = self.docker.command(&["rm", "--force", "--volumes", node]);
            let _ = remove.output();
        }
    }
}

/// A `docker` that does something of its own before the real one.
fn wrapped(directory: &Path, script: &str) -> std::ffi::OsString {
    let docker = peer::program("STREAM_LAYERED_TEST_DOCKER");
    let text = format!(
        "#!/bin/sh\ndocker={}\n{script}\nexec $docker \"$@\"\n",
        docker.display()
    );
    program(&directory.join("docker"), &text);
    path_with(directory)
}

fn program(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn path_with(directory: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::split_paths(&path);
    std::env::join_paths([directory.to_owned()].into_iter().chain(path)).unwrap()
}

#[needs(docker, kind)]
#[test]
fn nodes_of_kind_are_each_sent_what_they_lack() {
    let cluster = Cluster::start("nodes");
    let mut kind = Command::new(peer::program("STREAM_LAYERED_TEST_KIND"));
    let listed = succeed(
        kind.args(["get", "nodes", "--name", &cluster.name])
            .env("DOCKER_HOST", cluster.docker.host()),
    );
    let listed = String::from_utf8(listed).unwrap();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let hello = Hello::new();
    let all = cluster.sent(&cluster.load(&hello, "1").output().unwrap());
    assert!(all.iter().all(|sent| *sent >= 2), "{all:?}");
    let [first, second] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    let before = cluster.ctr(first, &["content", "ls", "-q"]);
    hello.change(APP, "changed");
    let changed = cluster.sent(&cluster.load(&hello, "2").output().unwrap());
    assert_eq!(changed, [1, 1]);
    // One node loses the changed layer, of an image that is there.
    let name = format!("docker.io/library/{}", hello.reference("2"));
    let blobs = cluster.ctr(first, &["content", "ls"]);
    let blobs = blobs.lines().filter_map(|line| line.split_once('\t'));
    let is_new_layer = |(blob, rest): &(&str, &str)| {
        !before.contains(*blob) && rest.contains("containerd.io/uncompressed")
    };
    let (lost, _) = blobs.into_iter().find(is_new_layer).unwrap();
    cluster.ctr(first, &["content", "rm", lost]);
    let sent = cluster.sent(&cluster.load(&hello, "2").output().unwrap());
    assert_eq!(sent, [1, 0]);
    // A node by its command, without kind.
    let by_command = format!("ctr:docker exec -i {first} ctr --namespace k8s.io");
    let mut load = hello.program("load", "3");
    load.args(["--to", &by_command])
        .env("DOCKER_HOST", cluster.docker.host());
    let output = load.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(" present, 0 sent"),
        "{}",
        stderr(&output)
    );
    let names = cluster.ctr(first, &["images", "ls", "-q"]);
    assert!(names.contains(&hello.reference("3")), "{names}");
    for node in [first, second] {
        let status = cluster.ctr(node, &["images", "check", &format!("name=={name}")]);
        assert!(status.contains("complete"), "{status}");
        let said = cluster.ctr(node, &["run", "--rm", &name, "hello"]);
        assert!(said.ends_with(&format!("I am {}\n", hello.name)), "{said}");
        let images = cluster.ctr(node, &["images", "ls"]);
        let named = images.lines().find(|line| line.starts_with(&name)).unwrap();
        assert!(named.contains("io.cri-containerd.image=managed"), "{named}");
        assert!(!images.contains(".invalid"), "{images}");
    }
}

/// A node that is killed while it is sent the image does not have it, and the other has. A run that is killed
/// before it names the image leaves names behind, which the next one removes.
#[needs(docker, kind)]
#[test]
fn nodes_and_runs_that_are_killed_half_way_leave_nothing() {
    let cluster = Cluster::start("killed");
    let [first, second] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    let (hello, directory) = (Hello::new(), TempDir::new().unwrap());
    let kills_node = format!(
        "case \"$*\" in *\"{first} ctr \"*' images import '*)\n\
         (head -c 4000; $docker kill {first} >/dev/null) | $docker \"$@\"; exit ;; esac"
    );
    let path = wrapped(directory.path(), &kills_node);
    let output = cluster
        .load(&hello, "1")
        .env("PATH", path)
        .output()
        .unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("error: {first}: ")), "{text}");
    assert!(
        text.ends_with(&format!("not loaded into {first}\n")),
        "{text}"
    );
    let names = cluster.ctr(second, &["images", "ls", "-q"]);
    assert!(names.contains(&hello.reference("1")), "{names}");
    cluster.docker.run(&["start", first]);
    cluster.wait_for(first);
    let names = cluster.ctr(first, &["images", "ls", "-q"]);
    assert_eq!(names, "", "no image is half named");
    // The program is the parent of the command.
    let kills_run = "case \"$*\" in *' images tag '*) kill -9 $PPID; sleep 600 ;; esac";
    let path = wrapped(directory.path(), kills_run);
    let output = cluster
        .load(&hello, "2")
        .env("PATH", path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), None, "{}", stderr(&output));
    let left = |node: &str| {
        let names = cluster.ctr(node, &["images", "ls", "-q"]);
        names.contains("stream-layered.invalid")
    };
    assert!(
        left(first) || left(second),
        "it had a name when it was killed"
    );
    hello.change(APP, "changed");
    cluster.sent(&cluster.load(&hello, "3").output().unwrap());
    assert!(!left(first) && !left(second));
}

/// A `docker` with the nodes `a` and `b`, of which `b` does not run.
const DOCKER: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$@" >> log
case "$*" in
*'ps --all --filter label=io.x-k8s.kind.cluster=two '*) printf 'b\na\nx-external-load-balancer\n' ;;
*'ps '*) ;;
'exec a containerd config dump') printf "[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'native'\n" ;;
*' a ctr '*' version') printf 'Client:\n  Version: 2.1.9\n' ;;
*' a ctr '*' images import '*) cat > archive ;;
*' a ctr '*' content ls -q') test ! -e archive || tar -tf archive | sed -n s,blobs/sha256/,sha256:,p ;;
*' b '*) echo 'Error response from daemon: container b is not running' >&2; exit 1 ;;
esac
"#;

#[test]
fn a_node_that_is_not_there_is_told_and_the_others_are_loaded() {
    let (hello, directory) = (Hello::new(), TempDir::new().unwrap());
    program(&directory.path().join("docker"), DOCKER);
    let load = |to: &[&str]| {
        let mut load = hello.program("load", "1");
        load.env_remove("KIND_EXPERIMENTAL_PROVIDER");
        load.env("PATH", path_with(directory.path())).args(to);
        let output = load.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    let text = load(&["--to", "kind:two"]);
    assert!(text.contains("a: 0 layers present, 3 sent"), "{text}");
    let why = "error: b: no containerd answers: `docker exec -i b ctr --namespace k8s.io version`: Error response from \
               daemon: container b is not running;";
    assert!(text.contains(why), "{text}");
    assert!(text.ends_with("error: not loaded into b\n"), "{text}");
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    let import = "exec -i -e CONTAINERD_SNAPSHOTTER=native a ctr --namespace k8s.io images import ";
    assert!(log.contains(import), "{log}");
    let text = load(&["--to", "kind:three"]);
    let why = "kind's cluster three has no nodes, says `docker ps --all --filter label=io.x-k8s.kind.cluster=three`; \
               `kind get clusters`";
    assert!(text.contains(why), "{text}");
    let text = load(&["--to", "k3d"]);
    assert!(
        text.contains("k3d's cluster k3s-default has no nodes"),
        "{text}"
    );
    let text = load(&["--to", "ctr:/there/is/none -n x"]);
    assert!(text.contains("cannot run /there/is/none"), "{text}");
}

/// A `minikube` whose profiles run different things.
const MINIKUBE: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
'profile list '*) cat profiles ;;
'--profile c ssh --native-ssh=false -- sudo ctr --namespace k8s.io '*' version') printf 'Client:\n  Version: 1.7.1\n' ;;
'--profile c '*' images import '*) cat > archive ;;
'--profile c '*' content ls -q') test ! -e archive || tar -tf archive | sed -n s,blobs/sha256/,sha256:,p ;;
'--profile c '*) ;;
*' docker-env '*) echo '{"DOCKER_HOST": "tcp://127.0.0.1:9", "DOCKER_TLS_VERIFY": ""}' ;;
*) echo "ssh: exit status 1" >&2; exit 1 ;;
esac
"#;

#[test]
fn profiles_of_minikube_are_reached_by_what_they_run() {
    let (hello, directory) = (Hello::new(), TempDir::new().unwrap());
    program(&directory.path().join("minikube"), MINIKUBE);
    let profile = |name: &str, runtime: &str| {
        format!(
            r#"{{"Name": "{name}", "Active": {}, "Config":
               {{"KubernetesConfig": {{"ContainerRuntime": "{runtime}"}}, "Nodes": [{{"Name": ""}}]}}}}"#,
            name == "c"
        )
    };
    let profiles = [("c", "containerd"), ("d", "docker"), ("o", "cri-o")];
    let profiles = profiles.map(|(name, runtime)| profile(name, runtime));
    let profiles = format!(r#"{{"invalid": [], "valid": [{}]}}"#, profiles.join(", "));
    fs::write(directory.path().join("profiles"), profiles).unwrap();
    let load = |to: &str| {
        let mut load = hello.program("load", "1");
        load.env_remove("MINIKUBE_PROFILE");
        load.env("PATH", path_with(directory.path()))
            .args(["--to", to]);
        let output = load.output().unwrap();
        (output.status.code(), stderr(&output))
    };
    let (code, text) = load("minikube");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("0 layers present, 3 sent"), "{text}");
    for (to, why) in [
        ("minikube:d", "127.0.0.1:9"),
        ("minikube:o", "runs its containers by cri-o"),
        (
            "minikube:none",
            "minikube's profile none has no nodes, says `minikube profile list ",
        ),
    ] {
        let (code, text) = load(to);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(why), "{text}");
    }
}
