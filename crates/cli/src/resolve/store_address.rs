//! What `--store` and Nix's variables say of a store: the words and addresses that Nix takes, as far as
//! this program can read such a store.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix_compat::StoreDir;
use stores::LocalStore;

/// Where a store is.
#[derive(Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// A binary cache, by its URL.
    Cache(String),
    /// A store in the file system.
    Local(LocalPlaces),
}

/// Where a store in the file system has its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LocalPlaces {
    /// The directory that has `nix/store`; the machine's own store without it.
    pub root: Option<PathBuf>,
    /// The directory of Nix's state, which has the database.
    state: Option<PathBuf>,
    /// The directory that the store's paths name.
    store_dir: Option<StoreDir>,
}

/// Parameters of Nix's stores that mean nothing to a reader.
const OTHER_PARAMETERS: [&str; 12] = [
    "build-dir",
    "ignore-gc-delete-failure",
    "log",
    "max-connection-age",
    "max-connections",
    "path-info-cache-size",
    "priority",
    "read-only",
    "require-sigs",
    "system-features",
    "trusted",
    "want-mass-query",
];

/// The variables of the environment that Nix looks at.
type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl StoreAddress {
    /// Reads one value of `--store`.
    ///
    /// # Errors
    ///
    /// The store is of a kind that cannot be read, as one sentence.
    pub fn parse(text: &str, variable: Variable<'_>) -> Result<Self, String> {
        if text != "auto" && !text.is_empty() {
            return Self::named(text, variable)
                .map_err(|why| format!("--store {}: {why}", without_login(text)));
        }
        match set(variable, "NIX_REMOTE") {
            None => Self::own(LocalPlaces::default(), variable),
            Some(remote) => {
                let remote = remote.to_string_lossy();
                match &*remote {
                    "auto" => Self::own(LocalPlaces::default(), variable),
                    text => Self::named(text, variable).map_err(|why| {
                        let text = without_login(text);
                        format!(
                            "NIX_REMOTE={text}: {why}; --store local takes this machine's own store"
                        )
                    }),
                }
            }
        }
    }

    fn named(text: &str, variable: Variable<'_>) -> Result<Self, String> {
        let (base, parameters) = text.split_once('?').unwrap_or((text, ""));
        if matches!(base, "local" | "daemon") || base == "local://" || base == "unix://" {
            return Self::own(LocalPlaces::of_parameters(parameters)?, variable);
        }
        if let Some(root) = base.strip_prefix("local://") {
            let mut places = LocalPlaces::of_parameters(parameters)?;
            places.root = Some(root.into());
            return Self::own(places, variable);
        }
        if let Some(socket) = base.strip_prefix("unix://") {
            let places = LocalPlaces::of_parameters(parameters)?;
            if socket != "/nix/var/nix/daemon-socket/socket" && places.root.is_none() {
                return Err(
                    "which store this daemon has cannot be seen; name the store's directory"
                        .to_owned(),
                );
            }
            return Self::own(places, variable);
        }
        if let Some((scheme, _)) = base.split_once("://") {
            if !matches!(scheme, "file" | "http" | "https" | "s3") {
                return Err(format!(
                    "a store of the kind {scheme}:// cannot be read: give a directory, or a binary cache \
                     (file://, http://, https:// or s3://)"
                ));
            }
            return Ok(Self::Cache(text.to_owned()));
        }
        // A directory's name may have a `?`.
        let root = Some(text.into());
        let places = LocalPlaces {
            root,
            ..LocalPlaces::default()
        };
        Self::own(places, variable)
    }

    /// A store in the file system, with what Nix's variables say of it.
    fn own(mut places: LocalPlaces, variable: Variable<'_>) -> Result<Self, String> {
        let named = set(variable, "NIX_STORE_DIR").or_else(|| set(variable, "NIX_STORE"));
        if let (None, Some(directory)) = (&places.store_dir, named) {
            let directory = directory.to_string_lossy();
            let store_dir = StoreDir::new(&directory);
            places.store_dir = Some(store_dir.map_err(|error| format!("NIX_STORE_DIR: {error}"))?);
        }
        places.store_dir = places.store_dir.filter(|dir| *dir != StoreDir::default());
        match (&places.root, &places.store_dir) {
            (Some(_), Some(store_dir)) => {
                return Err(format!(
                    "its paths are to be of {store_dir} (by `store=` or NIX_STORE_DIR), \
                     but only those of /nix/store are read below another root"
                ));
            }
            // Below a root, Nix's state lies there, too, whatever the variable says.
            (None, _) => {
                places.state = places
                    .state
                    .or_else(|| set(variable, "NIX_STATE_DIR").map(Into::into));
            }
            (Some(_), None) => {}
        }
        Ok(Self::Local(places))
    }
}

