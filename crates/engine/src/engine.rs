//! An engine of any kind.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use image::{Layer, LayerTable};
use nix_compat::tree::Trees;

use crate::api::{Api, Store};
use crate::containerd::Containerd;
use crate::error::Error;
use crate::load::{self, Loaded, Options};
use crate::observer::Observer;
use crate::save;
use crate::ssh::Ssh;
use crate::temporary_name::Owner;

/// An engine that runs.
pub struct Engine {
    pub(crate) kind: Kind,
    /// See [`warning`](Self::warning).
    pub(crate) warning: Option<String>,
    /// The connection that leads to it; it ends last.
    pub(crate) ssh: Option<Arc<Ssh>>,
}

/// What an engine is spoken to with.
pub(crate) enum Kind {
    Api(Api),
    Containerd(Containerd),
}

impl Engine {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            warning: None,
            ssh: None,
        }
    }

    /// What was not as it should be in the search for it.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The engine's name, and where it listens.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Api(api) => api.name(),
            Kind::Containerd(containerd) => containerd.name(),
        }
    }

    /// Whether it keeps blobs as they are sent, and would push them so. One that unpacks layers takes
    /// them without compression.
    pub fn keeps_blobs(&self) -> bool {
        match &self.kind {
            Kind::Api(api) => api.store == Store::Containerd,
            Kind::Containerd(_) => true,
        }
    }

    /// Whether `docker push` sends those blobs.
    pub fn pushes_blobs(&self) -> bool {
        matches!(&self.kind, Kind::Api(api) if api.store == Store::Containerd)
    }

    /// Loads the image of `table`, and gives it its names. Its layers are compressed only for an engine
    /// that [keeps blobs](Self::keeps_blobs). Layers
    /// that the engine has are neither sent nor read where their digest is known. All layers are
    /// known to the table afterwards.
    ///
    /// # Errors
    ///
    /// The image cannot be made, the engine refuses it or goes away, or does not have it whole
    /// after all layers were sent. Its names then stand for what they stood for before.
    pub fn load(
        &self,
        table: &LayerTable<'_>,
        trees: &dyn Trees,
        options: Options<'_>,
        observer: &dyn Observer,
    ) -> Result<Loaded, Error> {
        let observer = Counting {
            observer,
            bytes: AtomicU64::new(0),
        };
        let loaded = match &self.kind {
            Kind::Api(api) => load::load(api, table, trees, options, &observer),
            Kind::Containerd(containerd) => containerd.load(table, trees, options, &observer),
        };
        loaded.map(|loaded| Loaded {
            archive_bytes: observer.bytes.into_inner(),
            ..loaded
        })
    }

    /// Saves an image as a docker-archive, in a temporary file without a name: `NAME[:TAG]`, which
    /// is the newest one (`latest`) without a tag. The file may take nine tenths of what is free in
    /// its directory.
    ///
    /// # Errors
    ///
    /// The engine does not have the image, is containerd by itself, or goes away; or there is no
    /// room for the image.
    pub fn save(&self, name: &str) -> Result<File, Error> {
        match &self.kind {
            Kind::Api(api) => save::save(api, name),
            Kind::Containerd(containerd) => Err(Error::NoSave {
                engine: containerd.name().to_owned(),
                name: name.to_owned(),
            }),
        }
    }

    /// Removes what this process has in the engine for the time of a load, and ends what leads there. For a
    /// process that is about to be stopped; [`load`](Self::load) itself leaves nothing.
    pub fn abandon(&self) {
        match &self.kind {
            Kind::Api(api) => {
                let own = Owner::this_process();
                api.remove_names(|owner| *owner == own);
            }
            Kind::Containerd(containerd) => containerd.abandon(),
        }
        if let Some(ssh) = &self.ssh {
            ssh.end();
        }
    }
}

/// Counts the bytes of archives, and tells an observer.
struct Counting<'a> {
    observer: &'a dyn Observer,
    bytes: AtomicU64,
}

impl Observer for Counting<'_> {
    fn missing(&self, layers: usize, of: usize, bytes: Option<u64>) {
        self.observer.missing(layers, of, bytes);
    }

    fn layer(&self, index: usize, of: usize, layer: &Layer<'_>, size: Option<u64>) {
        self.observer.layer(index, of, layer, size);
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
        self.observer.bytes(count);
    }

    fn warning(&self, text: &str) {
        self.observer.warning(text);
    }

    fn again(&self) {
        self.observer.again();
    }
}
