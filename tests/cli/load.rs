//! `load`, into engines that run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use test_peers::needs;

use crate::support::engine::{Engine, NAMESPACE};
use crate::support::peer;
use crate::support::program::{fail, stderr, stream_layered, succeed};
use crate::support::registry::Registry;

/// The image that says hello, in bytes that no engine has seen.
pub struct Hello {
    directory: TempDir,
    pub name: String,
}

pub const APP: &str = "h780awpm6b8qcxx28gfnjq6z4i9dq73z-hello-1.0";
pub const GREETING: &str = "jj07w55ij6fwqa9siqvrczj3sinwgjs2-greeting-1.0";

impl Hello {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hello = Self {
            directory: TempDir::new().unwrap(),
            name: format!("stream-layered-load-{}-{number}", std::process::id()),
        };
        let example = crate::support::program::repository().join("tests/hello");
        let mut copy = Command::new("cp");
        succeed(
            copy.arg("-r")
                .arg(example.join("store"))
                .arg(hello.directory.path()),
        );
        fs::copy(example.join("closure.json"), hello.closure()).unwrap();
        hello.change(GREETING, &format!("I am {}\n", hello.name));
        hello.change(APP, &hello.name);
        hello
    }

    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn closure(&self) -> PathBuf {
        self.directory.path().join("closure.json")
    }

    fn file(&self, path: &str) -> PathBuf {
        let file = if path == APP {
            "bin/hello"
        } else {
            "share/greeting"
        };
        let store = self.directory.path().join("store/nix/store");
        store.join(path).join(file)
    }

    /// Adds to a store path's file, and says in the closure that it is another one.
    pub fn change(&self, path: &str, text: &str) {
        self.append(path, text.as_bytes());
        let closure = fs::read_to_string(self.closure()).unwrap();
        let mut paths: serde_json::Value = serde_json::from_str(&closure).unwrap();
        for info in paths.as_array_mut().unwrap() {
            if info["path"].as_str().unwrap().ends_with(path) {
                let hash = crate::support::program::sha256(&self.file(path));
                info["narHash"] = format!("sha256:{hash}").into();
            }
        }
        fs::write(self.closure(), paths.to_string()).unwrap();
    }

    fn append(&self, path: &str, bytes: &[u8]) {
        let file = self.file(path);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let mut file = File::options().append(true).open(file).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// `COMMAND` of the image, with the name and this tag.
    pub fn program(&self, command: &str, tag: &str) -> Command {
        let mut program = stream_layered();
        let of = self.directory.path();
        program.args([command, "--strategy", "popularity", "-t"]);
        program.arg(format!("{}:{tag}", self.name));
        program.arg("--store").arg(of.join("store"));
        program.arg("--closure").arg(self.closure());
        program.env("STREAM_LAYERED_CACHE", of.join("cache"));
        program.arg(format!("/nix/store/{APP}"));
        program
    }

    fn load(&self, engine: &Engine, tag: &str) -> Report {
        let mut load = self.load_command(engine.host(), tag);
        engine.put_client_on_path(&mut load);
        Report::new(&load.output().unwrap())
    }

    fn load_command(&self, host: &str, tag: &str) -> Command {
        let mut program = self.program("load", tag);
        program.env_remove("CONTAINER_HOST");
        if let Some(address) = host.strip_prefix("containerd://") {
            program.args(["--engine", "containerd"]);
            program.env("CONTAINERD_ADDRESS", address);
            program.env("CONTAINERD_NAMESPACE", NAMESPACE);
        } else {
            program.env("DOCKER_HOST", host);
        }
        program
    }

    /// The id that `stream` gives.
    pub fn streamed_id(&self) -> String {
        let output = self.program("stream", "1").output().unwrap();
        let text = stderr(&output);
        let id = text.lines().find(|line| line.starts_with("sha256:"));
        id.unwrap_or_else(|| panic!("no id: {text}")).to_owned()
    }

    pub fn reference(&self, tag: &str) -> String {
        format!("{}:{tag}", self.name)
    }
}

/// What `load` said.
pub struct Report {
    pub id: String,
    pub present: usize,
    pub sent: usize,
    pub text: String,
}

