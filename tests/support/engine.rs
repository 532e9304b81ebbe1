//! Engines that run, each with a client to talk to it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::peer;
use crate::support::program::{stderr, succeed};

/// Of containerd, for these tests.
pub const NAMESPACE: &str = "stream-layered-test";

/// An engine, and the client to talk to it.
pub struct Engine {
    client: PathBuf,
    host: String,
}

impl Engine {
    /// Docker with its own store.
    pub fn docker() -> Self {
        Self {
            client: peer::program("STREAM_LAYERED_TEST_DOCKER"),
            host: peer::setting("STREAM_LAYERED_TEST_DOCKER_HOST"),
        }
    }

    /// A newer Docker, which keeps images in containerd's store.
    pub fn docker_on_containerd() -> Self {
        Self {
            client: peer::program("STREAM_LAYERED_TEST_DOCKER"),
            host: peer::setting("STREAM_LAYERED_TEST_CONTAINERD_DOCKER_HOST"),
        }
    }

    /// The API of podman.
    pub fn podman() -> Self {
        Self {
            client: peer::program("STREAM_LAYERED_TEST_PODMAN"),
            host: peer::setting("STREAM_LAYERED_TEST_PODMAN_HOST"),
        }
    }

    /// containerd by itself.
    pub fn containerd() -> Self {
        let address = peer::setting("STREAM_LAYERED_TEST_CONTAINERD");
        Self {
            client: "ctr".into(),
            host: format!("containerd://{address}"),
        }
    }

    /// A newer containerd, with a `ctr` of its own.
    pub fn containerd_2() -> Self {
        let address = peer::setting("STREAM_LAYERED_TEST_CONTAINERD_2");
        Self {
            client: peer::program("STREAM_LAYERED_TEST_CONTAINERD_2_CTR"),
            host: format!("containerd://{address}"),
        }
    }

    /// Lets a program find this engine's own `ctr` first.
    pub fn put_client_on_path(&self, program: &mut Command) {
        let directory = self.client.parent().filter(|path| path.is_absolute());
        if let (true, Some(directory)) = (self.client.ends_with("ctr"), directory) {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path = std::env::split_paths(&path);
            let path = std::env::join_paths([directory.to_owned()].into_iter().chain(path));
            program.env("PATH", path.unwrap());
        }
    }

    /// Tells the program which engine is meant.
    pub fn name_to(&self, program: &mut Command) {
        program.env_remove("CONTAINER_HOST");
        if let Some(address) = self.host.strip_prefix("containerd://") {
            program.args(["--engine", "containerd"]);
            program.env("CONTAINERD_ADDRESS", address);
            program.env("CONTAINERD_NAMESPACE", NAMESPACE);
        } else {
            program.env("DOCKER_HOST", &self.host);
        }
        self.put_client_on_path(program);
    }

    /// Removes an image.
    pub fn remove(&self, name: &str) {
        if self.host.starts_with("containerd://") {
            self.run(&["images", "rm", &format!("docker.io/library/{name}")]);
        } else {
            self.run(&["rmi", "-f", name]);
        }
    }

