//! The flake, and those of `nix/examples`, as people use them; nixpkgs alone is replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use test_peers::needs;

use super::archive::Archive;
use super::{Nix, program, stderr};
use crate::support::engine::Engine;
use crate::support::program::stream_layered;

/// The repository as a flake. What git does not know is not in it.
pub fn repository() -> String {
    format!(
        "git+file://{}",
        crate::support::program::repository().display()
    )
}

/// The package set that stands for nixpkgs, with the program in it.
pub fn package_set() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nixpkgs");
        let original = crate::support::program::repository().join("tests/nixpkgs");
        let _ = fs::remove_dir_all(&copy);
        let status = Command::new("cp")
            .arg("-r")
            .arg(original)
            .arg(&copy)
            .status();
        assert!(status.unwrap().success());
        fs::copy(program(), copy.join("program")).unwrap();
        copy
    })
}

impl Nix {
    fn flake(&self, words: &[&str]) -> Output {
        let mut command = self.command();
        command.args(words).arg("--no-write-lock-file");
        let nixpkgs = format!("path:{}", package_set().display());
        command.args(["--override-input", "nixpkgs", &nixpkgs]);
        command.output().unwrap()
    }

    fn flake_succeeds(&self, words: &[&str]) -> String {
        let output = self.flake(words);
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn build_flake(&self, flake: &str, more: &[&str]) -> PathBuf {
        let mut words = vec!["build", flake, "--no-link", "--json"];
        words.extend(more);
        let built: Value = serde_json::from_str(&self.flake_succeeds(&words)).unwrap();
        built[0]["outputs"]["out"].as_str().unwrap().into()
    }

    /// An example's package, built with this repository's functions.
    fn build_example(&self, name: &str, package: &str) -> PathBuf {
        let flake = format!("{}?dir=nix/examples/{name}#{package}", repository());
        self.build_flake(
            &flake,
            &["--override-input", "stream-layered", &repository()],
        )
    }
}

#[needs(docker, nix)]
#[test]
fn the_image_of_the_program_itself_runs() {
    let nix = Nix::find();
    let docker = Engine::docker();
    let result = nix.build_flake(&format!("{}#docker", repository()), &[]);
    let image = docker.load_from(&result);
    assert_eq!(
        image.run(&[], &["--version"]),
        format!("stream-layered {}\n", env!("CARGO_PKG_VERSION"))
    );
    let history = image.ask(&["history", "--no-trunc", "--format", "{{.Comment}}"]);
    assert!(
        history
            .lines()
            .all(|line| line.starts_with("store paths: ['/nix/store/")),
        "{history}"
    );
    assert_eq!(image.inspect()["Config"]["WorkingDir"], "/work");
}

#[needs(nix)]
#[test]
fn the_package_has_completions_and_a_manual_page() {
    let nix = Nix::find();
    let package = nix.build_flake(&repository(), &[]);
    for file in [
        "share/bash-completion/completions/stream-layered.bash",
        "share/fish/vendor_completions.d/stream-layered.fish",
        "share/zsh/site-functions/_stream-layered",
        "share/man/man1/stream-layered.1",
    ] {
        let text = fs::read_to_string(package.join(file)).unwrap();
        assert!(text.contains("max"), "{file}");
    }
}

#[needs(nix)]
#[test]
fn the_package_s_own_tests_pass() {
    let nix = Nix::find();
    nix.build_flake(&format!("{}#default.tests.image", repository()), &[]);
}

#[needs(nix)]
#[test]
fn the_flake_is_whole() {
    let nix = Nix::find();
    nix.flake_succeeds(&["flake", "check", &repository()]);
    let shown = nix.flake_succeeds(&["flake", "show", "--json", &repository()]);
    check_outputs(&serde_json::from_str(&shown).unwrap());
    let plan = nix.flake_succeeds(&["run", &format!("{}#docker.plan", repository())]);
    assert!(plan.contains("stream-layered-"), "{plan}");
}

#[needs(newer_nix)]
#[test]
fn a_newer_nix_evaluates_it_for_all_systems() {
    let nix = Nix::find_newer();
    nix.flake_succeeds(&[
        "flake",
        "check",
        "--no-build",
        "--all-systems",
        &repository(),
    ]);
    let shown = nix.flake_succeeds(&["flake", "show", "--json", "--all-systems", &repository()]);
    check_outputs(&serde_json::from_str(&shown).unwrap());
}

fn check_outputs(shown: &Value) {
    for system in [
        "x86_64-linux",
        "aarch64-linux",
        "x86_64-darwin",
        "aarch64-darwin",
    ] {
        for output in ["packages", "checks"] {
            for name in ["default", "docker"] {
                assert_eq!(
                    shown[output][system][name]["type"], "derivation",
                    "{output}.{system}.{name}"
                );
            }
        }
        for name in ["default", "docker"] {
            assert_eq!(shown["apps"][system][name]["type"], "app");
        }
        assert_eq!(shown["devShells"][system]["default"]["type"], "derivation");
        assert_eq!(shown["formatter"][system]["type"], "derivation");
    }
    assert_eq!(shown["nixosModules"]["default"]["type"], "nixos-module");
    assert_eq!(shown["overlays"]["default"]["type"], "nixpkgs-overlay");
    for template in [
        "default",
        "static-binary",
        "service",
        "service-on-base",
        "debug-shell",
    ] {
        assert_eq!(shown["templates"][template]["type"], "template");
    }
}

#[needs(nix)]
#[test]
fn it_is_of_use_without_flakes() {
    let nix = Nix::find();
    let functions = nix.eval("without-flakes.nix", "functions");
    assert_eq!(
        functions,
        json!([
            "buildImage",
            "buildLayeredImage",
            "buildLayeredImageWithNixDb",
            "nixosModules",
            "overlay",
            "stream-layered",
            "streamLayeredImage",
            "streamLayeredImages"
        ])
    );
    assert_eq!(nix.eval("without-flakes.nix", "same"), true);
}

#[needs(docker, nix)]
#[test]
fn example_static_binary_is_hardly_larger_than_the_binary() {
    let nix = Nix::find();
    let docker = Engine::docker();
    let result = nix.build_example("static-binary", "docker");
    let image = docker.load_as(&result, "example:static-binary");
    assert_eq!(image.run(&[], &[]), "Hello, world!\n");
    let archive = Archive::of(&result);
    assert_eq!(archive.store_paths(), ["hello-2.12"]);
    let link = archive.root()["/bin/hello"].target.clone().unwrap();
    let binary = fs::metadata(&link).unwrap().len();
    let layers: u64 = archive
        .layers()
        .iter()
        .map(|layer| fs::metadata(layer).unwrap().len())
        .sum();
    assert!(
        layers < binary + 32 * 1024,
        "{layers} bytes of layers for a binary of {binary}"
    );
}

#[needs(docker, nix)]
#[test]
fn example_service_serves_as_nobody() {
    let nix = Nix::find();
    let docker = Engine::docker();
    for (name, page) in [
        ("service", "<h1>It works</h1>\n"),
        ("service-on-base", "<h1>It works on a base</h1>\n"),
    ] {
        let result = nix.build_example(name, "docker");
        let image = docker.load_as(&result, &format!("example:{name}"));
        let server = image.start(&[]);
        let busybox = image.inspect()["Config"]["Cmd"][0]
            .as_str()
            .unwrap()
            .replace("/httpd", "/busybox");
        let fetched = server.until(&[&busybox, "wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]);
        assert_eq!(fetched, page);
        assert_eq!(server.exec(&[&busybox, "id", "-un"]), "nobody\n");
        let bundle = server.exec(&[&busybox, "sh", "-c", "head -n 1 \"$SSL_CERT_FILE\""]);
        assert!(bundle.starts_with("-----BEGIN"), "{bundle}");
        assert!(
            !image.inspect()["Created"]
                .as_str()
                .unwrap()
                .starts_with("1970")
        );
        if name == "service" {
            server.exec(&[&busybox, "touch", "/tmp/file", "/var/lib/service/file"]);
        }
    }
}

#[needs(docker, nix)]
#[test]
fn example_debug_shell_shares_its_layers() {
    let nix = Nix::find();
    let docker = Engine::docker();
    let plain = nix.build_example("debug-shell", "docker");
    let debug = nix.build_example("debug-shell", "debug");
    let image = docker.load_as(&debug, "example:debug");
    assert_eq!(
        image.run(&["-i"], &["/bin/bash", "-c", "/bin/hello; ls -d /bin"]),
        "Hello, world!\n/bin\n"
    );
    let (plain, debug) = (Archive::of(&plain), Archive::of(&debug));
    assert!(debug.diff_ids().contains(&plain.diff_ids()[0]));
}

#[needs(nix)]
#[test]
fn a_result_stands_for_its_image() {
    let nix = Nix::find();
    let ours = nix.build("arguments.nix", "digestsOff");
    let of_nixpkgs = nix.build("arguments.nix", "resultOfNixpkgs");
    let expected = Command::new(&ours).arg("-q").output().unwrap().stdout;
    let directory = tempfile::tempdir().unwrap();
    for result in [&ours, &of_nixpkgs] {
        let link = directory.path().join("result");
        let _ = fs::remove_file(&link);
        symlink(result, &link).unwrap();
        let here = || {
            let mut command = stream_layered();
            command.current_dir(directory.path()).stderr(Stdio::null());
            command
        };
        assert!(here().arg("-q").output().unwrap().stdout == expected);
        assert!(here().args(["stream", "./result"]).output().unwrap().stdout == expected);
        let plan = String::from_utf8(here().arg("plan").output().unwrap().stdout).unwrap();
        assert!(
            plan.contains("hello-2.12") && !plan.contains("conf.json"),
            "{plan}"
        );
        let tagged = here()
            .args(["-q", "--tag", "other"])
            .output()
            .unwrap()
            .stdout;
        assert!(tagged != expected && tagged.len() == expected.len());
        let refused = here()
            .args(["--cmd", "x"])
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            stderr(&refused).contains("which --cmd does not change"),
            "{}",
            stderr(&refused)
        );
    }
    let archive = nix.build("arguments.nix", "gzip");
    let refused = stream_layered().arg(archive).output().unwrap();
    assert!(
        stderr(&refused).contains("is an image's archive"),
        "{}",
        stderr(&refused)
    );
}

#[needs(nix)]
#[test]
fn the_script_takes_nixpkgs_options() {
    let nix = Nix::find();
    let result = nix.build("arguments.nix", "digestsOn");
    for option in ["-t", "--repo_tag"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("image.tar");
        let output = Command::new(&result)
            .args([option, "own/name:v7"])
            .output()
            .unwrap();
        fs::write(&file, output.stdout).unwrap();
        assert_eq!(
            Archive::read(&file).manifest["RepoTags"],
            json!(["own/name:v7"])
        );
    }
}
