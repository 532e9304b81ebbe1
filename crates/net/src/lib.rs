//! HTTP as registries, binary caches and container engines are spoken to: one rule for
//! certificates, proxies and timeouts, and one for what is tried again.
//!
//! [`Agents`] reach servers by their addresses, a [`Channel`] reaches one server at an [`Endpoint`]: a
//! unix socket, a port, a program. Requests themselves are `ureq`'s.

mod agents;
mod basic;
mod certificates;
mod channel;
mod endpoint;
mod error;
mod loopback;
mod program;
mod range;
mod retry;

pub use agents::{Agents, Settings};
pub use basic::basic;
pub use certificates::{client_tls, trusted_certificates};
pub use channel::{Channel, WhileRead};
pub use endpoint::{Endpoint, Port};
pub use error::Error;
pub use loopback::is_loopback;
pub use program::{Program, ProgramError};
pub use range::{ContentRange, content_range};
pub use retry::{Attempts, Retry, is_passing_status, may_pass, retry_after};

/// What every request calls its sender.
pub const USER_AGENT: &str = concat!("stream-layered/", env!("CARGO_PKG_VERSION"));
