//! An engine that speaks an HTTP API: Docker or podman.

use crate::client::Client;
use crate::error::Error;
use crate::send::Archive;
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
}
