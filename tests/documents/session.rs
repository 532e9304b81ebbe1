//! A user's shell in which the commands of a page run, from first to last, in one directory.
//!
//! Programs are the peers. What pages name stands for something here: `registry.example` for a
//! repository of the registry, `cache.example` for the example's binary cache, the project's flake for this
//! repository, and `./result` for an application with a small closure, whose previous version the
//! engine and the registry have.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::page::Page;
use crate::nix::flake;
use crate::support::program::repository;
use crate::support::{engine::Engine, peer};

/// The application's closure. Its contents are new for each session, so that no engine has them.
const APPLICATION: &str = r#"
{ session }:
let
  package = name: size: references: derivation {
    inherit name session references;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    args = [ "-c" ''
      PATH=/usr/bin:/bin
      mkdir -p $out/share
      echo "$references" > $out/share/references
      yes "$session $name" | head -c ${toString size} > $out/share/data
      case $name in my-app-*) mkdir $out/bin; echo '#!/bin/sh' > $out/bin/my-app; chmod +x $out/bin/my-app;; esac
    '' ];
  };
  libc = package "libc-2.40" 400000 [ ];
  openssl = package "openssl-3.0.1" 300000 [ libc ];
  fonts = package "fonts-1" 200000 [ ];
  jre = package "default-jre-headless-1.17-74" 2000 [ libc ];
  app = version: package "my-app-${version}" 100000 [ openssl fonts jre ];
in
{ old = app "1.1"; new = app "1.2"; }
"#;

/// The shell.
pub struct Session {
    directory: TempDir,
    /// What pages write, and what that is here.
    stands_for: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    /// Images that are to be removed from the engine.
    images: Vec<String>,
    /// Held because images of other tests have the same names.
    _one_by_one: File,
}

impl Session {
    /// Everything that a page uses.
    pub fn of(page: &Page) -> Self {
        let mut session = Self::start();
        let has_application = page.runs("./result") && !page.runs("nix build");
        if page.runs("docker ") || page.runs("stream-layered load") || page.runs("-- load") {
            let client = peer::program("STREAM_LAYERED_TEST_DOCKER");
            // Containers of tests have no network.
            session.program(
                "docker",
                &format!(
                    "if [ \"$1\" = run ]; then shift; set -- run --network none \"$@\"; fi\nexec {} \"$@\"",
                    client.display()
                ),
            );
            session.set("DOCKER_HOST", Engine::docker().host());
            session.images = vec!["my-app:latest".to_owned(), "hello:latest".to_owned()];
        }
        if page.runs("nix ") || has_application {
            let nix = peer::program("STREAM_LAYERED_TEST_NIX");
            let nixpkgs = format!("path:{}", flake::package_set().display());
            let ours = flake::repository();
            session.program(
                "nix",
                &format!(
                    "verb=$1\nshift\nexec {} \"$verb\" --no-write-lock-file --override-input nixpkgs {nixpkgs} \
                     --override-input stream-layered {ours} \
                     --override-input stream-layered/nixpkgs {nixpkgs} \"$@\"",
                    nix.display()
                ),
            );
        }
        if page.runs("skopeo ") {
            let skopeo = peer::program("STREAM_LAYERED_TEST_SKOPEO");
            session.program("skopeo", &format!("exec {} \"$@\"", skopeo.display()));
        }
        if page.runs("registry.example") {
            let registry = peer::setting("STREAM_LAYERED_TEST_REGISTRY");
            let own = format!("{registry}/{}/", session.name());
            session.stands("registry.example/", &own);
        }
        if has_application {
            session.make_application(page);
        }
        session
    }

