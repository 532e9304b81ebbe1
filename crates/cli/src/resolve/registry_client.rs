//! The connection to registries.

use std::path::PathBuf;

use anyhow::{Context, Result};
use oci::Reference;
use registry::{Client, Options, PlainHttp};

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct RegistrySettings {
    /// Whether all registries are spoken to without TLS, and not only those on this machine.
    pub plain_http: bool,
    /// PEM files with certificates to trust as well.
    pub ca_files: Vec<PathBuf>,
}

/// Says what was tried with an image, and its name where the error does not begin with it.
pub fn tried(error: anyhow::Error, what: &'static str, reference: &Reference) -> anyhow::Error {
    let cause = error.downcast_ref::<registry::Error>();
    if cause.is_some_and(registry::Error::names_place) {
        error.context(what)
    } else {
        error.context(format!("{what} {reference}"))
    }
}

/// A client for registries.
pub fn client(settings: &RegistrySettings) -> Result<Client> {
    let options = Options {
        plain_http: if settings.plain_http {
            PlainHttp::Always
        } else {
            PlainHttp::Loopback
        },
        ca_files: settings.ca_files.clone(),
        ..Options::default()
    };
    Client::new(options).context("cannot connect to registries")
}
