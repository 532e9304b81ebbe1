//! From arguments to the settings that resolvers take.

use anyhow::Result;
use oci::reference::{DEFAULT_TAG, split_tag};
use stores::binary_cache::Warn;

use super::commands::CacheArgs;
use super::image::{ImageArgs, NameArgs, RegistryArgs, SettingArgs};
use super::parse;
use crate::resolve::base::BaseSettings;
use crate::resolve::config_values;
use crate::resolve::image_config::ConfigSettings;
use crate::resolve::image_name::NameSettings;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::layer_table::CacheSettings;
use crate::resolve::plan_request::LayerSettings;
use crate::resolve::registry_client::RegistrySettings;
use crate::resolve::store::StoreSettings;
use crate::resolve::subject::SubjectSettings;
use crate::usage::UsageError;

impl ImageArgs {
    /// The settings of the image.
    ///
    /// # Errors
    ///
    /// The text of an option does not have its form.
    pub fn settings(&self) -> Result<ImageSettings> {
        let names = self.names.settings();
        names.check()?;
        Ok(ImageSettings {
            store: StoreSettings {
                urls: self.store.store.clone(),
                trusted_keys: self.store.trusted_key.clone(),
                require_signatures: !self.store.no_require_sigs,
                ca_files: self.registry.ca_file.clone(),
                warn: Warn::default(),
            },
            subject: SubjectSettings {
                paths: self.paths.clone(),
                closure: self.closure.clone(),
                configuration: self.conf.clone(),
                package_options: self.given.0.clone(),
            },
            names,
            config: self.settings.config()?,
            platform: self.settings.arch.clone(),
            created: self.settings.created.clone(),
            mtime: self.settings.mtime.clone(),
            owner: parse::owner(&self.settings.owner)?,
            base: self.settings.from_image.clone().map(|source| BaseSettings {
                source,
                inherit: parse::inherited(&self.settings.inherit),
            }),
            layers: LayerSettings {
                strategy: self.layers.strategy.clone(),
                max_layers: self.layers.max_layers,
                previous: self.layers.previous.clone(),
                fleet_plan: self.layers.fleet_plan.clone(),
                own: self.layers.own.clone(),
                min_layer_size: self.layers.min_layer_size,
            },
            registry: self.registry.settings(),
        })
    }
}

impl NameArgs {
    fn settings(&self) -> NameSettings {
        match &self.repo_tag {
            Some(text) => {
                let (name, tag) = split_tag(text);
                NameSettings {
                    name: Some(name.to_owned()),
                    tag: Some(tag.unwrap_or(DEFAULT_TAG).to_owned()),
                }
            }
            None => NameSettings {
                name: self.name.clone(),
                tag: self.tag.clone(),
            },
        }
    }
}

impl SettingArgs {
    fn config(&self) -> Result<ConfigSettings> {
        let labels = self.label.iter();
        let labels = labels.map(|text| parse::name_value("--label", text));
        let env = self.env.iter();
        let env = env.map(|text| parse::checked("--env", text, config_values::variable));
        let checked = |option, text: &Option<String>, check: config_values::Check| {
            let text = text.as_deref();
            text.map(|text| parse::checked(option, text, check))
                .transpose()
        };
        let ports = self.expose.iter().map(|text| parse::port(text));
        Ok(ConfigSettings {
            json: self.config.clone(),
            cmd: parse::words("--cmd", &self.cmd)?,
            entrypoint: parse::words("--entrypoint", &self.entrypoint)?,
            env: env.collect::<Result<_, _>>()?,
            labels: labels.collect::<Result<_, _>>()?,
            user: checked("--user", &self.user, config_values::user)?,
            workdir: checked("--workdir", &self.workdir, config_values::directory)?,
            ports: ports.collect::<Result<_, _>>()?,
        })
    }
}

impl RegistryArgs {
    /// How registries are reached.
    pub fn settings(&self) -> RegistrySettings {
        RegistrySettings {
            plain_http: self.plain_http,
            ca_files: self.ca_file.clone(),
        }
    }
}

impl CacheArgs {
    /// Where digests of layers are kept.
    pub fn settings(&self) -> CacheSettings {
        CacheSettings {
            is_used: !self.no_cache,
            directory: self.cache.clone(),
        }
    }
}

/// The texts of `--annotation` as names and values.
///
/// # Errors
///
/// A text is not NAME=VALUE.
pub fn annotations(texts: &[String]) -> Result<Vec<(String, String)>, UsageError> {
    let pairs = texts.iter();
    pairs
        .map(|text| parse::name_value("--annotation", text))
        .collect()
}
