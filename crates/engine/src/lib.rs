//! Container engines: finding one (`detect`), asking which layers it has (`missing_layers`), and sending
//! the others (`load`, `send`); or having it `save` an image. What differs from engine to engine is in `docker`, `podman`, `containerd`.
//!
//! Docker and podman are spoken to over their HTTP API, on a unix socket or on loopback; containerd
//! by itself through its client `ctr`. An image is loaded under a temporary name, looked at, and only
//! then named: what a name stood for before stays until the new image is whole.

mod address;
mod api;
mod behind_ssh;
mod choice;
mod client;
mod cluster;
mod containerd;
mod ctr;
mod destination;
mod detect;
mod docker;
mod docker_context;
mod engine;
mod error;
mod identify;
mod inspect;
mod layer_limit;
mod load;
mod missing_layers;
mod observer;
mod podman;
mod probe;
mod program;
mod save;
mod send;
mod ssh;
mod ssh_address;
mod temporary_name;
mod timeouts;

pub use choice::Choice;
pub use destination::{Destination, DestinationError, Node};
pub use detect::Surroundings;
pub use engine::Engine;
pub use error::{Error, Tried};
pub use layer_limit::{LAYER_LIMITS, LayerLimit};
pub use load::{Loaded, Options};
pub use observer::Observer;
pub use ssh_address::SshAddress;
pub use timeouts::Timeouts;