impl Report {
    pub fn new(output: &Output) -> Self {
        let text = stderr(output);
        assert!(output.status.success(), "{text}");
        let last = text.lines().last().unwrap();
        let numbers = last.split(' ').filter_map(|word| word.parse().ok());
        let numbers: Vec<usize> = numbers.take(2).collect();
        Self {
            id: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            present: numbers[0],
            sent: numbers[1],
            text,
        }
    }
}

/// Loads, loads again, changes the application and loads; `above` layers stand above it and count
/// as changed as well.
fn loads_only_what_changed(engine: &Engine, above: usize) -> Hello {
    let hello = Hello::new();
    let first = hello.load(engine, "1");
    assert!(first.sent >= 2, "{}", first.text);
    assert_eq!(first.present + first.sent, 3);
    assert_eq!(first.id, hello.streamed_id());
    let again = hello.load(engine, "1");
    assert_eq!((again.present, again.sent), (3, 0), "{}", again.text);
    assert_eq!(again.id, first.id);
    // Another name is no reason to send anything.
    assert_eq!(hello.load(engine, "other").sent, 0);
    hello.change(APP, "changed");
    // What is known and there is not read: the greeting would have another length.
    hello.append(GREETING, b"and nobody reads this");
    let changed = hello.load(engine, "2");
    assert_eq!(
        (changed.present, changed.sent),
        (2 - above, 1 + above),
        "{}",
        changed.text
    );
    assert!(!changed.text.contains("seemed to have"), "{}", changed.text);
    assert_ne!(changed.id, first.id);
    hello
}

pub fn says_hello(engine: &Engine, hello: &Hello, tag: &str) {
    let words = ["run", "--rm", "--network", "none", &hello.reference(tag)];
    let said = engine.run(&words);
    assert!(said.ends_with(&format!("I am {}\n", hello.name)), "{said}");
}

#[needs(docker)]
#[test]
fn docker_takes_the_layers_from_the_changed_one_up() {
    let engine = Engine::docker();
    let hello = loads_only_what_changed(&engine, 1);
    for tag in ["1", "other", "2"] {
        says_hello(&engine, &hello, tag);
    }
    let id = engine.run(&[
        "image",
        "inspect",
        "--format",
        "{{.Id}}",
        &hello.reference("1"),
    ]);
    let other = engine.run(&[
        "image",
        "inspect",
        "--format",
        "{{.Id}}",
        &hello.reference("other"),
    ]);
    assert_eq!(id, other);
    remove(&engine, &hello, &["1", "other", "2"]);
}

#[needs(docker_on_containerd)]
#[test]
fn containerds_store_takes_the_changed_layer() {
    let engine = Engine::docker_on_containerd();
    let hello = loads_only_what_changed(&engine, 0);
    for tag in ["1", "other", "2"] {
        says_hello(&engine, &hello, tag);
    }
    is_saved_whole(&engine, &hello.reference("2"));
    let all = engine.run(&["image", "ls", "--all"]);
    let own = format!("stream-layered-probe:{}-", std::process::id());
    assert!(!all.contains(&own), "{all}");
    remove(&engine, &hello, &["1", "other", "2"]);
}

#[needs(podman_socket)]
#[test]
fn podman_takes_the_changed_layer() {
    let engine = Engine::podman();
    let hello = loads_only_what_changed(&engine, 0);
    let format = ["image", "inspect", "--format", "{{.Id}} {{.RepoTags}}"];
    let image = engine.run(&[&format[..], &[&hello.reference("2")]].concat());
    assert!(
        image.contains(&format!("localhost/{}:2", hello.name)),
        "{image}"
    );
    remove(&engine, &hello, &["1", "other", "2"]);
}

#[needs(containerd)]
#[test]
fn containerd_takes_the_changed_layer() {
    takes_the_changed_layer_and_runs_it(&Engine::containerd());
}

#[needs(containerd_2)]
#[test]
fn containerd_2_takes_the_changed_layer() {
    takes_the_changed_layer_and_runs_it(&Engine::containerd_2());
}

