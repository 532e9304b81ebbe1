//! Container engines: finding one (`detect`), asking which layers it has (`missing_layers`), and sending
//! the others (`load`, `send`). What differs from engine to engine is in `docker`, `podman`, `containerd`.
//!
//! Docker and podman are spoken to over their HTTP API, on a unix socket or on loopback; containerd
//! by itself through its client `ctr`. An image is loaded without a name, looked at, and only then
//! named: what a name stood for before stays until the new image is whole.

mod address;
mod api;
mod client;
mod containerd;
mod detect;
mod docker;
mod error;
mod inspect;
mod load;
mod missing_layers;
mod podman;
mod probe;
mod send;
mod temporary_name;

use image::LayerTable;
use nix_compat::tree::Trees;

pub use detect::{Choice, Search, Timeouts};
pub use error::{Error, Tried};
pub use load::{Loaded, Observer, Options};

use crate::api::Api;
use crate::containerd::Containerd;
use crate::temporary_name::Owner;

/// An engine that runs.
pub struct Engine(Kind);

/// What an engine is spoken to with.
pub(crate) enum Kind {
    Api(Api),
    Containerd(Containerd),
}

impl Engine {
    /// Looks for an engine: where `DOCKER_HOST` and `CONTAINER_HOST` say, then at the sockets that
    /// Docker and podman usually have, root's and the user's, then for containerd. One that does
    /// not answer within a second is passed over, unless it was named or there is no other.
    ///
    /// # Errors
    ///
    /// None answers, or the one that the environment names does not.
    pub fn find(choice: Choice) -> Result<Self, Error> {
        Search::new(choice).run()
    }

    /// The engine's name, and where it listens.
    pub fn name(&self) -> &str {
        match &self.0 {
            Kind::Api(api) => api.name(),
            Kind::Containerd(containerd) => containerd.name(),
        }
    }

    /// Loads the image of `table`, whose layers are not compressed, and gives it its names. Layers
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
        options: Options,
        observer: &dyn Observer,
    ) -> Result<Loaded, Error> {
        match &self.0 {
            Kind::Api(api) => load::load(api, table, trees, options, observer),
            Kind::Containerd(containerd) => containerd.load(table, trees, options, observer),
        }
    }

    /// Removes what this process has in the engine for the time of a load. For a process that is
    /// about to be stopped; [`load`](Self::load) itself leaves nothing.
    pub fn remove_temporary_names(&self) {
        let own = Owner::this_process();
        match &self.0 {
            Kind::Api(api) => probe::remove_probes(api, |owner| *owner == own),
            Kind::Containerd(containerd) => containerd.remove_names(|owner| *owner == own),
        }
    }
}
