//! Results of streamLayeredImage, ours and nixpkgs': scripts that stand for the image which they
//! write, and not for their own closure.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::args::{DEFAULT_MAX_LAYERS, DEFAULT_OWNER, DEFAULT_STRATEGY, DEFAULT_TIME, ImageArgs};
use crate::resolve::store::Store;
use crate::usage::UsageError;

/// Longest script that is looked at, in bytes.
const MAX_SCRIPT: u64 = 64 << 10;

/// The configuration that a PATH's script runs with; `None` where the paths are packages.
pub fn configuration(args: &ImageArgs, store: &Store) -> Result<Option<PathBuf>> {
    // What lies in a binary cache is taken for a package: such an image's layers may, its root's
    // may not be there.
    if args.closure.is_some() || matches!(store, Store::Caches(_)) {
        return Ok(None);
    }
    let default = [PathBuf::from("./result")];
    let paths = if args.paths.is_empty() {
        &default[..]
    } else {
        &args.paths
    };
    for path in paths {
        let Some(conf) = of_script(path, store)? else {
            continue;
        };
        let refuse = |what: &str| {
            let usage = format!(
                "{} is an image of its own (its configuration is {}), {what}",
                path.display(),
                conf.display()
            );
            Err(UsageError(usage).into())
        };
        if paths.len() > 1 {
            return refuse("and cannot be put into one with other paths");
        }
        if let Some(option) = setting(args) {
            return refuse(&format!(
                "which {option} does not change; change the image's expression"
            ));
        }
        return Ok(Some(store.locate(&conf)));
    }
    Ok(None)
}

/// The configuration in a script's text.
fn of_script(path: &Path, store: &Store) -> Result<Option<PathBuf>> {
    // What does not lie in the file system is an error of its own, elsewhere.
    let Ok(place) = store
        .resolve(path)
        .map(|path| store.locate(Path::new(path.as_str())))
    else {
        return Ok(None);
    };
    let read = || format!("cannot read {}", place.display());
    let is_file = place.metadata().is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return Ok(None);
    }
    let mut start = Vec::new();
    let file = File::open(&place).with_context(read)?;
    file.take(MAX_SCRIPT)
        .read_to_end(&mut start)
        .with_context(read)?;
    if is_archive(&place, &start) {
        bail!(
            "{} is an image's archive, as buildLayeredImage makes it; `docker load < FILE` takes it, and its `stream` \
             attribute (streamLayeredImage) can be planned, pushed and loaded",
            path.display()
        );
    }
    let Ok(script) = std::str::from_utf8(&start) else {
        return Ok(None);
    };
    if !script.starts_with("#!") {
        return Ok(None);
    }
    let words = script.split(|c: char| c.is_whitespace() || "'\"".contains(c));
    let mut found =
        words.filter(|word| word.ends_with("-conf.json") && store.store_dir().parse(word).is_ok());
    let Some(conf) = found.next() else {
        return Ok(None);
    };
    if let Some(other) = found.find(|other| *other != conf) {
        bail!(
            "{} names two configurations, {conf} and {other}; give one with --conf",
            path.display()
        );
    }
    Ok(Some(conf.into()))
}

fn is_archive(place: &Path, start: &[u8]) -> bool {
    let name = place.to_string_lossy();
    (name.ends_with(".tar.gz") && start.starts_with(&[0x1f, 0x8b]))
        || (name.ends_with(".tar.zst") && start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]))
        || (name.ends_with(".tar") && start.get(257..262) == Some(b"ustar"))
}

/// An option that says something of an image which is made from packages.
fn setting(args: &ImageArgs) -> Option<&'static str> {
    let (settings, layers) = (&args.settings, &args.layers);
    let given = [
        ("--config", settings.config.is_some()),
        ("--cmd", !settings.cmd.is_empty()),
        ("--entrypoint", !settings.entrypoint.is_empty()),
        ("--env", !settings.env.is_empty()),
        ("--label", !settings.label.is_empty()),
        ("--user", settings.user.is_some()),
        ("--workdir", settings.workdir.is_some()),
        ("--expose", !settings.expose.is_empty()),
        ("--arch", settings.arch.is_some()),
        ("--created", settings.created != DEFAULT_TIME),
        ("--mtime", settings.mtime != DEFAULT_TIME),
        ("--owner", settings.owner != DEFAULT_OWNER),
        ("--from-image", settings.from_image.is_some()),
        ("--strategy", layers.strategy != DEFAULT_STRATEGY),
        ("--previous", layers.previous.is_some()),
        ("--layer", !layers.own.is_empty()),
        ("--max-layers", layers.max_layers != DEFAULT_MAX_LAYERS),
    ];
    given
        .into_iter()
        .find(|(_, given)| *given)
        .map(|(option, _)| option)
}
