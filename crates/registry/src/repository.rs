//! A repository in a registry: its manifests, and the paths of the protocol.

use oci::Digest;
use oci::Reference;
use ureq::http::{HeaderName, Method, Uri, header};

use crate::auth::Party;
use crate::error::{Error, Place, Result};
use crate::exchange::{Answer, Call};
use crate::manifest::{ACCEPTED, StoredManifest};
use crate::transport::Transport;
use crate::url::escape;

/// What a repository is to be used for; tokens are asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
}

/// A repository, reached through a [`crate::Client`].
#[derive(Clone)]
pub struct Repository<'c> {
    pub(crate) transport: &'c Transport,
    registry: String,
    name: String,
    base: Uri,
    scopes: Vec<String>,
}

/// The header in which registries name the digest of what they store or give.
const CONTENT_DIGEST: &str = "docker-content-digest";

impl<'c> Repository<'c> {
    pub(crate) fn new(transport: &'c Transport, reference: &Reference, access: Access) -> Self {
        let endpoint = reference.endpoint();
        let scheme = if transport.is_plain(endpoint) {
            "http"
        } else {
            "https"
        };
        let base = Uri::builder()
            .scheme(scheme)
            .authority(endpoint)
            .path_and_query("/")
            .build();
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        Self {
            transport,
            registry: reference.registry().to_owned(),
            name: reference.repository().to_owned(),
            // A reference's registry is a host, which was checked.
            base: base.unwrap_or_default(),
            scopes: vec![format!("repository:{}:{actions}", reference.repository())],
        }
    }

