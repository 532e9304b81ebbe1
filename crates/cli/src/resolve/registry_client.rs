//! The connection to registries, for all commands that need one.

use anyhow::{Context, Result};
use registry::{Client, Options, PlainHttp};

use crate::args::RegistryArgs;

/// A client with the settings that were asked for.
pub fn client(args: &RegistryArgs) -> Result<Client> {
    let options = Options {
        plain_http: if args.plain_http {
            PlainHttp::Always
        } else {
            PlainHttp::Loopback
        },
        ca_files: args.ca_file.clone(),
        ..Options::default()
    };
    Client::new(options).context("cannot speak to registries")
}
