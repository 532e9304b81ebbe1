//! What an image takes over from the configuration of its base.

use serde_json::{Map, Value};

use super::BaseImage;

/// A part of a configuration that an image can take over from its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Inherit {
    /// Environment variables; the own ones go over them. As nixpkgs does.
    Env,
    /// Labels; the own ones go over them.
    Labels,
    /// The command, where there is neither an own one nor an own entry point.
    Cmd,
    /// The entry point, where there is no own one.
    Entrypoint,
    /// The user, where there is no own one.
    User,
    /// The working directory, where there is no own one.
    Workdir,
    /// Exposed ports, and the own ones.
    Ports,
    /// Volumes, and the own ones.
    Volumes,
    /// The signal that stops a container, where there is no own one.
    StopSignal,
    /// The health check, where there is no own one.
    Healthcheck,
}

impl Inherit {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Env,
        Self::Labels,
        Self::Cmd,
        Self::Entrypoint,
        Self::User,
        Self::Workdir,
        Self::Ports,
        Self::Volumes,
        Self::StopSignal,
        Self::Healthcheck,
    ];

    /// The key in a configuration's `config`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Env => "Env",
            Self::Labels => "Labels",
            Self::Cmd => "Cmd",
            Self::Entrypoint => "Entrypoint",
            Self::User => "User",
            Self::Workdir => "WorkingDir",
            Self::Ports => "ExposedPorts",
            Self::Volumes => "Volumes",
            Self::StopSignal => "StopSignal",
            Self::Healthcheck => "Healthcheck",
        }
    }
}

/// `config.Env` of an image on a base: the base's texts, then the own ones; of several with one
/// name the first gives the place and the last the text.
pub fn merge_env(base: &[String], own: &[String]) -> Vec<String> {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<String> = Vec::new();
    for text in base.iter().chain(own) {
        match merged.iter_mut().find(|other| name(other) == name(text)) {
            Some(other) => other.clone_from(text),
            None => merged.push(text.clone()),
        }
    }
    merged
}

impl BaseImage {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gives_the_place_and_the_last_the_text() {
        let texts = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let merged = merge_env(&texts(&["A=1", "C", "D=x"]), &texts(&["B=2", "A=3"]));
        assert_eq!(merged, texts(&["A=3", "C", "D=x", "B=2"]));
    }
}
