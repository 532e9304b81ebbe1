//! Where a cache's files lie: a directory, a web server, or a bucket.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use net::basic;
use nix_compat::shown;
use percent_encoding::percent_decode_str;
use url::Url;

use super::environment::Environment;
use super::error::{BinaryCacheError, FetchError};
use super::http::{Ask, Client, Request};
use super::netrc::Netrc;
use super::s3::S3;

/// A place with files that have names.
#[derive(Debug)]
pub(super) struct Place {
    /// The address for messages, without a password.
    shown: String,
    kind: Kind,
    netrc: Netrc,
}

#[derive(Debug)]
enum Kind {
    Directory(PathBuf),
    Web {
        /// Ends without `/`.
        base: String,
        authorization: Option<String>,
    },
    S3(S3),
}

/// A file of a place, its bytes as they are kept there.
pub(super) struct Fetched<'a> {
    pub(super) data: Box<dyn Read + Send + 'a>,
    /// Value of `Content-Encoding`, if it is not kept as it should be used.
    pub(super) encoding: Option<String>,
}

/// What an address says of its cache beside its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) priority: Option<i64>,
    /// Whether its paths need no signature.
    pub(super) trusted: bool,
    /// Names of parameters that mean nothing.
    pub(super) unknown: Vec<String>,
}

/// Parameters of Nix that say how it writes to a cache, what it keeps of it or how it schedules builds,
/// and those of S3 that are read elsewhere: they are right in an address, and mean nothing here.
const OTHER_PARAMETERS: [&str; 22] = [
    "buffer-size",
    "compression",
    "compression-level",
    "endpoint",
    "index-debug-info",
    "local-nar-cache",
    "log-compression",
    "ls-compression",
    "multipart-chunk-size",
    "multipart-threshold",
    "multipart-upload",
    "narinfo-compression",
    "parallel-compression",
    "path-info-cache-size",
    "profile",
    "region",
    "scheme",
    "secret-key",
    "secret-keys",
    "system-features",
    "want-mass-query",
    "write-nar-listing",
];

impl Settings {
    fn parse(url: &Url) -> Result<Self, String> {
        let mut settings = Self::default();
        for (name, value) in url.query_pairs() {
            match &*name {
                "priority" => {
                    let priority = value.parse().map_err(|_| "its priority is not a number")?;
                    settings.priority = Some(priority);
                }
                // The words that Nix takes.
                "trusted" => {
                    settings.trusted = match &*value {
                        "true" | "yes" | "1" => true,
                        "false" | "no" | "0" => false,
                        _ => return Err("its `trusted` is neither true nor false".to_owned()),
                    }
                }
                name if OTHER_PARAMETERS.contains(&name) => {}
                name => settings.unknown.push(name.to_owned()),
            }
        }
        Ok(settings)
    }
}