    /// Where the engine listens.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A command of the engine's client.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        if self.client.ends_with("podman") {
            command.args(["--remote", "--url", &self.host]);
        } else if let Some(address) = self.host.strip_prefix("containerd://") {
            command.args(["--address", address, "--namespace", NAMESPACE]);
        } else {
            command.args(["--host", &self.host]);
        }
        command.args(words);
        command
    }

    /// What a command of the client prints, which must succeed.
    pub fn run(&self, words: &[&str]) -> String {
        text(&mut self.command(words))
    }

    /// An image that is there already; it is removed when this is dropped.
    pub fn image(&self, name: &str) -> LoadedImage<'_> {
        LoadedImage {
            engine: self,
            name: name.to_owned(),
            reference: name.to_owned(),
        }
    }

    /// Loads an archive in a file, as `docker load < FILE` does.
    pub fn load(&self, archive: &Path) -> LoadedImage<'_> {
        self.loaded(self.command(&["load"]).stdin(File::open(archive).unwrap()))
    }

    /// Loads what a program writes, as `PROGRAM | docker load` does.
    pub fn load_from(&self, program: &Path) -> LoadedImage<'_> {
        let mut stream = Command::new(program)
            .arg("-q")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = stream.stdout.take().unwrap();
        let loaded = self.loaded(self.command(&["load"]).stdin(pipe));
        assert!(stream.wait().unwrap().success());
        loaded
    }

    /// The same under another name, for an image that shares its own with others.
    pub fn load_as(&self, program: &Path, name: &str) -> LoadedImage<'_> {
        let output = Command::new(program)
            .args(["-q", "-t", name])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let temporary = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temporary.path(), output.stdout).unwrap();
        self.load(temporary.path())
    }

    /// Pulls an image, and takes it away again; gives what the engine said.
    pub fn pull(&self, name: &str) -> String {
        let said = self.run(&["pull", name]);
        self.run(&["rmi", "-f", name]);
        said
    }

    /// The image that a `docker load` loads. Other tests may load another under the same name, so
    /// that it is given one of its own before they can, and loses that of the archive.
    fn loaded(&self, load: &mut Command) -> LoadedImage<'_> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let one_by_one = File::create(std::env::temp_dir().join("stream-layered-tests.lock"));
        let one_by_one = one_by_one.unwrap();
        one_by_one.lock().unwrap();
        let text = text(load);
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("Loaded image: "));
        let name = name.unwrap_or_else(|| panic!("{text}")).to_owned();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let reference = format!("stream-layered-test:{}-{count}", std::process::id());
        self.run(&["tag", &name, &reference]);
        self.run(&["rmi", "--no-prune", &name]);
        LoadedImage {
            engine: self,
            name,
            reference,
        }
    }
}

/// An image in the engine, which is removed when it is dropped.
pub struct LoadedImage<'a> {
    engine: &'a Engine,
    /// The name and tag that it came with.
    pub name: String,
    /// Those that it has in the engine.
    reference: String,
}

impl LoadedImage<'_> {
    /// Runs a container; gives what it prints.
    pub fn run(&self, options: &[&str], command: &[&str]) -> String {
        let output = self.try_run(options, command);
        assert!(
            output.status.success(),
            "{}: {}",
            self.name,
            stderr(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a container, which may fail.
    pub fn try_run(&self, options: &[&str], command: &[&str]) -> Output {
        let mut run = self.engine.command(&["run", "--rm", "--network", "none"]);
        run.args(options).arg(&self.reference).args(command);
        run.output().unwrap()
    }

    /// Starts a container.
    pub fn start(&self, options: &[&str]) -> Container<'_> {
        let words = ["run", "--detach", "--network", "none"];
        let mut run = self.engine.command(&words);
        let id = text(run.args(options).arg(&self.reference));
        Container {
            engine: self.engine,
            id: id.trim().to_owned(),
        }
    }

    /// Saves the image to a file.
    pub fn save(&self, archive: &Path) {
        let mut save = self.engine.command(&["save", "-o"]);
        text(save.arg(archive).arg(&self.reference));
    }

    /// What the engine knows of the image.
    pub fn inspect(&self) -> Value {
        let list = self.ask(&["image", "inspect"]);
        let mut list: Value = serde_json::from_str(&list).unwrap();
        list[0].take()
    }

    /// What `docker COMMAND IMAGE` prints.
    pub fn ask(&self, command: &[&str]) -> String {
        text(self.engine.command(command).arg(&self.reference))
    }
}

impl Drop for LoadedImage<'_> {
    fn drop(&mut self) {
        let words = ["rmi", "--no-prune", &self.reference];
        let _ = self.engine.command(&words).output();
    }
}

/// A running container, which is removed when it is dropped.
pub struct Container<'a> {
    engine: &'a Engine,
    id: String,
}

impl Container<'_> {
    /// Runs a command in it.
    pub fn exec(&self, command: &[&str]) -> String {
        let output = self.try_exec(command);
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command in it until it succeeds, for a server that is still starting.
    pub fn until(&self, command: &[&str]) -> String {
        let mut output = self.try_exec(command);
        for _ in 0..50 {
            if output.status.success() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            output = self.try_exec(command);
        }
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn try_exec(&self, command: &[&str]) -> Output {
        let mut exec = self.engine.command(&["exec", &self.id]);
        exec.args(command).output().unwrap()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let words = ["rm", "--force", &self.id];
        let _ = self.engine.command(&words).output();
    }
}

/// What a command prints, which must succeed.
fn text(command: &mut Command) -> String {
    String::from_utf8(succeed(command)).unwrap()
}
