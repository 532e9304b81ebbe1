//! A Docker Engine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::peer;
use crate::support::program::stderr;

/// An engine, and the client to talk to it.
pub struct Docker {
    client: PathBuf,
    host: String,
}

impl Docker {
    /// The engine that is to be tested with.
    pub fn find() -> Option<Self> {
        Self::at("STREAM_LAYERED_TEST_DOCKER_HOST", "a Docker Engine")
    }

    /// A newer one, which keeps images in containerd.
    pub fn find_newer() -> Option<Self> {
        Self::at(
            "STREAM_LAYERED_TEST_CONTAINERD_DOCKER_HOST",
            "a newer Docker Engine",
        )
    }

    fn at(variable: &str, name: &str) -> Option<Self> {
        Some(Self {
            client: peer::program("STREAM_LAYERED_TEST_DOCKER", "docker")?,
            host: peer::setting(variable, name)?,
        })
    }

    /// Where the engine listens.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// An image that is there already; it is removed when this is dropped.
    pub fn image(&self, name: &str) -> Loaded<'_> {
        Loaded {
            docker: self,
            name: name.to_owned(),
            reference: name.to_owned(),
        }
    }

    /// Loads an archive in a file, as `docker load < FILE` does.
    pub fn load(&self, archive: &Path) -> Loaded<'_> {
        self.loaded(
            self.client()
                .arg("load")
                .stdin(File::open(archive).unwrap()),
        )
    }

    /// Loads what a program writes, as `PROGRAM | docker load` does.
    pub fn load_from(&self, program: &Path) -> Loaded<'_> {
        let mut stream = Command::new(program)
            .arg("-q")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = stream.stdout.take().unwrap();
        let loaded = self.loaded(self.client().arg("load").stdin(pipe));
        assert!(stream.wait().unwrap().success());
        loaded
    }

    /// The same under another name, for an image that shares its own with others.
    pub fn load_as(&self, program: &Path, name: &str) -> Loaded<'_> {
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
        let output = self.client().args(["pull", name]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let removed = self.client().args(["rmi", "-f", name]).output().unwrap();
        assert!(removed.status.success(), "{}", stderr(&removed));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The image that a `docker load` loads. Other tests may load another under the same name, so
    /// that it is given one of its own before they can, and loses that of the archive.
    fn loaded(&self, load: &mut Command) -> Loaded<'_> {
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
        self::text(self.client().args(["tag", &name, &reference]));
        self::text(self.client().args(["rmi", "--no-prune", &name]));
        Loaded {
            docker: self,
            name,
            reference,
        }
    }

    fn client(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.env("DOCKER_HOST", &self.host);
        command
    }
}

/// An image in the engine, which is removed when it is dropped.
pub struct Loaded<'a> {
    docker: &'a Docker,
    /// The name and tag that it came with.
    pub name: String,
    /// Those that it has in the engine.
    reference: String,
}

impl Loaded<'_> {
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
        let mut client = self.docker.client();
        client
            .args(["run", "--rm", "--network", "none"])
            .args(options);
        client.arg(&self.reference).args(command).output().unwrap()
    }

    /// Starts a container.
    pub fn start(&self, options: &[&str]) -> Container<'_> {
        let mut client = self.docker.client();
        client
            .args(["run", "--detach", "--network", "none"])
            .args(options)
            .arg(&self.reference);
        let output = client.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Container {
            docker: self.docker,
            id,
        }
    }

    /// What the engine knows of the image.
    pub fn inspect(&self) -> Value {
        let output = self
            .docker
            .client()
            .args(["image", "inspect", &self.reference])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let mut list: Value = serde_json::from_slice(&output.stdout).unwrap();
        list[0].take()
    }

    /// What `docker COMMAND IMAGE` prints.
    pub fn ask(&self, command: &[&str]) -> String {
        let output = self
            .docker
            .client()
            .args(command)
            .arg(&self.reference)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        let _ = self
            .docker
            .client()
            .args(["rmi", "--no-prune", &self.reference])
            .output();
    }
}

/// A running container, which is removed when it is dropped.
pub struct Container<'a> {
    docker: &'a Docker,
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
        self.docker
            .client()
            .arg("exec")
            .arg(&self.id)
            .args(command)
            .output()
            .unwrap()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self
            .docker
            .client()
            .args(["rm", "--force", &self.id])
            .output();
    }
}

/// What a command prints, which must succeed.
fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}
