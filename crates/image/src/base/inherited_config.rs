//! The configuration of an image on a base: its own, and what it takes over.

use serde_json::{Map, Value};

use super::image::BaseImage;
use super::inherit::{Inherit, merge_env};

impl BaseImage {
    /// What another image takes over of this part of the configuration; nothing where the base has
    /// none.
    pub fn inherits(&self, part: Inherit) -> Option<&Value> {
        let of_base = self.config.pointer("/config")?.get(part.key())?;
        Some(of_base).filter(|of_base| self.inherit.contains(&part) && !of_base.is_null())
    }

    /// `config.Env` of the base: texts `NAME=value`.
    pub fn env(&self) -> Vec<String> {
        let texts = self.config.pointer("/config/Env").and_then(Value::as_array);
        texts
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    }

    /// An image's own `config`, with what it takes over from this base.
    pub fn inherited_by(&self, own: &Value) -> Value {
        let mut config = own.clone();
        if config.is_null() {
            config = Value::Object(Map::new());
        }
        let Value::Object(fields) = &mut config else {
            return config;
        };
        let has_env = self.config.pointer("/config/Env").is_some() || fields.contains_key("Env");
        if self.inherit.contains(&Inherit::Env) && has_env {
            fields.insert("Env".to_owned(), self.env_under(fields));
        }
        let has_command = fields.contains_key("Cmd") || fields.contains_key("Entrypoint");
        for inherit in Inherit::ALL {
            let Some(of_base) = self.inherits(inherit) else {
                continue;
            };
            match inherit {
                Inherit::Env => {}
                Inherit::Labels | Inherit::Ports | Inherit::Volumes => {
                    add_missing(fields, inherit.key(), of_base);
                }
                // An own entry point wants its own arguments.
                Inherit::Cmd if has_command => {}
                _ => {
                    fields
                        .entry(inherit.key())
                        .or_insert_with(|| of_base.clone());
                }
            }
        }
        config
    }

    /// The environment of the base, under the own one.
    fn env_under(&self, own: &Map<String, Value>) -> Value {
        let own: Vec<String> = match own.get("Env") {
            Some(Value::Array(texts)) => texts
                .iter()
                .filter_map(|text| text.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        merge_env(&self.env(), &own).into()
    }
}

/// Adds entries of a map that are not there.
fn add_missing(fields: &mut Map<String, Value>, key: &str, of_base: &Value) {
    let own = fields
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    if let (Value::Object(own), Value::Object(of_base)) = (own, of_base) {
        for (name, value) in of_base {
            own.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}
