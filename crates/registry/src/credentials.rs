//! Credentials, from where `docker login` and `podman login` leave them.
//!
//! Read are, in this order: podman's `auth.json` (`$REGISTRY_AUTH_FILE` alone if it is set, else
//! below `$XDG_RUNTIME_DIR` and the user's configuration), then Docker's `config.json`. Both have
//! the same form: `credHelpers` (a program for one registry), `credsStore` (one for all) and
//! `auths` (base64 of `user:password`, an identity token, or a registry token). The first that knows the registry wins.
//!
//! The helper programs speak the protocol of docker/docker-credential-helpers: the server's
//! name on standard input, JSON on standard output. It is written out here rather than taken
//! from a crate because an error must name the file and the helper that it came from.

use std::collections::BTreeMap;
use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, io};

use data_encoding::{BASE64, BASE64_NOPAD};
use serde::Deserialize;

use crate::error::{Error, Result, printable};

/// Longest file with logins, in bytes.
const LONGEST_FILE: u64 = 4 << 20;

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user's name and password, or an access token in the password's place.
    Password {
        /// The account.
        user: String,
        /// Its password.
        password: String,
    },
    /// A refresh token that the token server exchanges for access tokens.
    IdentityToken(String),
    /// A token for the registry itself, which no token server is asked for.
    RegistryToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password {{ user: {user:?}, .. }}"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(..)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(..)"),
        }
    }
}

/// Where credentials are looked for.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    files: Vec<PathBuf>,
    given: Option<Credential>,
}

/// The outcome of a search, with what to say about it should it not help.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) credential: Option<Credential>,
    pub(crate) description: String,
}

impl Credentials {
    /// The files that docker and podman use for this user.
    pub fn from_environment() -> Self {
        Self::from_variables(|name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        })
    }

    fn from_variables(variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let home = variable("HOME");
        let mut files = Vec::new();
        if let Some(file) = variable("REGISTRY_AUTH_FILE") {
            files.push(file);
        } else {
            let config =
                variable("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
            files.extend(
                [variable("XDG_RUNTIME_DIR"), config]
                    .into_iter()
                    .flatten()
                    .map(|dir| dir.join("containers/auth.json")),
            );
        }
        let docker = variable("DOCKER_CONFIG").or_else(|| Some(home?.join(".docker")));
        files.extend(docker.map(|dir| dir.join("config.json")));
        Self { files, given: None }
    }

    /// These files alone, the first first. A file that does not exist is skipped.
    pub fn from_files(files: Vec<PathBuf>) -> Self {
        Self { files, given: None }
    }

    /// One credential for every registry, from no file.
    pub fn given(credential: Credential) -> Self {
        Self {
            files: Vec::new(),
            given: Some(credential),
        }
    }

    /// None at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The credential for `repository` in `registry` (as references name it).
    pub(crate) fn find(&self, registry: &str, repository: &str) -> Result<Found> {
        if let Some(credential) = &self.given {
            let description = format!("{} was refused", describe(credential));
            return Ok(Found {
                credential: Some(credential.clone()),
                description,
            });
        }
        for path in &self.files {
            let text = match files::read(path, LONGEST_FILE) {
                Ok(text) => text,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
                {
                    continue;
                }
                Err(error) => {
                    return Err(Error::CredentialFile {
                        path: path.clone(),
                        why: error.to_string(),
                    });
                }
            };
            let file: ConfigFile =
                serde_json::from_slice(&text).map_err(|error| Error::CredentialFile {
                    path: path.clone(),
                    why: error.to_string(),
                })?;
            if let Some(credential) = file.find(registry, repository, path)? {
                let description = format!(
                    "{} of {} was refused: log in again with `docker login {registry}`",
                    describe(&credential),
                    path.display()
                );
                return Ok(Found {
                    credential: Some(credential),
                    description,
                });
            }
        }
        let looked = match self.files.as_slice() {
            [] => "none were given".to_owned(),
            files => {
                let names: Vec<_> = files
                    .iter()
                    .map(|file| file.display().to_string())
                    .collect();
                format!(
                    "none for {registry} in {}: log in with `docker login {registry}`",
                    names.join(", ")
                )
            }
        };
        Ok(Found {
            credential: None,
            description: format!("credentials: {looked}"),
        })
    }
}

fn describe(credential: &Credential) -> String {
    match credential {
        Credential::Password { user, .. } => format!("user {:?}", printable(user)),
        Credential::IdentityToken(_) => "the identity token".to_owned(),
        Credential::RegistryToken(_) => "the registry token".to_owned(),
    }
}

