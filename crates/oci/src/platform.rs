//! Platforms that images are for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Go's architectures for Linux, as images name them.
const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x",
];

/// Go's other architectures. nixpkgs has names for some of them.
const RARE: [&str; 9] = [
    "armbe",
    "arm64be",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "s390",
    "sparc",
    "sparc64",
];

/// Other names: those of the kernel, of Debian and of Nix, with a variant where they mean one.
const ALIASES: [(&str, &str, Option<&str>); 20] = [
    ("x86_64", "amd64", None),
    ("x86-64", "amd64", None),
    ("x64", "amd64", None),
    ("x86", "386", None),
    ("i386", "386", None),
    ("i486", "386", None),
    ("i586", "386", None),
    ("i686", "386", None),
    ("aarch64", "arm64", None),
    ("armv5tel", "arm", Some("v5")),
    ("armel", "arm", Some("v6")),
    ("armv6l", "arm", Some("v6")),
    ("armhf", "arm", Some("v7")),
    ("armv7l", "arm", Some("v7")),
    ("loongarch64", "loong64", None),
    ("mips64el", "mips64le", None),
    ("mipsel", "mipsle", None),
    ("powerpc64", "ppc64", None),
    ("powerpc64le", "ppc64le", None),
    ("ppc64el", "ppc64le", None),
];

/// The variants that images have, by architecture.
const VARIANTS: [(&str, &[&str]); 3] = [
    ("amd64", &["v1", "v2", "v3", "v4"]),
    ("arm", &["v5", "v6", "v7", "v8"]),
    ("arm64", &["v8", "v9"]),
];

/// A text that names no platform for Linux.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePlatformError {
    /// It is for another system.
    #[error("{0:?} is not a platform of Linux; the files of a closure run on Linux only")]
    System(String),
    /// The architecture is not known.
    #[error("{text:?} is not an architecture of images; they are {}", list(&ARCHITECTURES))]
    Architecture {
        /// The start of the text.
        text: String,
    },
    /// The architecture does not have this variant.
    #[error("{text:?} is not an architecture of images: {architecture} has {}", match variants(architecture) {
        [] => "no variants".to_owned(),
        variants => format!("the variants {}", list(variants)),
    })]
    Variant {
        /// The start of the text.
        text: String,
        /// The architecture.
        architecture: String,
    },
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}

fn variants(architecture: &str) -> &'static [&'static str] {
    let found = VARIANTS.iter().find(|(name, _)| *name == architecture);
    found.map_or(&[], |(_, variants)| variants)
}

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

    /// Reads `[linux/]ARCHITECTURE[/VARIANT]` as Docker's `--platform` has it, with the names that
    /// Docker, the kernel and Nix have for architectures: `x86_64-linux` is `amd64`.
    ///
    /// # Errors
    ///
    /// See [`ParsePlatformError`].
    pub fn parse_linux(text: &str) -> Result<Self, ParsePlatformError> {
        let start = || text.chars().take(100).collect::<String>();
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let (name, variant) = match parts.as_slice() {
            ["linux", name] | [name] => (*name, None),
            ["linux", name, variant] => (*name, Some(*variant)),
            [name, variant] if is_known(name) => (*name, Some(*variant)),
            [system, name, ..] if *system != "linux" && is_known(name) => {
                return Err(ParsePlatformError::System(start()));
            }
            _ => return Err(ParsePlatformError::Architecture { text: start() }),
        };
        let name = name.strip_suffix("-linux").unwrap_or(name);
        let alias = ALIASES.iter().find(|(alias, ..)| *alias == name);
        let (architecture, own_variant) = match alias {
            Some((_, architecture, variant)) => (*architecture, *variant),
            None if is_known(name) => (name, None),
            None if name.ends_with("-darwin") => return Err(ParsePlatformError::System(start())),
            None => return Err(ParsePlatformError::Architecture { text: start() }),
        };
        let variant = match variant {
            None => own_variant,
            Some(variant) => {
                let number = variant.strip_prefix('v').unwrap_or(variant);
                let mut known = variants(architecture).iter();
                let known = known.find(|known| known.strip_prefix('v') == Some(number));
                let wrong = || ParsePlatformError::Variant {
                    text: start(),
                    architecture: architecture.to_owned(),
                };
                Some(*known.ok_or_else(wrong)?)
            }
        };
        Ok(Self {
            variant: variant.map(str::to_owned),
            ..Self::linux(architecture)
        })
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

/// `linux/arm/v7`.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

fn is_known(name: &str) -> bool {
    let is_alias = || ALIASES.iter().any(|(alias, ..)| *alias == name);
    ARCHITECTURES.contains(&name) || RARE.contains(&name) || is_alias()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_docker_of_the_kernel_and_of_nix_are_known() {
        for (text, expected) in [
            ("amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("AMD64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("arm", "linux/arm"),
            ("arm/v7", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("armv7l-linux", "linux/arm/v7"),
            ("x86_64-linux", "linux/amd64"),
            ("i686", "linux/386"),
            ("powerpc64le", "linux/ppc64le"),
            ("mips", "linux/mips"),
            ("sparc64", "linux/sparc64"),
        ] {
            let platform = Platform::parse_linux(text).unwrap();
            assert_eq!(platform.to_string(), expected);
        }
        for (text, why) in [
            ("bogus", "amd64, arm, arm64"),
            ("", "amd64, arm, arm64"),
            ("linux", "amd64, arm, arm64"),
            ("linux/", "amd64, arm, arm64"),
            ("arm64,amd64", "amd64, arm, arm64"),
            ("arm/v9", "v5, v6, v7, v8"),
            ("riscv64/v1", "no variants"),
            ("windows/amd64", "Linux"),
            ("aarch64-darwin", "Linux"),
            ("linux/arm/v7/x", "amd64, arm, arm64"),
        ] {
            let error = Platform::parse_linux(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

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
