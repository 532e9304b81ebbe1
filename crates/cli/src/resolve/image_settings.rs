//! The settings of an image.

use std::path::PathBuf;

use anyhow::Result;
use image::bytes::tar::Owner;
use oci::Platform;

use crate::resolve::base::BaseSettings;
use crate::resolve::image_config::ConfigSettings;
use crate::resolve::image_name::NameSettings;
use crate::resolve::plan_request::LayerSettings;
use crate::resolve::registry_client::RegistrySettings;
use crate::resolve::store::{Store, StoreSettings};
use crate::resolve::subject::SubjectSettings;
use crate::usage::UsageError;

/// What an image is made of, and how.
#[derive(Debug, Clone)]
pub struct ImageSettings {
    /// Where store paths are.
    pub store: StoreSettings,
    /// What is in the image.
    pub subject: SubjectSettings,
    /// Its name and tag.
    pub names: NameSettings,
    /// Its `config`.
    pub config: ConfigSettings,
    /// Where it runs; on machines like this one if there is none.
    pub platform: Option<Platform>,
    /// When it was created, as [`image::timestamp::Timestamp`] reads it.
    pub created: String,
    /// Modification time of files in store layers, in the same form.
    pub mtime: String,
    /// Owner of files in store layers.
    pub owner: Owner,
    /// The base image.
    pub base: Option<BaseSettings>,
    /// How layers are made.
    pub layers: LayerSettings,
    /// How registries are reached.
    pub registry: RegistrySettings,
}

impl ImageSettings {
    /// Those of each image, where several results of streamLayeredImage are named; else these alone.
    ///
    /// # Errors
    ///
    /// A path does not exist, or there is one name for several images.
    pub fn for_each_image(&self) -> Result<Vec<Self>> {
        if self.subject.paths.len() < 2 {
            return Ok(vec![self.clone()]);
        }
        if !self.subject.is_several_images(&Store::open(&self.store)?)? {
            return Ok(vec![self.clone()]);
        }
        if self.names != NameSettings::default() {
            let usage = "there are several images, and --repo-tag, --name and --tag are for one; load them one by one";
            return Err(UsageError(usage.to_owned()).into());
        }
        let paths = self.subject.paths.iter();
        let image = |path: &PathBuf| {
            let mut image = self.clone();
            image.subject.paths = vec![path.clone()];
            image
        };
        Ok(paths.map(image).collect())
    }
}
