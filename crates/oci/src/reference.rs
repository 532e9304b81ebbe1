//! Names of images: `host:port/repository:tag@digest`, with the defaults that Docker gives.
//!
//! The grammar is that of the distribution project's `reference` package; the short forms
//! (`alpine`, `user/app`) mean Docker Hub, as everywhere.
//!
//! A [`Reference`] is checked, since a registry is asked by it, and so is a name that an image is
//! given ([`check_name`]). nixpkgs' functions write other names into files, too; [`split_tag`] and
//! [`full_name`] take such names apart and check nothing.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::digest::{Digest, ParseDigestError};

/// The tag that a name without one stands for.
pub const DEFAULT_TAG: &str = "latest";

/// Docker Hub's name in references; its registry answers elsewhere ([`Reference::endpoint`]).
const DOCKER_HUB: &str = "docker.io";

/// Parts a name from its tag: a colon after the last slash begins a tag; before it, a port.
pub fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

/// Checks a name `[REGISTRY/]REPOSITORY:TAG` that an image is given: Docker, podman and containerd
/// refuse others, but only after they have received the whole image.
///
/// # Errors
///
/// It does not follow the grammar, or has a digest, which an image that is yet to be made has not.
pub fn check_name(name: &str) -> Result<(), ReferenceError> {
    let reference: Reference = name.parse()?;
    let why = if reference.digest.is_some() {
        "an image has its digest only when it is made; leave out the `@` and what follows"
    } else if !reference.registry.contains(['.', ':']) && reference.registry != "localhost" {
        // Only Docker from version 23 on takes `Host/app` for a host and an image there.
        BAD_REPOSITORY
    } else {
        return Ok(());
    };
    Err(ReferenceError::Syntax {
        text: shown(name),
        why,
    })
}

/// Makes the repository's part of a name out of any text: what cannot be in one becomes `-`, and
/// `image` stands for a text of which nothing is left.
pub fn repository_from(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut name = String::new();
    let mut between = String::new();
    for character in text.to_lowercase().chars() {
        if !is_word(character) {
            between.push(character);
            continue;
        }
        if !name.is_empty() && !between.is_empty() {
            name += if is_separator(&between) {
                &between
            } else {
                "-"
            };
        }
        between.clear();
        name.push(character);
    }
    if name.is_empty() {
        name.push_str("image");
    }
    name
}

/// The name with registry and tag, as containerd stores it: `docker.io/library/hello:latest` for
/// `hello`.
pub fn full_name(name: &str) -> String {
    let (name, tag) = split_tag(name);
    let (registry, repository) = split_registry(name);
    format!("{registry}/{repository}:{}", tag.unwrap_or(DEFAULT_TAG))
}

/// Parts a name without a tag into its registry and its repository there. Without a registry,
/// Docker Hub is meant, whose own images are in `library`.
fn split_registry(name: &str) -> (&str, Cow<'_, str>) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => (DOCKER_HUB, name),
    };
    match registry {
        DOCKER_HUB | "index.docker.io" if !repository.contains('/') => {
            (DOCKER_HUB, format!("library/{repository}").into())
        }
        "index.docker.io" => (DOCKER_HUB, repository.into()),
        _ => (registry, repository.into()),
    }
}

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
pub enum ReferenceError {
    /// It does not follow the grammar.
    #[error(
        "{text:?} is not an image reference: {why}; write HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]"
    )]
    Syntax {
        /// The start of the text.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What follows the `@` is not a digest.
    #[error("{text:?} is not an image reference: {why}")]
    Digest {
        /// The start of the text.
        text: String,
        /// What is wrong with the digest.
        why: ParseDigestError,
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
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// What a push writes to: the tag, else `latest`.
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or(DEFAULT_TAG)
    }

    /// The same repository, at `digest`; the tag stays.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }
}

const BAD_REPOSITORY: &str =
    "a repository is made of lower case letters and digits, parted by `/`, `.`, `_` or `-`";

