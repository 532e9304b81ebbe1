//! The name and the tag of an image.

use nix_compat::StorePath;
use nix_compat::store_path::package_name;
use oci::reference::{DEFAULT_TAG, check_name, repository_from, split_tag};

use crate::usage::UsageError;

/// A name and a tag that take the place of an image's own ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameSettings {
    /// The name.
    pub name: Option<String>,
    /// The tag.
    pub tag: Option<String>,
}

impl NameSettings {
    /// `NAME:TAG` of an image that is called `default` otherwise.
    pub fn repo_tag(&self, default: &str) -> String {
        let (default_name, default_tag) = split_tag(default);
        let name = self.name.as_deref().unwrap_or(default_name);
        let tag = self.tag.as_deref().or(default_tag).unwrap_or(DEFAULT_TAG);
        format!("{name}:{tag}")
    }

    /// Checks what was given.
    ///
    /// # Errors
    ///
    /// Engines and registries would refuse the name or the tag.
    pub fn check(&self) -> Result<(), UsageError> {
        let name = self.name.as_deref();
        let tag = self.tag.as_deref();
        if name == Some("") || tag == Some("") {
            let usage = "an image needs a name and a tag that are not empty";
            return Err(UsageError(usage.to_owned()));
        }
        let name = name.unwrap_or("image");
        let tag = tag.unwrap_or(DEFAULT_TAG);
        check_name(&format!("{name}:{tag}")).map_err(|error| UsageError(error.to_string()))
    }
}

/// The name of an image of packages: the first package's without its version.
pub fn of_packages(paths: &[StorePath]) -> String {
    let name = paths.first().map(|path| package_name(path.name()));
    repository_from(name.unwrap_or_default())
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
            settings.check().ok().map(|()| settings.repo_tag("app:1"))
        };
        assert_eq!(name(None, None).as_deref(), Some("app:1"));
        assert_eq!(name(Some("other"), None).as_deref(), Some("other:1"));
        assert_eq!(name(None, Some("2")).as_deref(), Some("app:2"));
        assert_eq!(name(Some(""), None), None);
        assert_eq!(name(None, Some("")), None);
        assert_eq!(name(Some("a:2"), None), None);
        assert_eq!(name(Some("Other"), None), None);
        assert_eq!(name(None, Some("a b")), None);
    }
}
