//! Platforms that images are for.

use serde::{Deserialize, Serialize};

/// Where an image runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Platform {
    /// As in Go's `GOOS`.
    #[serde(default)]
    pub os: String,
    /// As in Go's `GOARCH`.
    #[serde(default)]
    pub architecture: String,
    /// Of the architecture, such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Of the operating system.
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
}

impl Platform {
    /// Linux on this architecture, which is named as in Go's `GOARCH`.
    pub fn linux(architecture: &str) -> Self {
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            ..Self::default()
        }
    }

    /// Whether both mean the same: a variant that is the architecture's only usual one may be left
    /// out.
    pub fn matches(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && self.os_version == other.os_version
            && self.usual_variant() == other.usual_variant()
    }

    /// The variant; where there is none, the one that containerd and Docker take it for.
    fn usual_variant(&self) -> Option<&str> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm64", None) => Some("v8"),
            ("arm", None) => Some("v7"),
            (_, variant) => variant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_variant_may_be_left_out() {
        let with = |architecture, variant: &str| Platform {
            variant: Some(variant.to_owned()),
            ..Platform::linux(architecture)
        };
        assert!(Platform::linux("arm64").matches(&with("arm64", "v8")));
        assert!(with("arm", "v7").matches(&Platform::linux("arm")));
        assert!(!Platform::linux("arm").matches(&with("arm", "v6")));
        assert!(!Platform::linux("amd64").matches(&with("amd64", "v3")));
        assert!(!Platform::linux("amd64").matches(&Platform::linux("arm64")));
    }
}
