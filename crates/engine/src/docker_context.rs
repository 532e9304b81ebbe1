//! docker's contexts: engines that have names in docker's own configuration.
//!
//! A name's file is `contexts/meta/SHA256_OF_NAME/meta.json` below `$DOCKER_CONFIG` or `~/.docker`, and
//! `config.json` beside `contexts` says which name is current (`cli/context/store` and `cli/command` of
//! github.com/docker/cli). Go reads JSON's keys in any case, and so does this.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci::Digest;
use serde_json::Value;

/// The context that nobody made: Docker's usual socket.
pub(crate) const DEFAULT: &str = "default";

/// Largest file that is read, in bytes; they have some hundred, and `config.json` may hold many logins.
const MAX_FILE: u64 = 4 << 20;

/// docker's configuration.
pub(crate) struct Configuration {
    directory: Option<PathBuf>,
}

/// What a context says of its engine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Its address, in the form of `DOCKER_HOST`; empty for Docker's usual socket.
    pub(crate) host: String,
    /// How it is spoken to with TLS, where its address is a port.
    pub(crate) tls: Option<Tls>,
}

/// TLS with the files that Docker's clients have for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Where `ca.pem`, `cert.pem` and `key.pem` are, if they are there.
    pub(crate) directory: PathBuf,
    /// Whether the server must show a certificate of the authorities in `ca.pem`.
    pub(crate) is_verified: bool,
}

impl Configuration {
    /// The one that docker would use.
    pub(crate) fn new(env: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| env(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        Self {
            directory: path("DOCKER_CONFIG").or_else(|| Some(path("HOME")?.join(".docker"))),
        }
    }

    /// TLS as the environment says: `DOCKER_TLS_VERIFY`, or `DOCKER_TLS` without a check of the server, and
    /// `DOCKER_CERT_PATH` instead of the directory of docker's configuration.
    pub(crate) fn tls(&self, env: impl Fn(&str) -> Option<OsString>) -> Option<Tls> {
        let value = |name| env(name).filter(|text| !text.is_empty());
        let is_verified = value("DOCKER_TLS_VERIFY").is_some();
        (is_verified || value("DOCKER_TLS").is_some()).then(|| Tls {
            directory: value("DOCKER_CERT_PATH")
                .map(PathBuf::from)
                .or_else(|| self.directory.clone())
                .unwrap_or_default(),
            is_verified,
        })
    }

    /// The name of the current context, unless it is the default one. A file that cannot be read counts
    /// as none, as for docker, which warns of it: the second is that warning.
    pub(crate) fn current(&self) -> (Option<String>, Option<String>) {
        let Some(file) = self.directory.as_ref().map(|path| path.join("config.json")) else {
            return (None, None);
        };
        match files::read(&file, MAX_FILE).and_then(|text| current(&text)) {
            Ok(name) => (name.filter(|name| name != DEFAULT), None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
            Err(error) => {
                let file = file.display();
                let warning = format!(
                    "{file}: {error}; docker's current context is not known, and the default is used"
                );
                (None, Some(warning))
            }
        }
    }

    /// What a context says.
    ///
    /// # Errors
    ///
    /// Why it cannot be used, in a few words.
    pub(crate) fn endpoint(&self, name: &str) -> Result<Endpoint, String> {
        let Some(directory) = &self.directory else {
            return Err("it does not exist: neither DOCKER_CONFIG nor HOME is set".to_owned());
        };
        let contexts = directory.join("contexts");
        let id = Digest::of(name.as_bytes());
        let file = contexts.join("meta").join(id.hex()).join("meta.json");
        let told = |why: String| format!("{}: {why}", file.display());
        let text = files::read(&file, MAX_FILE).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!(
                "it does not exist ({} is missing); `docker context ls` shows those that do",
                file.display()
            ),
            _ => told(error.to_string()),
        })?;
        let meta: Value = serde_json::from_slice(&text).map_err(|error| told(error.to_string()))?;
        let endpoints = field(&meta, "Endpoints");
        let Some(docker) = endpoints.and_then(|endpoints| endpoints.get("docker")) else {
            return Err(told("it names no docker endpoint".to_owned()));
        };
        let host = match field(docker, "Host") {
            None | Some(Value::Null) if docker.is_object() => String::new(),
            Some(Value::String(host)) => host.clone(),
            _ => return Err(told("its docker endpoint has no `Host`".to_owned())),
        };
        let skips_check = field(docker, "SkipTLSVerify").and_then(Value::as_bool);
        let directory = contexts.join("tls").join(id.hex()).join("docker");
        let is_verified = skips_check != Some(true);
        let is_tls = !is_verified || has_files(&directory);
        Ok(Endpoint {
            host,
            tls: is_tls.then_some(Tls {
                directory,
                is_verified,
            }),
        })
    }
}

/// The `currentContext` of a `config.json`; whatever stands after the first value is not looked at.
fn current(text: &[u8]) -> io::Result<Option<String>> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let Some(value) = values.next().transpose()? else {
        return Ok(None);
    };
    if !value.is_object() {
        return Err(io::Error::other("it is not a JSON object"));
    }
    match field(&value, "currentContext") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone()).filter(|name| !name.is_empty())),
        Some(_) => Err(io::Error::other("currentContext is not a text")),
    }
}

