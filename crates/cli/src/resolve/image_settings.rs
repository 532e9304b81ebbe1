//! The settings of an image.

use image::bytes::tar::Owner;
use oci::Platform;

use crate::resolve::base::BaseSettings;
use crate::resolve::image_config::ConfigSettings;
use crate::resolve::image_name::NameSettings;
use crate::resolve::plan_request::LayerSettings;
use crate::resolve::registry_client::RegistrySettings;
use crate::resolve::store::StoreSettings;
use crate::resolve::subject::SubjectSettings;

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