fn takes_the_changed_layer_and_runs_it(engine: &Engine) {
    let hello = loads_only_what_changed(engine, 0);
    for tag in ["1", "other", "2"] {
        let name = format!("docker.io/library/{}", hello.reference(tag));
        runs_in_containerd(engine, &hello, tag);
        let status = engine.run(&["images", "check", &format!("name=={name}")]);
        assert!(status.contains("complete"), "{status}");
    }
    let names = engine.run(&["images", "ls", "-q"]);
    assert!(!names.contains(".invalid"), "{names}");
    let remove = |hello: &Hello, tag: &str| {
        let name = format!("docker.io/library/{}", hello.reference(tag));
        engine.run(&["images", "rm", "--sync", &name]);
    };
    for tag in ["1", "other", "2"] {
        remove(&hello, tag);
    }
    let other = Hello::new();
    let mut compressed = other.load_command(engine.host(), "zstd");
    engine.put_client_on_path(&mut compressed);
    compressed.args(["--compression", "zstd"]);
    let first = Report::new(&compressed.output().unwrap());
    assert!(
        first.sent >= 2,
        "all but the root, which other images have: {}",
        first.text
    );
    let again = Report::new(&compressed.output().unwrap());
    assert_eq!(again.sent, 0, "{}", again.text);
    runs_in_containerd(engine, &other, "zstd");
    remove(&other, "zstd");
    assert!(other.load(engine, "1").sent >= 2);
    remove(&other, "1");
    let again = other.load(engine, "1");
    assert!(again.sent >= 2, "what was there is gone: {}", again.text);
    remove(&other, "1");
}

/// On a busy machine, `ctr run` was seen to succeed without the container's output.
fn runs_in_containerd(engine: &Engine, hello: &Hello, tag: &str) {
    let name = format!("docker.io/library/{}", hello.reference(tag));
    let said = (0..3).map(|_| engine.run(&["run", "--rm", &name, &hello.name]));
    let said = said
        .into_iter()
        .find(|said| !said.is_empty())
        .unwrap_or_default();
    assert!(said.ends_with(&format!("I am {}\n", hello.name)), "{said}");
}

/// Who names an engine does not mean containerd, which runs beside most of them.
#[needs(containerd)]
#[test]
fn an_engine_that_is_named_and_does_not_answer_is_not_replaced_by_containerd() {
    let containerd = Engine::containerd();
    let hello = Hello::new();
    let mut load = hello.program("load", "1");
    load.env_remove("CONTAINER_HOST");
    load.env("DOCKER_HOST", "unix:///nobody/listens");
    let address = containerd.host().strip_prefix("containerd://").unwrap();
    load.env("CONTAINERD_ADDRESS", address);
    load.env("CONTAINERD_NAMESPACE", NAMESPACE);
    let error = fail(&mut load, 1);
    assert!(error.contains("/nobody/listens"), "{error}");
    let names = containerd.run(&["images", "ls", "-q"]);
    assert!(!names.contains(&hello.name), "{names}");
}

/// Compressed layers of a registry have other digests: the same layers, unpacked and ready to run,
/// make no whole image.
#[needs(docker, docker_on_containerd, registry)]
#[test]
fn an_image_over_one_from_a_registry_is_whole() {
    let classic = Engine::docker();
    let engine = Engine::docker_on_containerd();
    let registry = peer::setting("STREAM_LAYERED_TEST_REGISTRY");
    let mut hello = Hello::new();
    hello.name = format!("{registry}/{}", hello.name);
    hello.load(&classic, "1");
    classic.run(&["push", "--quiet", &hello.reference("1")]);
    engine.run(&["pull", "--quiet", &hello.reference("1")]);
    let loaded = hello.load(&engine, "2");
    assert!(loaded.sent >= 2, "{}", loaded.text);
    assert!(!loaded.text.contains("seemed to have"), "{}", loaded.text);
    is_saved_whole(&engine, &hello.reference("2"));
    engine.run(&["push", "--quiet", &hello.reference("2")]);
    remove(&classic, &hello, &["1"]);
    remove(&engine, &hello, &["1", "2"]);
}

