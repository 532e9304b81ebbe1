//! The program that is tested.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The repository's own directory.
pub fn repository() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    directory.canonicalize().unwrap()
}

/// The program, with none of the user's settings. `STREAM_LAYERED_TEST_PROGRAM` names another build of
/// it, as `.ci/cross` does for one that runs under qemu.
pub fn stream_layered() -> Command {
    let program = std::env::var_os("STREAM_LAYERED_TEST_PROGRAM");
    let mut command =
        Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_stream-layered").into()));
    command.env_remove("NIX_BUILD_CORES");
    command
}

/// Runs the program; its output must be a success.
pub fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        stderr(&output)
    );
    output.stdout
}

/// Runs the program, which must fail with this exit code and one line; gives that line.
pub fn fail(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {text}");
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(
        errors.len(),
        1,
        "{command:?} should fail with one line: {text}"
    );
    errors[0].to_owned()
}

/// Runs a command with some standard input.
pub fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A reader that goes away early is what some tests are about.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

/// What a command said.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The SHA-256 of a file, by the system's own program.
pub fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}
