//! Which keys are trusted, and where Nix's own settings say so.

use std::path::{Path, PathBuf};

use nix_compat::nix_conf::{Include, NixConf, NixConfError};
use nix_compat::signature::{CACHE_NIXOS_ORG, ParseKeyError, PublicKey};

use super::environment::{Environment, LONGEST_SETTINGS};
use super::error::BinaryCacheError;

/// The maximum depth of includes: files may include each other.
const MOST_INCLUDES: usize = 20;

/// What a cache is trusted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Keys whose signatures count.
    pub keys: Vec<PublicKey>,
    /// Whether a path without a signature by one of them is refused. If not, the server and everybody
    /// on the way to it decide what the image contains.
    pub require_signatures: bool,
}

impl Default for Trust {
    /// Nix's own default: the key of cache.nixos.org.
    fn default() -> Self {
        Self {
            keys: PublicKey::parse(CACHE_NIXOS_ORG).into_iter().collect(),
            require_signatures: true,
        }
    }
}

impl Trust {
    /// The keys that settings name in `trusted-public-keys`, and whether `require-sigs` demands
    /// signatures by them; without these, Nix's defaults.
    ///
    /// # Errors
    ///
    /// One of them is not a key.
    pub fn from_settings(settings: &NixConf) -> Result<Self, ParseKeyError> {
        let mut trust = Self::default();
        if let Some(keys) = settings.list("trusted-public-keys") {
            trust.keys = keys.map(PublicKey::parse).collect::<Result<_, _>>()?;
        }
        // Whatever Nix itself would not read as no is a yes.
        let require = settings.get("require-sigs");
        trust.require_signatures = !matches!(require, Some("false" | "no" | "0"));
        Ok(trust)
    }
}

/// Nix's settings on this machine, as far as files and variables say them: the system's
/// `nix.conf`, the user's, and `NIX_CONFIG`. What is not there is skipped.
///
/// # Errors
///
/// A file cannot be read, or a line in it is not a setting.
pub fn nix_settings(environment: &Environment) -> Result<NixConf, BinaryCacheError> {
    let mut settings = NixConf::default();
    let system = environment.get("NIX_CONF_DIR").unwrap_or("/etc/nix");
    read(&mut settings, &Path::new(system).join("nix.conf"), false, 0)?;
    for path in user_files(environment) {
        read(&mut settings, &path, false, 0)?;
    }
    if let Some(text) = environment.get("NIX_CONFIG") {
        read_text(&mut settings, Path::new("NIX_CONFIG"), text, 0)?;
    }
    Ok(settings)
}

/// The later ones hold.
fn user_files(environment: &Environment) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = match environment.get("NIX_USER_CONF_FILES") {
        Some(files) => files.split(':').map(PathBuf::from).collect(),
        None => {
            let own = environment.file("XDG_CONFIG_HOME", ".config");
            let shared = environment.get("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg");
            own.into_iter()
                .chain(shared.split(':').map(PathBuf::from))
                .map(|directory| directory.join("nix/nix.conf"))
                .collect()
        }
    };
    files.reverse();
    files
}

fn read(
    settings: &mut NixConf,
    path: &Path,
    required: bool,
    depth: usize,
) -> Result<(), BinaryCacheError> {
    match files::read_text(path, LONGEST_SETTINGS) {
        Ok(text) => read_text(settings, path, &text, depth),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => Ok(()),
        Err(error) => Err(failed(path, error.into())),
    }
}

fn read_text(
    settings: &mut NixConf,
    path: &Path,
    text: &str,
    depth: usize,
) -> Result<(), BinaryCacheError> {
    let mut include = |settings: &mut NixConf, include: Include| {
        if depth >= MOST_INCLUDES {
            let why = "files include each other without end";
            return Err(Stop::Whole(failed(path, why.into())));
        }
        let other = path.parent().unwrap_or(Path::new("/")).join(include.path);
        read(settings, &other, include.required, depth + 1).map_err(Stop::Whole)
    };
    settings
        .read(text, &mut include)
        .map_err(|stop| match stop {
            Stop::Line(error) => failed(path, error.into()),
            Stop::Whole(error) => error,
        })
}

/// A line of this file, or all of an included one.
enum Stop {
    Line(NixConfError),
    Whole(BinaryCacheError),
}

impl From<NixConfError> for Stop {
    fn from(error: NixConfError) -> Self {
        Self::Line(error)
    }
}

fn failed(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> BinaryCacheError {
    let path = path.to_owned();
    BinaryCacheError::Settings { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "test-1:CER3zxXbnBPunWGhSYfGoVsJhp6tD9leOIwS5xERj8M=";

    #[test]
    fn the_key_of_cache_nixos_org_is_trusted_by_default() {
        let trust = Trust::default();
        assert!(trust.require_signatures);
        assert_eq!(trust.keys[0].name(), "cache.nixos.org-1");
        assert_eq!(Trust::from_settings(&NixConf::default()).unwrap(), trust);
    }

    #[test]
    fn files_variables_and_includes() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let variable = |name: &str, value: String| (name.to_owned(), value);
        file(
            "nix.conf",
            "substituters = https://a\n!include none.conf\ninclude more.conf\n",
        );
        file("more.conf", &format!("trusted-public-keys = {KEY}\n"));
        let user = file("user.conf", "extra-substituters = https://b\n");
        let of_directory = variable(
            "NIX_CONF_DIR",
            directory.path().to_str().unwrap().to_owned(),
        );
        let environment = Environment::from_iter([
            of_directory.clone(),
            variable("NIX_USER_CONF_FILES", user),
            variable("NIX_CONFIG", "extra-substituters = https://c".to_owned()),
        ]);
        let settings = nix_settings(&environment).unwrap();
        assert_eq!(
            settings.get("substituters"),
            Some("https://a https://b https://c")
        );
        let trust = Trust::from_settings(&settings).unwrap();
        assert_eq!(trust.keys, [PublicKey::parse(KEY).unwrap()]);

        let environment = Environment::from_iter([of_directory]);
        for (text, expected) in [
            ("include none.conf", "none.conf"),
            ("include nix.conf", "nix.conf"),
            ("nonsense", "nix.conf"),
        ] {
            file("nix.conf", text);
            let error = nix_settings(&environment).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
