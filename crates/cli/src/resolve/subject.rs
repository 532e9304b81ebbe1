//! What an image is made of: packages, or the configuration of an image that the Nix side made.
//!
//! Such a configuration is named by `--conf`, or by a result of streamLayeredImage (ours or
//! nixpkgs'). That result is a script, which is treated as the image that it writes, not as a
//! package.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix_compat::StorePath;

use crate::resolve::store::Store;
use crate::usage::UsageError;

/// Longest script that is looked at, in bytes.
const MAX_SCRIPT: u64 = 64 << 10;

/// What was named.
#[derive(Debug, Clone, Default)]
pub struct SubjectSettings {
    /// PATHs.
    pub paths: Vec<PathBuf>,
    /// A file with a closure.
    pub closure: Option<PathBuf>,
    /// A configuration of the Nix side.
    pub configuration: Option<PathBuf>,
    /// Options that were given, and that only an image of packages follows.
    pub package_options: Vec<String>,
}

/// What an image is made of.
#[derive(Debug)]
pub enum Subject {
    /// The configuration in this file.
    Configuration(PathBuf),
    /// Packages. None are given if a file gives a closure, whose roots they are.
    Packages(Vec<StorePath>),
}

impl SubjectSettings {
    /// Finds out what the image is made of; `./result` if nothing is named.
    ///
    /// # Errors
    ///
    /// A path does not exist, or the options do not fit what was named.
    pub fn resolve(&self, store: &Store) -> Result<Subject> {
        if let Some(file) = &self.configuration {
            let what = format!("--conf {} describes the whole image", file.display());
            self.refuse_package_options(&what)?;
            return Ok(Subject::Configuration(file.clone()));
        }
        if self.closure.is_some() {
            let paths = self.paths.iter().map(|path| package(path, store));
            return Ok(Subject::Packages(paths.collect::<Result<_>>()?));
        }
        let default = [PathBuf::from("./result")];
        let paths = if self.paths.is_empty() {
            if fs::symlink_metadata(&default[0]).is_err() {
                let usage = "no PATH was given, and there is no ./result; give a store path, or run `nix build` first";
                return Err(UsageError(usage.to_owned()).into());
            }
            &default[..]
        } else {
            &self.paths
        };
        let mut packages = Vec::new();
        for path in paths {
            let package = package(path, store)?;
            if let Some(conf) = configuration(path, &package, store)? {
                let what = format!(
                    "{} is an image of its own (its configuration is {conf})",
                    path.display()
                );
                if paths.len() > 1 {
                    let usage = format!("{what}, and cannot be combined with other paths");
                    return Err(UsageError(usage).into());
                }
                self.refuse_package_options(&what)?;
                return Ok(Subject::Configuration(store.locate(Path::new(&conf))));
            }
            packages.push(package);
        }
        Ok(Subject::Packages(packages))
    }

    /// Whether several images are named, each by a result of streamLayeredImage.
    ///
    /// # Errors
    ///
    /// A path does not exist.
    pub fn is_several_images(&self, store: &Store) -> Result<bool> {
        if self.paths.len() < 2 || self.closure.is_some() || self.configuration.is_some() {
            return Ok(false);
        }
        for path in &self.paths {
            if configuration(path, &package(path, store)?, store)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an option that only an image of packages follows was given.
    pub fn is_given(&self, option: &str) -> bool {
        self.package_options.iter().any(|given| given == option)
    }

    fn refuse_package_options(&self, what: &str) -> Result<(), UsageError> {
        match self.package_options.first() {
            None => Ok(()),
            Some(option) => Err(UsageError(format!(
                "{what}, which {option} does not change; change the image's expression"
            ))),
        }
    }
}

/// The store path that a PATH means, which is not a recipe for one.
fn package(path: &Path, store: &Store) -> Result<StorePath> {
    let package = store.resolve(path).map_err(|error| {
        // What is there is not something else that was mistyped.
        let is_there = path.symlink_metadata().is_ok();
        match path.to_str().filter(|_| !is_there).and_then(not_a_path) {
            Some(usage) => UsageError(usage).into(),
            None => error,
        }
    })?;
    refuse_derivation(&package)?;
    Ok(package)
}

/// What to say of a PATH that does not exist, and looks like something that is no path.
fn not_a_path(text: &str) -> Option<String> {
    const FLAKES: [&str; 8] = [
        "github:",
        "gitlab:",
        "sourcehut:",
        "git+",
        "hg+",
        "path:",
        "flake:",
        "tarball+",
    ];
    if text.contains('#') || FLAKES.iter().any(|start| text.starts_with(start)) {
        // What Nix calls an installable may have a password, as any address.
        return Some(format!(
            "{text} is a flake reference, and PATH is a path in the store; run `nix build {text}` first, and give ./result"
        ));
    }
    let is_word = !text.is_empty() && !text.contains(['/', '.']);
    is_word.then(|| {
        format!(
            "there is no command and no path `{text}`; `stream-layered help` lists the commands, and PATH is a store \
             path or a link to one, such as ./result"
        )
    })
}

/// Refuses the recipe of a store path: an image of it would hold what the build needs, and not what
/// it makes.
///
/// # Errors
///
/// The path is a derivation.
pub fn refuse_derivation(path: &StorePath) -> Result<(), UsageError> {
    // Nix lets no other path have a name like that.
    if !path.name().ends_with(".drv") {
        return Ok(());
    }
    Err(UsageError(format!(
        "{path} is a derivation, the recipe of a build; run `nix-store --realise {path}`, and give the path that it \
         prints"
    )))
}

/// The configuration that the script at a store path runs with; `None` if it is no such script.
fn configuration(path: &Path, package: &StorePath, store: &Store) -> Result<Option<String>> {
    // What is in a binary cache is taken for a package: the layers of such an image may be there,
    // but its root need not be.
    if matches!(store, Store::Caches(_)) {
        return Ok(None);
    }
    let script = store.locate(Path::new(package.as_str()));
    let read = || format!("cannot read {}", script.display());
    // What is missing in the file system is reported when the closure is read.
    if !script.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let mut start = Vec::new();
    let file = files::open(&script).with_context(read)?;
    file.take(MAX_SCRIPT)
        .read_to_end(&mut start)
        .with_context(read)?;
    if is_archive(&script, &start) {
        bail!(
            "{} is an image's archive, as buildLayeredImage makes it; use `docker load < FILE`, or plan, push and load \
             its `stream` attribute (streamLayeredImage)",
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
    Ok(Some(conf.to_owned()))
}

fn is_archive(file: &Path, start: &[u8]) -> bool {
    let name = file.to_string_lossy();
    (name.ends_with(".tar.gz") && start.starts_with(&[0x1f, 0x8b]))
        || (name.ends_with(".tar.zst") && start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]))
        || (name.ends_with(".tar") && start.get(257..262) == Some(b"ustar"))
}