/// What docker pushes after a load with compression is what `push` has pushed: it sends no layer again. What it
/// pulls is what `load` finds there.
#[needs(docker_on_containerd, registry)]
#[test]
fn compressed_layers_are_those_of_push() {
    let engine = Engine::docker_on_containerd();
    for compression in ["gzip", "zstd"] {
        let registry = Registry::find(&format!("compressed-{compression}"));
        let mut hello = Hello::new();
        hello.name = format!("{}/{}", registry.host, registry.repository);
        hello.change(APP, compression);
        let compressed = |command: &str, tag: &str| {
            let mut program = hello.program(command, tag);
            program
                .env("DOCKER_HOST", engine.host())
                .env_remove("CONTAINER_HOST");
            program.args(["--compression", compression]);
            program
        };
        let loaded = Report::new(&compressed("load", "1").output().unwrap());
        assert_eq!(loaded.sent, 3, "{}", loaded.text);
        assert!(!loaded.text.contains("docker push"), "{}", loaded.text);
        let mut push = stream_layered();
        push.args([
            "push",
            &registry.reference("pushed"),
            "--strategy",
            "popularity",
        ]);
        push.args(["--compression", compression, "--closure"])
            .arg(hello.closure());
        push.arg("--store")
            .arg(hello.directory.path().join("store"));
        succeed(push.arg(format!("/nix/store/{APP}")));
        let layers = |tag: &str| {
            let manifest = registry.manifest(tag).unwrap();
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            let layers = manifest["layers"].as_array().unwrap().iter();
            layers
                .map(|layer| layer["digest"].clone())
                .collect::<Vec<_>>()
        };
        let before = registry.requests().len();
        engine.run(&["push", "--quiet", &hello.reference("1")]);
        assert_eq!(layers("1"), layers("pushed"));
        let requests = registry.requests().split_off(before);
        // The configuration names no layer that `push` has not, but it is another image: no annotations.
        let sent = requests
            .iter()
            .filter(|request| request.contains("PUT") && request.contains("/blobs/uploads/"));
        assert_eq!(sent.count(), 0, "{requests:?}");
        remove(&engine, &hello, &["1"]);
        engine.run(&["pull", "--quiet", &hello.reference("pushed")]);
        let loaded = Report::new(&compressed("load", "2").output().unwrap());
        assert_eq!(loaded.sent, 0, "{}", loaded.text);
        is_saved_whole(&engine, &hello.reference("2"));
        remove(&engine, &hello, &["pushed", "2"]);
    }
}

/// An engine that unpacks what it is sent is sent it without compression.
#[needs(docker)]
#[test]
fn compression_is_for_engines_that_keep_blobs() {
    let (engine, hello) = (Engine::docker(), Hello::new());
    let mut load = hello.load_command(engine.host(), "1");
    let loaded = Report::new(&load.args(["--compression", "zstd"]).output().unwrap());
    assert_eq!(loaded.id, hello.streamed_id());
    says_hello(&engine, &hello, "1");
    remove(&engine, &hello, &["1"]);
}

/// Every layer that the saved image names is there.
fn is_saved_whole(engine: &Engine, reference: &str) {
    let directory = TempDir::new().unwrap();
    let archive = directory.path().join("image.tar");
    engine.run(&["save", "--output", archive.to_str().unwrap(), reference]);
    let tar = |words: &[&str]| {
        let mut tar = Command::new("tar");
        succeed(tar.arg("--file").arg(&archive).args(words))
    };
    let manifest = tar(&["--extract", "--to-stdout", "manifest.json"]);
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let members = String::from_utf8(tar(&["--list"])).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let layer = layer.as_str().unwrap();
        assert!(members.lines().any(|member| member == layer), "{layer}");
    }
}

pub fn remove(engine: &Engine, hello: &Hello, tags: &[&str]) {
    let names: Vec<String> = tags.iter().map(|tag| hello.reference(tag)).collect();
    let mut words = vec!["rmi", "--force"];
    words.extend(names.iter().map(String::as_str));
    engine.run(&words);
}

