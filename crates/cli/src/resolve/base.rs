//! The base image.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use image::base::{BaseImage, Inherit};
use oci::Platform;

use crate::resolve::registry_client::RegistrySettings;
use crate::resolve::source::ImageSource;

/// Which base image an image has, and what it takes from it.
#[derive(Debug, Clone)]
pub struct BaseSettings {
    /// Where the base image is.
    pub source: ImageSource,
    /// Parts of its configuration that the new image has too.
    pub inherit: BTreeSet<Inherit>,
}

impl BaseSettings {
    /// Opens the base image; of one for several platforms, the image for `platform`.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read.
    pub fn open(&self, registry: &RegistrySettings, platform: &Platform) -> Result<BaseImage> {
        let base = self.source.open(registry, platform);
        let mut base = base.context("--from-image")?;
        base.inherit = self.inherit.clone();
        Ok(base)
    }
}
