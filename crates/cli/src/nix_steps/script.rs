//! Scripts that run stream-layered: the one that writes an image, and those of its attributes `load`,
//! `push` and so on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::attributes::{self, Attributes};

#[derive(Deserialize)]
struct ScriptAttributes {
    /// The shell that runs the script.
    shell: String,
    program: String,
    /// The program's first arguments; the script's own come after them.
    arguments: Vec<String>,
    /// The script's name in `bin`; without, the output is the script.
    bin: Option<String>,
}

/// Writes the script.
pub fn run() -> Result<()> {
    let Attributes {
        values: script,
        mut out,
        ..
    } = attributes::read::<ScriptAttributes>()?;
    let words = [&script.program].into_iter().chain(&script.arguments);
    let words = shlex::try_join(words.map(String::as_str))
        .with_context(|| format!("the arguments of {}", script.program))?;
    if let Some(name) = script.bin {
        out.push("bin");
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        out.push(name);
    }
    attributes::write(&out, format!("#!{}\nexec {words} \"$@\"\n", script.shell))?;
    fs::set_permissions(&out, Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", out.display()))
}