/// Between the question what is there and the sending of the rest, others may remove an image.
#[needs(docker)]
#[test]
fn everything_is_sent_where_an_image_is_removed_meanwhile() {
    let engine = Engine::docker();
    let hello = Hello::new();
    hello.load(&engine, "1");
    hello.change(APP, "changed");
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let path = engine.host().strip_prefix("unix://").unwrap().to_owned();
    let name = hello.reference("1");
    let before_load = engine.command(&["rmi", "--force", &name]);
    thread::spawn(move || pass_on(&listener, &path, before_load));
    let host = format!("unix://{}", socket.display());
    let loaded = Report::new(&hello.load_command(&host, "2").output().unwrap());
    assert!(loaded.text.contains("all are sent"), "{}", loaded.text);
    assert_eq!((loaded.present, loaded.sent), (0, 3), "{}", loaded.text);
    says_hello(&engine, &hello, "2");
    remove(&engine, &hello, &["2"]);
}

/// Passes connections on to an engine; before the first image is loaded, `command` is run.
fn pass_on(listener: &UnixListener, path: &str, mut command: Command) {
    let mut is_first = true;
    for client in listener.incoming() {
        let mut client = client.unwrap();
        let mut engine = UnixStream::connect(path).unwrap();
        let mut start = [0; 17];
        client.read_exact(&mut start).unwrap();
        if start == *b"POST /images/load" && is_first {
            is_first = false;
            succeed(&mut command);
        }
        engine.write_all(&start).unwrap();
        let ends = (client.try_clone().unwrap(), engine.try_clone().unwrap());
        thread::spawn(move || copy(ends.0, ends.1));
        thread::spawn(move || copy(engine, client));
    }
}

