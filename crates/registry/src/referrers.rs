//! Artifacts that refer to an image, such as an SBOM: kept beside it, without a tag of their own.
//!
//! Follows the referrers API of the distribution specification 1.1, and for registries without it
//! the tag that the specification names in its place. That a registry has the API is only known
//! from an entry that it lists: some answer with an empty list, or redirect to a page for people.

use oci::{Descriptor, Digest, media_type};
use serde_json::json;
use ureq::http::{Method, Uri, header};

use crate::error::{Error, Place, Result};
use crate::exchange::Answer;
use crate::manifest::{Document, StoredManifest};
use crate::repository::Repository;
use crate::url::{escape, resolve};

/// By this header a registry says that it lists a manifest as a referrer of its subject.
const SUBJECT: &str = "oci-subject";

/// The maximum number of pages of a list that are read.
const PAGES: u32 = 100;

impl Repository<'_> {
    /// The artifacts of this type that refer to the manifest of digest `subject`.
    ///
    /// # Errors
    ///
    /// The registry cannot be asked.
    pub fn referrers(&self, subject: Digest, artifact_type: &str) -> Result<Vec<Descriptor>> {
        let mut entries = self.listed_referrers(subject, artifact_type)?;
        if entries.is_empty() {
            let fallback = self.manifest(&fallback_tag(subject))?;
            entries = fallback.map_or_else(Vec::new, entries_of);
        }
        let mut found = Vec::new();
        for entry in entries {
            // Registries may leave the filter to us, and the type to the manifest.
            let is_wanted = match &entry.artifact_type {
                Some(of_entry) => of_entry == artifact_type,
                None => {
                    let manifest = self.manifest(&entry.digest.to_string())?;
                    let of_manifest = manifest.and_then(|manifest| manifest.artifact_type);
                    of_manifest.as_deref() == Some(artifact_type)
                }
            };
            if is_wanted {
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// What the referrers API lists; nothing where there is no such API.
    fn listed_referrers(&self, subject: Digest, artifact_type: &str) -> Result<Vec<Descriptor>> {
        let place = self.place(format!("referrers of {subject}"));
        let path = format!("referrers/{subject}?artifactType={}", escape(artifact_type));
        let mut call = self.call(Method::GET, &path, place.clone())?;
        let mut entries = Vec::new();
        for _ in 0..PAGES {
            call.headers
                .push((header::ACCEPT, media_type::INDEX.to_owned()));
            let answer = self.transport.answer(&call, None)?;
            let was_redirected = answer.uri != call.uri;
            match answer.status.as_u16() {
                200 => {}
                400 | 404 | 405 => return Ok(entries),
                _ if was_redirected => return Ok(entries),
                _ => return Err(answer.refused(&place)),
            }
            let next = next_page(&answer);
            entries.extend(page_entries(answer, &place)?);
            let Some(next) = next else {
                return Ok(entries);
            };
            call = self.call_to(Method::GET, next, place.clone());
        }
        Err(Error::Answer {
            place,
            why: format!("the list has more than {PAGES} pages"),
        })
    }

    /// Puts an artifact's manifest, whose `subject` names the manifest that it refers to. Its
    /// blobs must be there. Gives its digest.
    ///
    /// # Errors
    ///
    /// The manifest is none or has no subject, or the registry refuses it.
    pub fn put_referrer(&self, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let unusable = |why: String| Error::Answer {
            place: self.place(format!("push of manifest {digest}")),
            why,
        };
        let artifact = StoredManifest::read(&digest.to_string(), media_type, bytes.to_vec())
            .map_err(unusable)?;
        let Some(subject) = &artifact.subject else {
            return Err(unusable("it names no subject".to_owned()));
        };
        let answer = self.store_manifest(&artifact.identifier, media_type, bytes)?;
        if answer.headers.contains_key(SUBJECT) {
            return Ok(digest);
        }
        let entry = Descriptor {
            artifact_type: artifact.artifact_type,
            annotations: artifact.annotations,
            ..Descriptor::of(media_type, bytes)
        };
        self.edit_index(&fallback_tag(subject.digest), &entry, |entries| {
            let name = digest.to_string();
            entries.retain(|entry| entry["digest"].as_str() != Some(&name));
            entries.push(json!(entry));
        })?;
        Ok(digest)
    }
}

/// The entries of one answer; none where it is not a list, such as a page for people.
fn page_entries(answer: Answer, place: &Place) -> Result<Vec<Descriptor>> {
    let content_type = answer.header(header::CONTENT_TYPE).unwrap_or_default();
    let is_index = content_type.starts_with(media_type::INDEX);
    match StoredManifest::read("", media_type::INDEX, answer.body) {
        Ok(index) => Ok(entries_of(index)),
        Err(why) if is_index => Err(Error::Answer {
            place: place.clone(),
            why,
        }),
        Err(_) => Ok(Vec::new()),
    }
}

fn entries_of(index: StoredManifest) -> Vec<Descriptor> {
    match index.document {
        Document::Index { manifests } => manifests,
        Document::Image { .. } => Vec::new(),
    }
}

/// Where the list goes on: `Link: <ADDRESS>; rel="next"` (RFC 8288).
fn next_page(answer: &Answer) -> Option<Uri> {
    let (target, parameters) = answer
        .header(header::LINK)?
        .trim()
        .strip_prefix('<')?
        .split_once('>')?;
    let is_next = parameters
        .split(';')
        .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
    resolve(&answer.uri, target).filter(|_| is_next)
}

/// The tag under which the specification keeps the list where the registry has no API for it.
fn fallback_tag(subject: Digest) -> String {
    format!("sha256-{}", subject.hex())
}