/// The part of `config.json` and `auth.json` that is about credentials.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: Option<BTreeMap<String, Auth>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Reads a file with logins from what a fuzzer, or a test, finds, and looks for two registries in it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn look_in(text: &[u8]) {
    let Ok(mut file) = serde_json::from_slice::<ConfigFile>(text) else {
        return;
    };
    // Helpers are programs, and those of random names are not to be run.
    file.cred_helpers = None;
    file.creds_store = None;
    for (registry, repository) in [("docker.io", "library/app"), ("localhost:5000", "team/app")] {
        let _ = file.find(registry, repository, Path::new("config.json"));
    }
}

impl ConfigFile {
    fn find(&self, registry: &str, repository: &str, path: &Path) -> Result<Option<Credential>> {
        let server = server_name(registry);
        let helper = [registry, server]
            .iter()
            .find_map(|name| self.cred_helpers.as_ref()?.get(*name))
            .filter(|helper| !helper.is_empty());
        if let Some(helper) = helper {
            return ask(&format!("docker-credential-{helper}"), server, path);
        }
        if let Some(helper) = self
            .creds_store
            .as_ref()
            .filter(|helper| !helper.is_empty())
            && let Some(credential) = ask(&format!("docker-credential-{helper}"), server, path)?
        {
            return Ok(Some(credential));
        }
        for key in keys(registry, repository) {
            let entry = self
                .auths
                .iter()
                .flatten()
                .find(|(name, _)| normal(name) == key);
            if let Some((name, auth)) = entry
                && let Some(credential) =
                    auth.credential().map_err(|why| Error::CredentialFile {
                        path: path.to_owned(),
                        why: format!("the entry of {name:?}: {why}"),
                    })?
            {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}

impl Auth {
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        if let Some(token) = self
            .identitytoken
            .as_ref()
            .filter(|token| !token.is_empty())
        {
            return Ok(Some(Credential::IdentityToken(token.clone())));
        }
        if let Some(token) = self
            .registrytoken
            .as_ref()
            .filter(|token| !token.is_empty())
        {
            return Ok(Some(Credential::RegistryToken(token.clone())));
        }
        if let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) {
            let bytes = BASE64
                .decode(auth.as_bytes())
                .or_else(|_| BASE64_NOPAD.decode(auth.as_bytes()))
                .map_err(|_| "`auth` is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "`auth` is not UTF-8")?;
            let (user, password) = text.split_once(':').ok_or("`auth` is not user:password")?;
            // Old versions of Docker padded the password with NULs.
            let password = password.trim_end_matches('\0');
            return Ok(Some(Credential::Password {
                user: user.to_owned(),
                password: password.to_owned(),
            }));
        }
        Ok(match (&self.username, &self.password) {
            (Some(user), Some(password)) if !user.is_empty() => Some(Credential::Password {
                user: user.clone(),
                password: password.clone(),
            }),
            _ => None,
        })
    }
}

/// The name under which helpers and Docker's file keep a registry's credentials.
fn server_name(registry: &str) -> &str {
    if registry == "docker.io" {
        "https://index.docker.io/v1/"
    } else {
        registry
    }
}

/// From `registry/a/b` to `registry`: podman keeps credentials by repository, too.
fn keys(registry: &str, repository: &str) -> Vec<String> {
    let mut key = format!("{registry}/{repository}");
    let mut keys = vec![key.clone()];
    while let Some(slash) = key.rfind('/') {
        key.truncate(slash);
        keys.push(key.clone());
    }
    keys
}

/// A key of `auths` as [`keys`] writes it. Docker's own may be URLs, with the path of a protocol.
fn normal(key: &str) -> String {
    let url = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let name = match url {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => key,
    };
    let (host, path) = name
        .split_once('/')
        .map_or((name, None), |(host, path)| (host, Some(path)));
    let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") {
        "docker.io"
    } else {
        host
    };
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host.to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `program` for the credential of `server`; `path` is the file that names it.
fn ask(program: &str, server: &str, path: &Path) -> Result<Option<Credential>> {
    let failed = |why: String| Error::CredentialHelper {
        helper: program.to_owned(),
        server: server.to_owned(),
        why,
        path: path.to_owned(),
    };
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input has closed it: what it says on its output counts.
        let _ = stdin.write_all(server.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = printable(&String::from_utf8_lossy(&said));
        // The message that the protocol fixes for "I have none".
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(format!("{}: {said}", output.status)));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|error| {
        failed(format!(
            "its answer is not the JSON that was expected: {error}"
        ))
    })?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credential::IdentityToken(answer.secret),
        _ => Credential::Password {
            user: answer.username,
            password: answer.secret,
        },
    }))
}

#[cfg(test)]
mod tests;