/// A field of an object, whose name may be written in any case.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let mut fields = value.as_object()?.iter();
    let same = |key: &String| key.eq_ignore_ascii_case(name);
    value
        .get(name)
        .or_else(|| fields.find_map(|(key, value)| same(key).then_some(value)))
}

fn has_files(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut files| files.next().is_some())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn configuration(directory: &Path) -> Configuration {
        let directory = directory.as_os_str().to_owned();
        Configuration::new(|name| (name == "DOCKER_CONFIG").then(|| directory.clone()))
    }

    /// As docker 20.10 and 28 read them, each with their warning.
    #[test]
    fn the_current_context_is_read_as_docker_reads_it() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("config.json");
        let current = || configuration(directory.path()).current();
        assert_eq!(current(), (None, None));
        for (text, name) in [
            (r#"{"currentContext":"x"}"#, Some("x")),
            (r#"{"CURRENTcontext":"x"}"#, Some("x")),
            (r#"{"currentContext":"x","auths":5}"#, Some("x")),
            (r#"{"currentContext":"x"} junk"#, Some("x")),
            (r#"{"currentContext":"x","currentContext":"y"}"#, Some("y")),
            (r#"{"currentContext":"default"}"#, None),
            (r#"{"currentContext":""}"#, None),
            (r#"{"currentContext":null}"#, None),
            ("{}", None),
            ("", None),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(current(), (name.map(str::to_owned), None), "{text}");
        }
        for text in [
            r#"{"currentContext":"x""#,
            r#"{"currentContext":5}"#,
            "[]",
            "\u{feff}{\"currentContext\":\"x\"}",
        ] {
            fs::write(&file, text).unwrap();
            let (name, warning) = current();
            assert_eq!(name, None, "{text}");
            assert!(warning.unwrap().contains("config.json: "), "{text}");
        }
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        let warning = current().1.unwrap();
        assert!(warning.contains("directory, not a file"), "{warning}");
    }

    #[test]
    fn a_context_is_read_as_docker_reads_it() {
        let directory = TempDir::new().unwrap();
        let configuration = configuration(directory.path());
        let missing = configuration.endpoint("../x").unwrap_err();
        assert!(missing.contains("does not exist"), "{missing}");
        // printf %s x | sha256sum
        let id = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        let meta = directory.path().join("contexts/meta").join(id);
        fs::create_dir_all(&meta).unwrap();
        let endpoint = |text: &str| {
            fs::write(meta.join("meta.json"), text).unwrap();
            configuration.endpoint("x")
        };
        for (text, host) in [
            (
                r#"{"Endpoints":{"docker":{"Host":"unix:///a"}}}"#,
                "unix:///a",
            ),
            (
                r#"{"Name":"y","endpoints":{"docker":{"host":"unix:///a"}}}"#,
                "unix:///a",
            ),
            (r#"{"Endpoints":{"docker":{}}}"#, ""),
            (r#"{"Endpoints":{"docker":{"Host":null}}}"#, ""),
        ] {
            let host = host.to_owned();
            assert_eq!(endpoint(text), Ok(Endpoint { host, tls: None }), "{text}");
        }
        for text in [
            "",
            "[]",
            r#"{"Endpoints":{"docker":{"Host":"unix:///a"}}"#,
            r#"{"Endpoints":{"docker":{"Host":"unix:///a"}}} junk"#,
            r#"{"Name":"x"}"#,
            r#"{"Endpoints":{"Docker":{"Host":"unix:///a"}}}"#,
            r#"{"Endpoints":{"docker":null}}"#,
            r#"{"Endpoints":{"docker":{"Host":5}}}"#,
        ] {
            let error = endpoint(text).unwrap_err();
            assert!(error.contains("meta.json: "), "{error}");
        }
        let tls = r#"{"Endpoints":{"docker":{"Host":"tcp://127.0.0.1:1","SkipTLSVerify":true}}}"#;
        let verified = |text| endpoint(text).unwrap().tls.map(|tls| tls.is_verified);
        assert_eq!(verified(tls), Some(false));
        let plain = tls.replace("true", "false");
        assert_eq!(verified(&plain), None);
        let keys = directory
            .path()
            .join("contexts/tls")
            .join(id)
            .join("docker");
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("ca.pem"), "").unwrap();
        let directory = keys;
        let is_verified = true;
        let expected = Tls {
            directory,
            is_verified,
        };
        assert_eq!(endpoint(&plain).unwrap().tls, Some(expected));
    }

    #[test]
    fn tls_of_the_environment_is_dockers() {
        let tls = |variables: &'static [(&str, &str)]| {
            let env = move |name: &str| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let tls = Configuration::new(env).tls(env)?;
            Some((tls.directory.display().to_string(), tls.is_verified))
        };
        let at = |directory: &str, is_verified| Some((directory.to_owned(), is_verified));
        assert_eq!(tls(&[("HOME", "/h"), ("DOCKER_TLS_VERIFY", "")]), None);
        let home = tls(&[("HOME", "/h"), ("DOCKER_TLS_VERIFY", "1")]);
        assert_eq!(home, at("/h/.docker", true));
        let named = tls(&[("DOCKER_TLS", "1"), ("DOCKER_CERT_PATH", "/c")]);
        assert_eq!(named, at("/c", false));
    }
}
