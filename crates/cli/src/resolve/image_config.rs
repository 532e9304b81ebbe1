//! The `config` of an image: what its containers run, and how.

use std::path::Path;

use anyhow::{Context, Result};
use image::base::{BaseImage, Inherit, merge_env};
use image::bytes::root_links::RootLinks;
use image::config_types;
use serde_json::{Map, Value, json};

use crate::input;
use crate::resolve::config_values;
use crate::usage::UsageError;

/// What the `config` holds.
#[derive(Debug, Clone, Default)]
pub struct ConfigSettings {
    /// A JSON object, or `@FILE`, that the other settings override.
    pub json: Option<String>,
    /// The command.
    pub cmd: Option<Vec<String>>,
    /// The entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables, `NAME=VALUE`.
    pub env: Vec<String>,
    /// Labels: names and values.
    pub labels: Vec<(String, String)>,
    /// The user that the command runs as.
    pub user: Option<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// Ports with their protocols.
    pub ports: Vec<String>,
}

impl ConfigSettings {
    /// The `config` of an image with this root and base.
    ///
    /// # Errors
    ///
    /// The JSON has another form, or the image has no command and `root` does not say which of its
    /// programs is meant.
    pub fn resolve(&self, root: &RootLinks, base: Option<&BaseImage>) -> Result<Value> {
        let mut config = self.given_json()?;
        if let Some(entrypoint) = &self.entrypoint {
            config.insert("Entrypoint".to_owned(), json!(entrypoint));
        }
        if let Some(cmd) = &self.cmd {
            config.insert("Cmd".to_owned(), json!(cmd));
        }
        let inherits = |part| base.is_some_and(|base: &BaseImage| base.inherits(part).is_some());
        let has_command = config.contains_key("Cmd") || config.contains_key("Entrypoint");
        if !has_command && !inherits(Inherit::Cmd) && !inherits(Inherit::Entrypoint) {
            config.insert("Cmd".to_owned(), json!([default_command(root)?]));
        }
        if !self.env.is_empty() {
            let own = config.get("Env").and_then(Value::as_array);
            let own = own.into_iter().flatten().filter_map(Value::as_str);
            let own: Vec<String> = own.map(str::to_owned).collect();
            config.insert("Env".to_owned(), merge_env(&own, &self.env).into());
        }
        for (name, value) in &self.labels {
            insert(&mut config, "Labels", name, value.as_str().into())?;
        }
        for port in &self.ports {
            insert(&mut config, "ExposedPorts", port, json!({}))?;
        }
        for (key, value) in [("User", &self.user), ("WorkingDir", &self.workdir)] {
            if let Some(value) = value {
                config.insert(key.to_owned(), value.as_str().into());
            }
        }
        Ok(Value::Object(config))
    }

    fn given_json(&self) -> Result<Map<String, Value>> {
        let Some(text) = &self.json else {
            return Ok(Map::new());
        };
        let bytes = match text.strip_prefix('@') {
            Some(file) => input::read_input(Path::new(file))?,
            None => text.as_bytes().to_vec(),
        };
        let config: Map<String, Value> =
            serde_json::from_slice(&bytes).context("--config: expected a JSON object")?;
        let config = Value::Object(config);
        config_types::check(&config).context("--config")?;
        let Value::Object(config) = config else {
            return Ok(Map::new());
        };
        config_values::check(&config).map_err(|why| UsageError(format!("--config: {why}")))?;
        Ok(config)
    }
}

fn insert(config: &mut Map<String, Value>, key: &str, name: &str, value: Value) -> Result<()> {
    let entry = config.entry(key).or_insert_with(|| json!({}));
    let object = entry
        .as_object_mut()
        .with_context(|| format!("--config: its {key} is not an object"))?;
    object.insert(name.to_owned(), value);
    Ok(())
}

fn default_command(root: &RootLinks) -> Result<String, UsageError> {
    let program = root.default_program();
    program
        .map(|name| format!("/bin/{name}"))
        .map_err(|candidates| {
            let candidates: Vec<String> = candidates.iter().map(nix_compat::shown).collect();
            let what = match candidates.as_slice() {
                [] => "no PATH has a program in bin/".to_owned(),
                [first, second, third, fourth, ..] if candidates.len() > 4 => {
                    format!(
                        "which of {} programs to run ({first}, {second}, {third}, {fourth}, …)",
                        candidates.len()
                    )
                }
                _ => format!("which program to run: {}", candidates.join(", ")),
            };
            UsageError(format!(
                "the image has no command ({what}); give one with --cmd or --entrypoint"
            ))
        })
}