impl Place {
    /// Takes an address, and the settings in it.
    pub(super) fn parse(
        text: &str,
        environment: &Environment,
    ) -> Result<(Self, Settings), BinaryCacheError> {
        let mut url: Url = text.parse().map_err(|error| BinaryCacheError::Address {
            // What is not an address may hold a password anywhere.
            url: text.rsplit('@').next().unwrap_or_default().to_owned(),
            why: format!("{error}"),
        })?;
        let authorization = match url.password() {
            None if url.username().is_empty() => None,
            password => {
                let name = percent_decoded(url.username());
                Some(basic(&name, &percent_decoded(password.unwrap_or_default())))
            }
        };
        // These fail for addresses that can have neither, as `file:///x`, which then has neither.
        let _ = (url.set_username(""), url.set_password(None));
        let wrong = |why: &str| BinaryCacheError::Address {
            url: url.to_string(),
            why: why.to_owned(),
        };
        let settings = Settings::parse(&url).map_err(|why| wrong(&why))?;
        let shown = url.as_str().split('?').next().unwrap_or_default();
        let shown = shown.trim_end_matches('/').to_owned();
        let (kind, netrc) = match url.scheme() {
            "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| wrong("file:///DIRECTORY was expected"))?;
                (Kind::Directory(path), Netrc::default())
            }
            "http" | "https" => {
                let netrc = Netrc::find(environment)?;
                let host = url.host_str().unwrap_or_default();
                let authorization = authorization.or_else(|| {
                    netrc
                        .get(host)
                        .map(|(name, password)| basic(name, password))
                });
                let base = shown.clone();
                (
                    Kind::Web {
                        base,
                        authorization,
                    },
                    netrc,
                )
            }
            "s3" => (Kind::S3(S3::open(&url, environment)?), Netrc::default()),
            _ => return Err(wrong("file://, http://, https:// or s3:// was expected")),
        };
        let place = Self { shown, kind, netrc };
        Ok((place, settings))
    }

    /// The address, for messages.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The address of a file, for messages.
    pub(super) fn shown_file(&self, name: &str) -> String {
        if is_address(name) {
            // What follows may be a signature that lets anyone in.
            return shown(name.split('?').next().unwrap_or_default());
        }
        format!("{}/{}", self.shown, shown(name))
    }

    /// Whether files are near, and asking for many at once gains nothing.
    pub(super) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// Opens a file; nothing if it is not there.
    pub(super) fn open<'a>(
        &'a self,
        client: &'a Client,
        name: &'a str,
    ) -> Result<Option<Fetched<'a>>, FetchError> {
        let ask: Ask<'a> = match &self.kind {
            Kind::Directory(directory) => return open_file(directory, name),
            Kind::Web { .. } if is_address(name) => Box::new(move || self.elsewhere(name)),
            Kind::Web {
                base,
                authorization,
            } => Box::new(move || Request {
                url: format!("{base}/{name}"),
                authorization: authorization.clone(),
            }),
            Kind::S3(_) if is_address(name) => {
                let why = "the address leads out of the bucket";
                return Err(FetchError::Io(io::Error::other(why)));
            }
            Kind::S3(s3) => Box::new(move || s3.request(name)),
        };
        let answer = client.download(ask)?;
        Ok(answer.map(|(download, encoding)| Fetched {
            data: Box::new(download),
            encoding,
        }))
    }

    /// A file on another server does not get this server's password.
    fn elsewhere(&self, url: &str) -> Request {
        let host = Url::parse(url).ok();
        let host = host.as_ref().and_then(Url::host_str);
        let login = host.and_then(|host| self.netrc.get(host));
        Request {
            url: url.to_owned(),
            authorization: login.map(|(name, password)| basic(name, password)),
        }
    }
}

fn open_file<'a>(directory: &Path, name: &str) -> Result<Option<Fetched<'a>>, FetchError> {
    let name = Path::new(name);
    if !name
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
        || is_address(name)
    {
        let why = "the address leads out of the directory";
        return Err(FetchError::Io(io::Error::other(why)));
    }
    match files::open(&directory.join(name)) {
        Ok(file) => Ok(Some(Fetched {
            data: Box::new(file),
            encoding: None,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FetchError::Io(error)),
    }
}

fn is_address(name: impl AsRef<Path>) -> bool {
    let name = name.as_ref().as_os_str().as_encoded_bytes();
    name.starts_with(b"http://") || name.starts_with(b"https://")
}

fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Place, Settings), String> {
        Place::parse(text, &Environment::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses() {
        let text = "https://me:p%40ss+=&@cache.example/x/?priority=-3&trusted=1&prority=2";
        let (place, settings) = parse(text).unwrap();
        assert_eq!(place.shown(), "https://cache.example/x");
        assert_eq!(settings.priority, Some(-3));
        assert!(settings.trusted);
        assert_eq!(settings.unknown, ["prority"]);
        let Kind::Web {
            base,
            authorization,
        } = place.kind
        else {
            panic!("not on the web");
        };
        assert_eq!(base, "https://cache.example/x");
        assert_eq!(authorization.unwrap(), basic("me", "p@ss+=&"));

        let (place, settings) = parse("file:///some%20where?compression=zstd").unwrap();
        assert_eq!(settings, Settings::default());
        let Kind::Directory(path) = place.kind else {
            panic!("not a directory");
        };
        assert_eq!(path, Path::new("/some where"));
    }

    #[test]
    fn addresses_of_nothing() {
        for text in [
            "",
            "/dir",
            "ssh://x",
            "daemon",
            "https://",
            "file://host/dir",
            "https://x?priority=y",
            "https://x?trusted=maybe",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let error = parse("http://me:secret@[x").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        let error = parse("ssh://me:secret@x").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn names_stay_in_their_place() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), "x").unwrap();
        let inner = directory.path().join("cache");
        std::fs::create_dir(&inner).unwrap();
        for name in ["../f", "/etc/passwd", "a?/../../f", "http://f/"] {
            assert!(open_file(&inner, name).is_err(), "{name}");
        }
        assert!(open_file(&inner, "f").unwrap().is_none());
        assert!(open_file(directory.path(), "f").unwrap().is_some());
    }
}
