//! The name and the tag of an image.

use anyhow::Result;
use nix_compat::StorePath;
use nix_compat::store_path::package_name;
use oci::reference::{DEFAULT_TAG, split_tag};

use crate::usage::UsageError;

/// A name and a tag that take the place of an image's own ones.
#[derive(Debug, Clone, Default)]
pub struct NameSettings {
    /// The name.
    pub name: Option<String>,
    /// The tag.
    pub tag: Option<String>,
}

impl NameSettings {
    /// `NAME:TAG` of an image that is called `default` otherwise.
    ///
    /// # Errors
    ///
    /// The name or the tag is empty.
    pub fn repo_tag(&self, default: &str) -> Result<String> {
        let (default_name, default_tag) = split_tag(default);
        let name = self.name.as_deref().unwrap_or(default_name);
        let tag = self.tag.as_deref().or(default_tag).unwrap_or(DEFAULT_TAG);
        if name.is_empty() || tag.is_empty() {
            let usage = "an image needs a name and a tag that are not empty";
            return Err(UsageError(usage.to_owned()).into());
        }
        Ok(format!("{name}:{tag}"))
    }
}

/// The name of an image of packages: the first package's without its version. Image names have only
/// small letters.
pub fn of_packages(paths: &[StorePath]) -> String {
    let name = paths
        .first()
        .map_or("image", |path| package_name(path.name()));
    name.to_lowercase().replace(
        |c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c),
        "-",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_names_and_tags_replace_the_own_ones() {
        let name = |name: Option<&str>, tag: Option<&str>| {
            let settings = NameSettings {
                name: name.map(str::to_owned),
                tag: tag.map(str::to_owned),
            };
            settings.repo_tag("app:1").ok()
        };
        assert_eq!(name(None, None).as_deref(), Some("app:1"));
        assert_eq!(name(Some("other"), None).as_deref(), Some("other:1"));
        assert_eq!(name(None, Some("2")).as_deref(), Some("app:2"));
        assert_eq!(name(Some(""), None), None);
        assert_eq!(name(None, Some("")), None);
    }
}
