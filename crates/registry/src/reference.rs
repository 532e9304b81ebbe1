//! Names of images: `host:port/repository:tag@digest`, with the defaults that Docker gives.
//!
//! The grammar is that of the distribution project's `reference` package; the short forms
//! (`alpine`, `user/app`) mean Docker Hub, as everywhere.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use image::digest::{Digest, ParseDigestError};

/// Docker Hub's name in references; its registry answers elsewhere ([`Reference::endpoint`]).
const DOCKER_HUB: &str = "docker.io";

/// An image's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReferenceError {
    #[error(
        "{text:?} is not an image reference: {why}; write HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]"
    )]
    Syntax { text: String, why: &'static str },
    #[error("{text:?} is not an image reference: {source}")]
    Digest {
        text: String,
        source: ParseDigestError,
    },
}

impl Reference {
    /// The registry as the reference names it: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The host and port that speak the protocol for [`Self::registry`].
    pub fn endpoint(&self) -> &str {
        if self.registry == DOCKER_HUB {
            "registry-1.docker.io"
        } else {
            &self.registry
        }
    }

    /// The repository within the registry: `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, where one was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one was written.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What a manifest is asked for by: the digest, else the tag, else `latest`.
    pub fn identifier(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// What a push writes to: the tag, else `latest`.
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// The same repository under `tag`.
    ///
    /// # Errors
    /// When `tag` is none.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Syntax {
                text: tag.to_owned(),
                why: BAD_TAG,
            });
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// The same repository, at `digest`; the tag stays.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }
}

const BAD_TAG: &str =
    "a tag has up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two";

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |why| ReferenceError::Syntax {
            text: text.chars().take(300).collect(),
            why,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|source| ReferenceError::Digest {
                    text: text.chars().take(300).collect(),
                    source,
                })?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        // A colon after the last slash begins a tag; before it, a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(error(BAD_TAG));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path),
            _ => (DOCKER_HUB, name),
        };
        let registry = if registry == "index.docker.io" {
            DOCKER_HUB
        } else {
            registry
        };
        if !is_authority(registry) {
            return Err(error("the registry is not HOST or HOST:PORT"));
        }
        let repository = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if path.is_empty() {
            return Err(error("the repository is missing"));
        }
        if !is_repository(&repository) {
            return Err(error(
                "a repository is made of lower case letters and digits, parted by `/`, `.`, `_` or `-`",
            ));
        }
        if registry.len() + 1 + repository.len() > 255 {
            return Err(error("the name is longer than 255 characters"));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether the first part of a name means a host rather than a part of a repository.
fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = if authority.starts_with('[') {
        match authority.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or("-"))),
            None => return false,
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port_is_good = port.is_none_or(|port| {
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    let host_is_good = match host.strip_prefix('[') {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    host_is_good && port_is_good
}

pub(crate) fn is_repository(path: &str) -> bool {
    path.split('/').all(|part| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(inner)
            && bytes.last().copied().is_some_and(inner)
            && part
                .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                .all(|between| {
                    matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-')
                })
    })
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Whether `authority` (host, or host and port) is this machine's own loopback.
pub(crate) fn is_loopback(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest
            .split_once(']')
            .and_then(|(address, _)| address.parse::<Ipv6Addr>().ok())
            .is_some_and(|address| address.is_loopback());
    }
    let host = authority
        .split_once(':')
        .map_or(authority, |(host, _)| host);
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_forms_mean_docker_hub() {
        for (text, full) in [
            ("alpine", "docker.io/library/alpine"),
            ("alpine:3.20", "docker.io/library/alpine:3.20"),
            ("user/app", "docker.io/user/app"),
            ("docker.io/alpine", "docker.io/library/alpine"),
            ("index.docker.io/user/app:1", "docker.io/user/app:1"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/a/b/c:v1", "localhost:5000/a/b/c:v1"),
            ("127.0.0.1:5000/a__b/c--d:v1", "127.0.0.1:5000/a__b/c--d:v1"),
            ("[::1]:5000/app:v1", "[::1]:5000/app:v1"),
            ("ghcr.io/Owner.x", ""),
            ("MYHOST/app", "MYHOST/app"),
        ] {
            match text.parse::<Reference>() {
                Ok(reference) => assert_eq!(reference.to_string(), full, "{text}"),
                Err(error) => assert_eq!(full, "", "{error}"),
            }
        }
        let hub: Reference = "alpine".parse().unwrap();
        assert_eq!(hub.endpoint(), "registry-1.docker.io");
        assert_eq!(hub.identifier(), "latest");
    }

    #[test]
    fn a_digest_is_asked_for_before_the_tag() {
        let text = format!("host:1/app:v2@sha256:{HEX}");
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.identifier(), format!("sha256:{HEX}"));
        assert_eq!(reference.tag_or_latest(), "v2");
        assert_eq!(reference.to_string(), text);
        assert_eq!(
            reference.with_tag("v3").unwrap().to_string(),
            "host:1/app:v3"
        );
        assert!(reference.with_tag("-v3").is_err());
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = format!("host/{}", "a".repeat(251));
        let tag = format!("host/app:{}", "t".repeat(129));
        for text in [
            "",
            ":v1",
            "/app",
            "host:5000/",
            "host.x/App",
            "app:",
            "app:.x",
            "app:v 1",
            "a//b",
            "a/-b",
            "a/b-",
            "a/b___c",
            "a/b..c",
            "host:port/app",
            "host:99999/app",
            "[::1/app",
            "[::z]:5/app",
            "ho_st.x/app",
            "app@sha256:12",
            "app@",
            "app\n",
            long.as_str(),
            tag.as_str(),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn loopback_is_known_by_its_names_and_addresses() {
        for host in [
            "localhost",
            "localhost:5000",
            "x.localhost:1",
            "127.0.0.1:5000",
            "127.8.9.1",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example.org",
            "128.0.0.1",
            "10.0.0.1:5000",
            "[::2]:1",
            "127.0.0.1.example.org",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