    fn start() -> Self {
        let lock = File::create(std::env::temp_dir().join("stream-layered-tests.lock")).unwrap();
        lock.lock().unwrap();
        let mut session = Self {
            directory: TempDir::new().unwrap(),
            stands_for: Vec::new(),
            variables: Vec::new(),
            images: Vec::new(),
            _one_by_one: lock,
        };
        fs::create_dir(session.path("bin")).unwrap();
        fs::create_dir(session.work()).unwrap();
        symlink(repository().join("nix"), session.work().join("nix")).unwrap();
        let ours = env!("CARGO_BIN_EXE_stream-layered");
        session.program("stream-layered", &format!("exec {ours} \"$@\""));
        // The tests are what runs here.
        session.program(
            "cargo",
            "case \"$1 $2 $3\" in\n'run --release --') shift 3; exec stream-layered \"$@\";;\n'test --workspace ') ;;\n\
             *) echo \"not tested: cargo $*\"; exit 1;;\nesac",
        );
        let cache = session.path("cache").display().to_string();
        session.set("STREAM_LAYERED_CACHE", &cache);
        let example = repository().join("nix/examples/hello");
        let place = format!("file://{}", example.join("cache").display());
        session.stands("https://cache.example", &place);
        let key = fs::read_to_string(example.join("trusted-key")).unwrap();
        session.stands("cache.example-1:BASE64", key.trim());
        session.stands("github:stream-layered/stream-layered", &flake::repository());
        session
    }

    /// Builds the application; the engine and the registry get its previous version.
    fn make_application(&mut self, page: &Page) {
        fs::write(self.path("app.nix"), APPLICATION).unwrap();
        let build = format!(
            "nix-build ../app.nix --argstr session {} -A old -o old && nix-build ../app.nix --argstr session {} -A new",
            self.name(),
            self.name()
        );
        self.succeed(&build);
        if page.runs("docker load") || page.runs("load ./result") {
            let id = self.succeed("stream-layered load -q ./old");
            self.images.push(id.trim().to_owned());
        }
        if page.runs("registry.example") {
            self.succeed("stream-layered push registry.example/team/app:v1 ./old");
            self.succeed("stream-layered push registry.example/base:v1 ./old");
        }
        self.succeed("rm old");
        if page.runs("result-api") {
            self.succeed("ln -s result result-api; ln -s result result-web");
        }
    }

    /// Runs commands; gives whether they succeeded, and what they printed.
    pub fn run(&self, commands: &str) -> (bool, String) {
        let mut text = commands.to_owned();
        for (written, here) in &self.stands_for {
            text = text.replace(written, here);
        }
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{text}")])
            .current_dir(self.work())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .envs(self.variables.iter().cloned())
            .env_remove("NIX_BUILD_CORES")
            .output()
            .unwrap();
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        for (written, here) in &self.stands_for {
            printed = printed.replace(here, written);
        }
        (output.status.success(), printed)
    }

    fn succeed(&self, commands: &str) -> String {
        let (succeeded, printed) = self.run(commands);
        assert!(succeeded, "{commands}\n{printed}");
        printed
    }

    /// The directory that commands run in.
    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Of this session alone.
    fn name(&self) -> String {
        let name = self.directory.path().file_name().unwrap();
        let name = name.to_str().unwrap().to_lowercase();
        format!("documents-{}", name.trim_start_matches(".tmp"))
    }

    fn program(&self, name: &str, script: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn set(&mut self, variable: &str, value: &str) {
        self.variables.push((variable.to_owned(), value.to_owned()));
    }

    fn stands(&mut self, written: &str, here: &str) {
        self.stands_for.push((written.to_owned(), here.to_owned()));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.work().join("flake.nix").exists() {
            let (_, tag) = self.run("nix eval --raw .#docker.imageTag 2>&-");
            self.images.push(format!("hello:{tag}"));
        }
        for image in &self.images {
            self.run(&format!("docker rmi -f {image}"));
        }
    }
}

/// What a block of Nix means: a flake is written into the session's directory, the lines that add
/// the overlay are evaluated.
pub fn take_nix(session: &Session, text: &str) {
    if text.starts_with('{') {
        fs::write(session.work().join("flake.nix"), text).unwrap();
        return;
    }
    let expression = overlay_expression(text, &repository());
    let file = session.work().join("overlay.nix");
    fs::write(&file, expression).unwrap();
    let (succeeded, printed) = session.run("nix-instantiate --eval overlay.nix");
    assert!(succeeded && printed.contains("true"), "{text}\n{printed}");
}

fn overlay_expression(text: &str, repository: &Path) -> String {
    let repository = repository.display();
    format!(
        "let\n  system = builtins.currentSystem;\n  nixpkgs = {repository}/tests/nixpkgs;\n  \
         stream-layered.overlays.default = import {repository}/nix/overlay.nix;\n{text}in\n\
         (pkgs.dockerTools.streamLayeredImage {{ name = \"x\"; }}) ? load\n"
    )
}
