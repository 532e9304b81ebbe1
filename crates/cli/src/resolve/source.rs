//! Images that exist already: in a file, an OCI layout or a registry.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use image::base::open_layout;
use image::base::{BaseImage, BlobStore};
use oci::reference::split_tag;
use oci::{Digest, Platform, Reference, ReferenceError};
use registry::{Access, Client, Document};

use crate::resolve::registry_client::{self, RegistrySettings};
use crate::usage::UsageError;

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A docker-archive.
    Archive(PathBuf),
    /// An OCI layout, and the image's tag there.
    Layout(PathBuf, Option<String>),
    /// A registry.
    Registry(Reference),
}

impl FromStr for ImageSource {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(reference) = text.strip_prefix("docker://") {
            return reference.parse().map(Self::Registry);
        }
        if let Some(layout) = text.strip_prefix("oci:") {
            let (directory, tag) = split_tag(layout);
            return Ok(Self::Layout(directory.into(), tag.map(str::to_owned)));
        }
        let file = text.strip_prefix("docker-archive:").unwrap_or(text);
        Ok(Self::Archive(file.into()))
    }
}

impl ImageSource {
    /// Opens the image; of one for several platforms, the image for `platform`.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read.
    pub fn open(&self, registry: &RegistrySettings, platform: &Platform) -> Result<BaseImage> {
        Ok(match self {
            Self::Archive(file) => {
                refuse_other_images(file)?;
                BaseImage::open(file)?
            }
            Self::Layout(directory, Some(tag)) => match directory_with_colon(directory, tag) {
                Some(whole) => open_layout(&whole, None, platform)?,
                None => open_layout(directory, Some(tag), platform)?,
            },
            Self::Layout(directory, None) => open_layout(directory, None, platform)?,
            Self::Registry(reference) => of_registry(reference, registry, platform)
                .with_context(|| format!("cannot use the image {reference}"))?,
        })
    }

    /// The image's reference, if it is in a registry.
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            Self::Archive(_) | Self::Layout(..) => None,
        }
    }
}

/// Refuses a file that is none, where its text looks like that of an image elsewhere.
///
/// # Errors
///
/// What to write instead.
pub fn refuse_other_images(file: &Path) -> Result<(), UsageError> {
    let shown = file.display();
    if file.join("index.json").is_file() {
        return Err(UsageError(format!(
            "{shown} is a directory with an OCI layout; write oci:{shown}"
        )));
    }
    let is_there = file.symlink_metadata().is_ok();
    let is_reference = |text: &str| text.parse::<Reference>().is_ok();
    match file.to_str() {
        Some(text) if !is_there && is_reference(text) => Err(UsageError(format!(
            "there is no file {text}; write docker://{text} for an image in a registry"
        ))),
        _ => Ok(()),
    }
}

/// `DIR:TAG` as a directory whose name has a colon. It counts only if there is no DIR: otherwise
/// the same text would name another image as soon as somebody makes such a directory.
fn directory_with_colon(directory: &Path, tag: &str) -> Option<PathBuf> {
    let mut whole = directory.as_os_str().to_owned();
    whole.push(":");
    whole.push(tag);
    let whole = PathBuf::from(whole);
    (!directory.exists() && whole.is_dir()).then_some(whole)
}

fn of_registry(
    reference: &Reference,
    settings: &RegistrySettings,
    platform: &Platform,
) -> Result<BaseImage> {
    let client = registry_client::client(settings)?;
    let repository = client.repository(reference, Access::Pull);
    let Some(mut manifest) = repository.manifest(&reference.identifier())? else {
        bail!("the registry does not have it");
    };
    if matches!(manifest.document, Document::Index { .. }) {
        let digest = manifest
            .for_platform(platform)
            .map(|ours| ours.digest)
            .with_context(|| format!("it has no image for {platform}"))?;
        manifest = repository
            .manifest(&digest.to_string())?
            .with_context(|| format!("the registry does not have its image {digest}"))?;
    }
    let manifest = serde_json::from_slice(&manifest.bytes).context("its manifest")?;
    let store = RegistryBlobs {
        client,
        reference: reference.clone(),
    };
    Ok(BaseImage::of_blobs(Box::new(store), &manifest)?)
}

/// The blobs of a repository.
struct RegistryBlobs {
    client: Client,
    reference: Reference,
}

impl std::fmt::Debug for RegistryBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl BlobStore for RegistryBlobs {
    fn name(&self) -> String {
        format!("docker://{}", self.reference)
    }

    fn read(
        &self,
        digest: &Digest,
        size: u64,
        take: &mut dyn FnMut(&mut dyn Read),
    ) -> io::Result<()> {
        let repository = self.client.repository(&self.reference, Access::Pull);
        let mut reader = repository.blob(*digest, size).map_err(io::Error::other)?;
        take(&mut reader);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_alone_says_where_an_image_is() {
        let layout = |directory: &str, tag: Option<&str>| {
            ImageSource::Layout(directory.into(), tag.map(str::to_owned))
        };
        for (text, expected) in [
            ("oci:layout", layout("layout", None)),
            ("oci:layout:1", layout("layout", Some("1"))),
            ("oci:a:b:1", layout("a:b", Some("1"))),
            ("oci:a:b/", layout("a:b/", None)),
            ("oci:/a:b/layout", layout("/a:b/layout", None)),
            ("image.tar", ImageSource::Archive("image.tar".into())),
            ("docker-archive:oci:a", ImageSource::Archive("oci:a".into())),
        ] {
            assert_eq!(text.parse::<ImageSource>().unwrap(), expected, "{text}");
        }
        let image: ImageSource = "docker://localhost:5000/app:1".parse().unwrap();
        let reference = image.reference().unwrap();
        assert_eq!(reference.repository(), "app");
        assert!("docker://".parse::<ImageSource>().is_err());
    }

    #[test]
    fn a_tag_stays_one_when_a_directory_of_that_name_appears() {
        let temporary = tempfile::tempdir().unwrap();
        let layout = temporary.path().join("layout");
        let whole = temporary.path().join("layout:1");
        assert_eq!(directory_with_colon(&layout, "1"), None);
        std::fs::create_dir(&whole).unwrap();
        assert_eq!(directory_with_colon(&layout, "1"), Some(whole));
        std::fs::create_dir(&layout).unwrap();
        assert_eq!(directory_with_colon(&layout, "1"), None);
    }
}
