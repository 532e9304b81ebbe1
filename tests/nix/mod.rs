//! The Nix side, built by real Nix on the package set in `tests/nixpkgs`, and its images in a real
//! Docker Engine.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod archive;
mod arguments;
mod as_nixpkgs;
mod examples;
pub mod flake;
mod fleets;
mod locks;
mod oci_containers;
mod outputs;

use crate::support::peer;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// Nix, with the program that is tested in its package set.
pub struct Nix {
    program: PathBuf,
}

impl Nix {
    /// The Nix that is to be tested with.
    pub fn find() -> Self {
        Self::named("STREAM_LAYERED_TEST_NIX")
    }

    /// A newer one.
    pub fn find_newer() -> Self {
        Self::named("STREAM_LAYERED_TEST_NIX_NEW")
    }

    fn named(variable: &str) -> Self {
        Self {
            program: peer::program(variable),
        }
    }

    /// Builds an attribute of a file in this directory; gives its path in the store.
    pub fn build(&self, file: &str, attribute: &str) -> PathBuf {
        self.build_with(file, attribute, &[])
    }

    /// The same with more options.
    pub fn build_with(&self, file: &str, attribute: &str, options: &[&str]) -> PathBuf {
        let options = [&["--no-link", "--json"], options].concat();
        let output = self.run("build", file, attribute, &options);
        assert!(output.status.success(), "{attribute}: {}", stderr(&output));
        let built: Value = serde_json::from_slice(&output.stdout).unwrap();
        built[0]["outputs"]["out"].as_str().unwrap().into()
    }

    /// Builds what was built before once more, in Nix's sandbox, which must give the same bytes. The
    /// package set's builders are the machine's own programs, so that these are in the sandbox, too.
    pub fn rebuild_in_sandbox(&self, file: &str, attribute: &str) {
        let options = ["--no-link", "--rebuild", "--option", "sandbox", "true"];
        let paths = ["--option", "sandbox-paths", "/bin /usr /lib /lib64 /etc"];
        let output = self.run("build", file, attribute, &[&options[..], &paths].concat());
        assert!(output.status.success(), "{attribute}: {}", stderr(&output));
    }

    /// The value of an attribute.
    pub fn eval(&self, file: &str, attribute: &str) -> Value {
        let output = self.run("eval", file, attribute, &["--json"]);
        assert!(output.status.success(), "{attribute}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Evaluates an attribute, which must fail; gives what Nix says.
    pub fn refused(&self, file: &str, attribute: &str) -> String {
        let output = self.run("eval", file, attribute, &[]);
        assert!(!output.status.success(), "{attribute} should be refused");
        stderr(&output)
    }

    /// Builds an attribute, which must fail; gives what Nix and the builders say.
    pub fn fails(&self, file: &str, attribute: &str) -> String {
        let output = self.run("build", file, attribute, &["--no-link", "-L"]);
        assert!(!output.status.success(), "{attribute} should fail");
        stderr(&output)
    }

    fn run(&self, verb: &str, file: &str, attribute: &str, options: &[&str]) -> Output {
        let mut command = self.command();
        command
            .arg(verb)
            .args(options)
            .arg("-f")
            .arg(here().join(file));
        command
            .arg("--argstr")
            .arg("program")
            .arg(program())
            .arg(attribute);
        command.output().unwrap()
    }

    /// Nix itself.
    pub fn command(&self) -> Command {
        Command::new(&self.program)
    }
}

fn here() -> PathBuf {
    crate::support::program::repository().join("tests/nix")
}

/// The program that is tested, without its debug information, which would only be copied about.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let stripped = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stream-layered");
        let status = Command::new("strip")
            .arg("-o")
            .arg(&stripped)
            .arg(env!("CARGO_BIN_EXE_stream-layered"))
            .status();
        assert!(status.unwrap().success());
        stripped
    })
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