    /// The registry as references name it.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's name in its registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same repository, from which blobs of `others` may be mounted, too.
    pub(crate) fn with_sources<'a>(&self, others: impl IntoIterator<Item = &'a str>) -> Self {
        let mut repository = self.clone();
        let mut scopes: Vec<_> = others
            .into_iter()
            .filter(|other| *other != self.name)
            .map(|other| format!("repository:{other}:pull"))
            .filter(|scope| !self.scopes.contains(scope))
            .collect();
        scopes.sort();
        scopes.dedup();
        repository.scopes.append(&mut scopes);
        repository
    }

    pub(crate) fn place(&self, doing: impl Into<String>) -> Place {
        Place::new(&self.registry, &self.name, doing)
    }

    /// A request to `path` below the repository, such as `manifests/latest`.
    pub(crate) fn call(&self, method: Method, path: &str, place: Place) -> Result<Call<'_>> {
        let text = format!("{}v2/{}/{path}", self.base, self.name);
        let uri = text.parse().map_err(|error| Error::Answer {
            place: place.clone(),
            why: format!("{text} is not an address: {error}"),
        })?;
        Ok(self.call_to(method, uri, place))
    }

    /// A request to an address that the registry gave.
    pub(crate) fn call_to(&self, method: Method, uri: Uri, place: Place) -> Call<'_> {
        let party = Party {
            registry: &self.registry,
            repository: &self.name,
            scopes: &self.scopes,
        };
        Call {
            place,
            method,
            uri,
            headers: Vec::new(),
            party: Some((party, &self.base)),
        }
    }

    /// The manifest or index under `identifier` (a tag or a digest); none if there is none.
    ///
    /// # Errors
    ///
    /// The registry cannot be asked, or its answer has another digest than it says.
    pub fn manifest(&self, identifier: &str) -> Result<Option<StoredManifest>> {
        let place = self.place(format!("manifest {identifier}"));
        let mut call = self.call(
            Method::GET,
            &format!("manifests/{}", segment(identifier)),
            place.clone(),
        )?;
        call.headers.push((header::ACCEPT, ACCEPTED.join(", ")));
        let answer = self.transport.answer(&call, None)?;
        match answer.status.as_u16() {
            200 => {}
            404 => return Ok(None),
            _ => return Err(answer.refused(&place)),
        }
        let actual = Digest::of(&answer.body);
        if let Some(expected) = named_digest(&answer, &place)?
            && expected != actual
        {
            let who =
                "the registry named it in its own answer; its storage or a proxy may be broken";
            return Err(Error::DigestMismatch {
                place,
                expected,
                actual,
                who,
            });
        }
        if let Ok(expected) = identifier.parse::<Digest>()
            && expected != actual
        {
            let who = "it was asked for by this digest";
            return Err(Error::DigestMismatch {
                place,
                expected,
                actual,
                who,
            });
        }
        let media_type = answer
            .header(header::CONTENT_TYPE)
            .unwrap_or_default()
            .to_owned();
        StoredManifest::read(identifier, &media_type, answer.body)
            .map(Some)
            .map_err(|why| Error::Answer { place, why })
    }

    /// Puts a manifest or index under `identifier`: a tag, or its own digest for one without a tag.
    /// Gives its digest.
    ///
    /// Everything that it lists must be there; [`crate::Push::manifest`] sees to that.
    ///
    /// # Errors
    ///
    /// The registry refuses it, or stores something else.
    pub fn put_manifest(&self, identifier: &str, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        self.store_manifest(identifier, media_type, bytes)?;
        Ok(Digest::of(bytes))
    }

    /// The same; gives the registry's answer.
    pub(crate) fn store_manifest(
        &self,
        identifier: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Answer> {
        let place = self.place(format!("push of manifest {identifier}"));
        let mut call = self.call(
            Method::PUT,
            &format!("manifests/{}", segment(identifier)),
            place.clone(),
        )?;
        call.headers
            .push((header::CONTENT_TYPE, media_type.to_owned()));
        let answer = self.transport.answer(&call, Some(bytes))?;
        if !answer.status.is_success() {
            return Err(answer.refused(&place));
        }
        self.expect_digest(&answer, &place, Digest::of(bytes))?;
        Ok(answer)
    }

    /// Whether the blob is there, by the registry's own word.
    pub(crate) fn has_blob(&self, digest: Digest, size: u64) -> Result<bool> {
        let place = self.place(format!("look for blob {digest}"));
        let call = self.call(Method::HEAD, &format!("blobs/{digest}"), place.clone())?;
        let answer = self.transport.answer(&call, None)?;
        match answer.status.as_u16() {
            200 => {}
            404 => return Ok(false),
            _ => return Err(answer.refused(&place)),
        }
        // A word about another blob says nothing about this one.
        if named_digest(&answer, &place)?.is_some_and(|named| named != digest) {
            return Ok(false);
        }
        let actual = answer
            .header(header::CONTENT_LENGTH)
            .and_then(|length| length.parse::<u64>().ok());
        if let Some(actual) = actual.filter(|actual| *actual != size) {
            let why = format!(
                "it has {actual} bytes under that digest, not {size}: its storage may be broken"
            );
            return Err(Error::Answer { place, why });
        }
        Ok(true)
    }

    /// Checks the digest that the registry names after it stored something.
    pub(crate) fn expect_digest(
        &self,
        answer: &Answer,
        place: &Place,
        expected: Digest,
    ) -> Result<()> {
        match named_digest(answer, place)? {
            Some(actual) if actual != expected => {
                let who = "the registry says that it stored something else than was sent";
                Err(Error::DigestMismatch {
                    place: place.clone(),
                    expected,
                    actual,
                    who,
                })
            }
            _ => Ok(()),
        }
    }
}

fn named_digest(answer: &Answer, place: &Place) -> Result<Option<Digest>> {
    let name = HeaderName::from_static(CONTENT_DIGEST);
    match answer.header(name) {
        // A registry may use another algorithm; then there is nothing to compare.
        Some(text) if text.starts_with("sha256:") => {
            text.parse()
                .map(Some)
                .map_err(|error: oci::ParseDigestError| Error::Answer {
                    place: place.clone(),
                    why: error.to_string(),
                })
        }
        _ => Ok(None),
    }
}

/// A tag or digest as a part of a path.
fn segment(identifier: &str) -> String {
    escape(identifier).replace("%3A", ":")
}
