//! The parts of a configuration that an image can take over from its base.

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
