//! How long an engine is waited for.

use std::time::Duration;

/// The longest waits for an engine, each without a byte in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// In a search, for an engine that others can stand in for.
    pub search: Duration,
    /// In a search, for an engine that was named or is the last one left.
    pub named: Duration,
    /// For the answer to a small request.
    pub request: Duration,
    /// While an image is loaded or saved.
    pub load: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // An engine that runs answers within milliseconds, a stopped one whose socket systemd
            // holds open never.
            search: Duration::from_secs(1),
            // One that systemd starts when it is called takes seconds.
            named: Duration::from_secs(20),
            // Lists of images take an engine with a slow disk a while.
            request: Duration::from_secs(120),
            // podman and old Dockers say nothing while they unpack the layers, and podman while it packs them.
            load: Duration::from_secs(900),
        }
    }
}
