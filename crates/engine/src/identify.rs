//! Which engine answers at a place.

use std::time::Duration;

use net::{Endpoint, ProgramError};

use crate::api::{Api, Store};
use crate::choice::Choice;
use crate::client::Client;
use crate::docker;
use crate::error::no_connection;
use crate::timeouts::Timeouts;

/// Why there is no engine at a place, in a few words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("a program listens there, but does not answer within {0:?}")]
    Silent(Duration),
    /// The program that leads there failed.
    #[error("{0}")]
    Program(ProgramError),
    #[error("{0}")]
    Other(String),
}

/// Connects, and asks what it is: Docker or podman.
pub(crate) fn identify(
    endpoint: &Endpoint,
    within: Duration,
    timeouts: Timeouts,
) -> Result<(Choice, Api), NoAnswer> {
    let mut client = Client::new(endpoint, timeouts);
    let is_podman = client.is_podman(within).map_err(|error| match error {
        ureq::Error::Timeout(_) => NoAnswer::Silent(within),
        ureq::Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(error) => NoAnswer::Program(ProgramError::clone(error)),
            None => NoAnswer::Other(no_connection(&error)),
        },
        error => NoAnswer::Other(error.to_string()),
    })?;
    if is_podman {
        client.engine = format!("podman at {endpoint}");
        let store = Store::Podman;
        return Ok((Choice::Podman, Api { client, store }));
    }
    client.engine = format!("docker at {endpoint}");
    let info = client
        .get("cannot ask for its store", "/info", &[])
        .map_err(|error| NoAnswer::Other(error.to_string()))?
        .unwrap_or_default();
    let store = if docker::has_containerd_store(&info) {
        Store::Containerd
    } else {
        Store::Classic
    };
    Ok((Choice::Docker, Api { client, store }))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn who_may_not_use_a_socket_is_told_what_to_do() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = no_connection(&denied);
        assert!(text.contains("group") && text.contains("sudo"), "{text}");
    }
}