/// Copies until one end is closed; either may go first.
fn copy(mut from: UnixStream, mut to: UnixStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn an_engine_that_is_not_there_is_named() {
    let hello = Hello::new();
    let mut command = hello.load_command("unix:///there/is/none.sock", "1");
    let line = fail(&mut command, 1);
    assert!(
        line.contains("DOCKER_HOST=/there/is/none.sock: not there"),
        "{line}"
    );
    assert!(line.contains("start one"), "{line}");
}

/// An engine whose disk is full says so at once, and takes no more.
#[test]
fn an_answer_before_the_end_is_told() {
    let hello = Hello::new();
    hello.append(GREETING, &vec![0; 16 << 20]);
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut start = [0; 300];
            let count = client.read(&mut start).unwrap();
            let request = String::from_utf8_lossy(&start[..count]).into_owned();
            let (status, body) = if request.starts_with("POST /images/load") {
                (
                    "500 Internal Server Error",
                    r#"{"message":"no space left on device"}"#,
                )
            } else if request.starts_with("GET /images/json") {
                ("200 OK", "[]")
            } else if request.starts_with("GET /images/") {
                ("404 Not Found", r#"{"message":"No such image"}"#)
            } else {
                ("200 OK", "{}")
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    let host = format!("unix://{}", socket.display());
    let line = fail(&mut hello.load_command(&host, "1"), 1);
    assert!(line.ends_with("says: no space left on device"), "{line}");
}

/// The image has a name of this run's own while containerd unpacks it.
#[test]
fn a_load_that_is_stopped_removes_its_temporary_name() {
    let hello = Hello::new();
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name);
    // A client of containerd that takes the image, and does not come to an end.
    let script = format!(
        "#!/bin/sh\n\
         cd {}\n\
         echo \"$@\" >> log\n\
         case \"$*\" in\n\
         *' import '*)\n\
             cat > archive\n\
             grep -a -o -m 1 'stream-layered.invalid/loading:[0-9a-z-]*' archive | head -n 1 > name\n\
             mv name names\n\
             exec sleep 20 ;;\n\
         *' images ls -q') cat names ;;\n\
         esac\n",
        directory.path().display()
    );
    let _containerd = UnixListener::bind(file("c.sock")).unwrap();
    fs::write(file("ctr"), script).unwrap();
    fs::set_permissions(file("ctr"), fs::Permissions::from_mode(0o755)).unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        let address = format!("containerd://{}", file("c.sock").display());
        let mut load = hello.load_command(&address, "1");
        let path = std::env::var("PATH").unwrap();
        load.env("PATH", format!("{}:{path}", directory.path().display()));
        let mut load = load.stderr(Stdio::null()).spawn().unwrap();
        while !file("names").exists() {
            assert!(load.try_wait().unwrap().is_none(), "it ended by itself");
            thread::sleep(Duration::from_millis(20));
        }
        let name = fs::read_to_string(file("names")).unwrap();
        assert!(name.contains(&format!("-{}-", load.id())), "{name}");
        kill_process(Pid::from_child(&load), signal).unwrap();
        let status = load.wait().unwrap();
        assert_eq!(status.code(), None, "it ends by the signal");
        let log = fs::read_to_string(file("log")).unwrap();
        let last = log.lines().last().unwrap();
        assert!(
            last.ends_with(&format!("images remove {}", name.trim())),
            "{log}"
        );
        fs::remove_file(file("names")).unwrap();
    }
}

/// Loads images and kills the program at points that are spread over a load's time; the next load
/// leaves neither an image without a name nor a temporary name of them.
fn killed_loads_leave_nothing(engine: &Engine) {
    const KILLS: u32 = 10;
    let hello = Hello::new();
    let label = format!("of={}", hello.name);
    let next = |tag: &str| {
        hello.change(GREETING, tag);
        let mut load = hello.load_command(engine.host(), tag);
        engine.put_client_on_path(&mut load);
        load.args(["--label", &label]).stderr(Stdio::null());
        load.stdout(Stdio::null());
        load
    };
    let start = Instant::now();
    assert!(next("first").status().unwrap().success());
    let time = start.elapsed();
    let mut killed = Vec::new();
    for number in 0..KILLS {
        let mut load = next(&number.to_string()).spawn().unwrap();
        thread::sleep(time * number / KILLS);
        let _ = load.kill();
        load.wait().unwrap();
        killed.push(format!("-{}-", load.id()));
    }
    let is_containerd = engine.host().starts_with("containerd:");
    let left = || {
        let names = if is_containerd {
            engine.run(&["images", "ls", "-q"])
        } else {
            let format = ["--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
            let own = format!("label={label}");
            let own = engine.run(&[&["images", "--filter", &own], &format[..]].concat());
            engine.run(&[&["images"], &format[..]].concat()) + &own.replace("<none>", "OWN")
        };
        let is_left = |name: &&str| {
            name.starts_with("OWN") || killed.iter().any(|process| name.contains(process))
        };
        let left: Vec<String> = names.lines().filter(is_left).map(str::to_owned).collect();
        left
    };
    // The engine may still be at work on what it has.
    for number in 0..30 {
        let mut last = next(&format!("last-{number}"));
        assert!(last.status().unwrap().success());
        if left().is_empty() {
            break;
        }
    }
    assert_eq!(left(), [""; 0]);
    let ids = if is_containerd {
        let names = engine.run(&["images", "ls", "-q"]);
        let own = |name: &&str| name.contains(&hello.name);
        names.lines().filter(own).map(str::to_owned).collect()
    } else {
        let ids = engine.run(&["images", "--quiet", "--filter", &format!("label={label}")]);
        let ids: BTreeSet<String> = ids.lines().map(str::to_owned).collect();
        ids
    };
    for id in ids {
        let remove: &[&str] = if is_containerd {
            &["images", "rm", &id]
        } else {
            &["rmi", "--force", &id]
        };
        engine.run(remove);
    }
}

#[needs(docker)]
#[test]
fn loads_into_docker_that_are_killed_leave_nothing() {
    killed_loads_leave_nothing(&Engine::docker());
}

#[needs(docker_on_containerd)]
#[test]
fn loads_into_dockers_containerd_store_that_are_killed_leave_nothing() {
    killed_loads_leave_nothing(&Engine::docker_on_containerd());
}

#[needs(podman_socket)]
#[test]
fn loads_into_podman_that_are_killed_leave_nothing() {
    killed_loads_leave_nothing(&Engine::podman());
}

#[needs(containerd_2)]
#[test]
fn loads_into_containerd_that_are_killed_leave_nothing() {
    killed_loads_leave_nothing(&Engine::containerd_2());
}