impl LocalPlaces {
    fn of_parameters(parameters: &str) -> Result<Self, String> {
        let mut places = Self::default();
        for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            match name {
                "root" if value.is_empty() => {}
                "root" => places.root = Some(value.as_ref().into()),
                "state" => places.state = Some(value.as_ref().into()),
                "store" => {
                    let store_dir = StoreDir::new(&value).map_err(|error| error.to_string())?;
                    places.store_dir = Some(store_dir);
                }
                "real" => {
                    return Err(
                        "a store whose files lie elsewhere than its paths say (`real=`) cannot be read"
                            .to_owned(),
                    );
                }
                name if OTHER_PARAMETERS.contains(&name) => {}
                name => return Err(format!("unknown parameter `{name}`")),
            }
        }
        Ok(places)
    }

    /// The store that has its parts there.
    pub fn store(self) -> LocalStore {
        let mut store = LocalStore::below(self.root.as_deref().unwrap_or(Path::new("/")));
        if let Some(store_dir) = self.store_dir {
            store = store.with_store_dir(store_dir);
        }
        match self.state {
            Some(state) => store.with_state(state),
            None => store,
        }
    }
}

/// An address, fit for messages.
fn without_login(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let rest = rest.rsplit('@').next().unwrap_or_default();
            nix_compat::shown(format!("{scheme}://{rest}"))
        }
        None => nix_compat::shown(text),
    }
}

fn set(variable: Variable<'_>, name: &str) -> Option<OsString> {
    variable(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<StoreAddress, String> {
        StoreAddress::parse(text, &|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    fn local(root: Option<&str>, state: Option<&str>, store_dir: Option<&str>) -> StoreAddress {
        StoreAddress::Local(LocalPlaces {
            root: root.map(Into::into),
            state: state.map(Into::into),
            store_dir: store_dir.map(|text| StoreDir::new(text).unwrap()),
        })
    }

    #[test]
    fn stores_are_named_as_for_nix() {
        let own = || local(None, None, None);
        let root = || local(Some("/r"), None, None);
        let cache = |url: &str| StoreAddress::Cache(url.to_owned());
        let usual = "unix:///nix/var/nix/daemon-socket/socket";
        for (text, remote, expected) in [
            ("auto", "", own()),
            ("auto", "auto", own()),
            ("auto", "daemon", own()),
            ("auto", usual, own()),
            ("auto", "local", own()),
            ("auto", "local?root=/r", root()),
            ("auto", "/r", root()),
            (
                "auto",
                "https://x?priority=1",
                cache("https://x?priority=1"),
            ),
            ("local", "/r", own()),
            ("daemon", "/r", own()),
            ("local?root=/r&require-sigs=false", "", root()),
            ("local?root=%2Fr", "", root()),
            ("local:///r", "", root()),
            ("unix:///socket?root=/r", "", root()),
            ("local?state=/s", "", local(None, Some("/s"), None)),
            (
                "local?store=/o/store",
                "",
                local(None, None, Some("/o/store")),
            ),
            ("./daemon", "", local(Some("./daemon"), None, None)),
            ("/a?b", "", local(Some("/a?b"), None, None)),
            ("s3://b", "", cache("s3://b")),
        ] {
            let found = parse(text, &[("NIX_REMOTE", remote)]);
            assert_eq!(found.as_ref(), Ok(&expected), "{text} {remote}");
        }
    }

    #[test]
    fn directories_come_from_the_variables() {
        let variables = [("NIX_STATE_DIR", "/s"), ("NIX_STORE_DIR", "/o/store")];
        for text in ["auto", "local", "daemon"] {
            let expected = local(None, Some("/s"), Some("/o/store"));
            assert_eq!(parse(text, &variables), Ok(expected), "{text}");
        }
        assert_eq!(
            parse("/r", &variables[..1]),
            Ok(local(Some("/r"), None, None))
        );
        let usual = [("NIX_STORE", "/nix/store")];
        assert_eq!(parse("/r", &usual), Ok(local(Some("/r"), None, None)));
        let error = parse("/r", &variables).unwrap_err();
        assert!(
            error.contains("--store /r: ") && error.contains("/o/store"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (text, remote, expected) in [
            (
                "local?real=/x",
                "",
                "--store local?real=/x: a store whose files lie elsewhere",
            ),
            ("local?rot=/x", "", "unknown parameter `rot`"),
            ("unix:///other", "", "name the store's directory"),
            (
                "auto",
                "unix:///other",
                "NIX_REMOTE=unix:///other: which store",
            ),
            ("local?store=x", "", "not a store directory"),
            (
                "ssh-ng://me:secret@host",
                "",
                "--store ssh-ng://host: a store of the kind ssh-ng://",
            ),
            (
                "auto",
                "ssh://host",
                "NIX_REMOTE=ssh://host: a store of the kind ssh://",
            ),
            ("auto", "ssh://host", "--store local"),
        ] {
            let error = parse(text, &[("NIX_REMOTE", remote)]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
