//! HTTP as registries, binary caches and container engines are spoken to: one rule for
//! certificates, proxies and timeouts, and one for what is tried again.
//!
//! [`Agents`] reach servers by their addresses, [`LocalSocket`] reaches a server of this machine
//! at a unix socket or a port. Requests themselves are `ureq`'s.

mod agents;
mod basic;
mod certificates;
mod error;
mod local_socket;
mod loopback;
mod range;
mod retry;

pub use agents::{Agents, Settings};
pub use basic::basic;
pub use certificates::trusted_certificates;
pub use error::Error;
pub use local_socket::{LocalSocket, SocketAddress};
pub use loopback::is_loopback;
pub use range::{ContentRange, content_range};
pub use retry::{Attempts, Retry, is_passing_status, may_pass, retry_after};

/// What every request calls its sender.
pub const USER_AGENT: &str = concat!("stream-layered/", env!("CARGO_PKG_VERSION"));