const BAD_TAG: &str =
    "a tag has up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two";

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |why| ReferenceError::Syntax {
            text: shown(text),
            why,
        };
        if text.contains("://") {
            return Err(error(
                "it is an address; leave out what comes before the host",
            ));
        }
        if has_password(text) {
            return Err(error(
                "it has no place for a user and a password; use `docker login`",
            ));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|why| ReferenceError::Digest {
                    text: shown(text),
                    why,
                })?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(error(BAD_TAG));
        }
        let (registry, repository) = split_registry(name);
        if !is_authority(registry) {
            return Err(error("the registry is not HOST or HOST:PORT"));
        }
        if repository.is_empty() || repository == "library/" {
            return Err(error("the repository is missing"));
        }
        if !is_repository(&repository) {
            return Err(error(BAD_REPOSITORY));
        }
        if registry.len() + 1 + repository.len() > 255 {
            return Err(error("the name is longer than 255 characters"));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.into_owned(),
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

/// The start of a text, without the password that somebody may have written into it.
fn shown(text: &str) -> String {
    let without = match text.rsplit_once('@') {
        Some((_, rest)) if text.contains("://") || has_password(text) => format!("…@{rest}"),
        _ => text.to_owned(),
    };
    without.chars().take(300).collect()
}

/// Whether a text is `USER:PASSWORD@HOST/…`, as addresses have it, rather than `NAME:TAG@DIGEST`.
fn has_password(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    parts.is_some_and(|(user, rest)| user.contains(':') && rest.contains('/'))
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

fn is_repository(path: &str) -> bool {
    path.split('/').all(|part| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(inner)
            && bytes.last().copied().is_some_and(inner)
            && part
                .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                .all(is_separator)
    })
}

/// Whether a text may stand between the words of a repository.
fn is_separator(text: &str) -> bool {
    matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-')
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
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
    fn names_that_engines_refuse_are_refused() {
        for name in [
            "hello:1",
            "me/hello",
            "localhost:5000/a/b:v1.2_a-B",
            "Host.x/a:1",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let digest = format!("a@sha256:{HEX}");
        let long = format!("{}:1", "a".repeat(300));
        let tag = format!("a:{}", "t".repeat(129));
        for (name, why) in [
            ("Foo/Bar:1", "lower case"),
            ("UPPER/x", "lower case"),
            ("a b:1", "lower case"),
            ("a:b c", "a tag has"),
            ("a:1\n", "a tag has"),
            ("https://reg/a:1", "leave out what comes before the host"),
            ("docker://reg/a:1", "leave out what comes before the host"),
            (digest.as_str(), "digest"),
            (long.as_str(), "longer than 255"),
            (tag.as_str(), "up to 128"),
            ("é:1", "lower case"),
            (":1", "missing"),
            ("a:", "a tag has"),
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        for text in [
            "https://user:s3cret@host/a:1",
            "user:s3cret@host/a",
            "user:s3cret@host:5000/a:1",
            "user:s3@cret@host/a",
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(!error.contains("s3"), "{error}");
            assert!(error.contains("host"), "{error}");
        }
    }

    #[test]
    fn any_text_becomes_a_repository() {
        for (text, name) in [
            ("hello", "hello"),
            ("libstdc++", "libstdc"),
            ("gtk+3", "gtk-3"),
            ("Python_3", "python_3"),
            ("a..b", "a-b"),
            ("a--b__c", "a--b__c"),
            ("-?-", "image"),
        ] {
            assert_eq!(repository_from(text), name);
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn names_of_images_that_no_registry_is_asked_for() {
        for (name, full) in [
            ("hello:1", "docker.io/library/hello:1"),
            ("me/hello", "docker.io/me/hello:latest"),
            ("docker.io/hello", "docker.io/library/hello:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("ghcr.io/a:v2", "ghcr.io/a:v2"),
            // No reference, but nixpkgs' functions take such names.
            ("My Image", "docker.io/library/My Image:latest"),
        ] {
            assert_eq!(full_name(name), full);
        }
        assert_eq!(split_tag("host:1/a"), ("host:1/a", None));
        assert_eq!(split_tag("host:1/a:b"), ("host:1/a", Some("b")));
        assert_eq!(split_tag("a:"), ("a", Some("")));
    }
}
