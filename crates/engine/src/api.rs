//! An engine that speaks an HTTP API: Docker or podman.

use crate::client::Client;
use crate::error::Error;
use crate::send::Archive;
use crate::temporary_name::{LOADING, Owner, PROBE};
use crate::{docker, podman};

/// An engine that speaks Docker's or podman's API.
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) store: Store,
}

/// How an engine keeps images, which decides what it can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// Docker's own: layers by chain, unpacked. It takes a docker-archive.
    Classic,
    /// containerd's below Docker: blobs by digest, beside their unpacked snapshots. It takes an
    /// OCI layout.
    Containerd,
    /// podman's: layers by their digest, unpacked. It takes an OCI layout.
    Podman,
}

/// Refuses a name that cannot be part of a request's path.
///
/// # Errors
///
/// It has other characters than those of names.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:@".contains(c);
    // Tags have capital letters too; the engine says what else it does not like.
    if name.is_empty()
        || !name.chars().all(|c| is_plain(c.to_ascii_lowercase()))
        || name.starts_with('/')
    {
        return Err(Error::Name {
            name: name.to_owned(),
        });
    }
    Ok(())
}

impl Api {
    /// The engine's name, and where it listens.
    pub(crate) fn name(&self) -> &str {
        &self.client.engine
    }

    /// Path of the part of the API that handles images.
    pub(crate) fn images(&self) -> &'static str {
        match self.store {
            Store::Classic | Store::Containerd => docker::IMAGES,
            Store::Podman => podman::IMAGES,
        }
    }

    /// What the query for one image must say to be answered in full.
    pub(crate) fn inspect_query(&self) -> &'static [(&'static str, &'static str)] {
        match self.store {
            Store::Containerd => docker::WITH_MANIFESTS,
            Store::Classic | Store::Podman => &[],
        }
    }

    /// Bytes that take about as long to send as one more image takes to inspect.
    pub(crate) fn worth_asking(&self) -> u64 {
        match self.store {
            Store::Classic | Store::Containerd => docker::WORTH_ASKING,
            Store::Podman => podman::WORTH_ASKING,
        }
    }

    /// Has the engine load an archive.
    pub(crate) fn load(&self, archive: Archive<'_>) -> Result<(), Error> {
        self.client
            .load(&format!("{}/load", self.images()), archive)
    }

    /// Removes the temporary names of those whom `is_meant` names, and with them images that have no
    /// other name. One that stays is untidy, and no reason to fail: a later run removes it.
    pub(crate) fn remove_names(&self, is_meant: impl Fn(&Owner) -> bool) {
        let repositories = match self.store {
            Store::Classic | Store::Podman => &[LOADING][..],
            Store::Containerd => &[LOADING, PROBE],
        };
        for image in self.list(repositories).unwrap_or_default() {
            for name in &image.repo_tags {
                if Owner::of_name(name).is_some_and(|owner| is_meant(&owner)) {
                    self.remove_name(name);
                }
            }
        }
    }

    /// Removes a temporary name, if it is there.
    pub(crate) fn remove_name(&self, name: &str) {
        let path = format!("{}/{name}", self.images());
        let _ = self.client.delete("cannot remove a name", &path);
    }
}
