//! Images that exist already: in an archive, an OCI layout, a registry or a container engine.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use engine::{Choice, Surroundings};
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
    /// A file without a word before it: an archive of either kind.
    File(PathBuf),
    /// A docker-archive, and maybe which image of it: `FILE`, `FILE:NAME[:TAG]`, `FILE:@NUMBER`.
    DockerArchive(String),
    /// The archive of an OCI layout, and the image's tag there.
    OciArchive(PathBuf, Option<String>),
    /// An OCI layout, and the image's tag there.
    Layout(PathBuf, Option<String>),
    /// A registry.
    Registry(Reference),
    /// The container engine that `load` finds, and the image's name there.
    Engine(String),
}

impl FromStr for ImageSource {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(reference) = text.strip_prefix("docker://") {
            return reference.parse().map(Self::Registry);
        }
        if let Some(name) = text.strip_prefix("docker-daemon:") {
            return Ok(Self::Engine(name.to_owned()));
        }
        if let Some(layout) = text.strip_prefix("oci:") {
            let (directory, tag) = split_tag(layout);
            return Ok(Self::Layout(directory.into(), tag.map(str::to_owned)));
        }
        if let Some(archive) = text.strip_prefix("oci-archive:") {
            let (file, tag) = split_tag(archive);
            return Ok(Self::OciArchive(file.into(), tag.map(str::to_owned)));
        }
        if let Some(archive) = text.strip_prefix("docker-archive:") {
            return Ok(Self::DockerArchive(archive.to_owned()));
        }
        Ok(Self::File(text.into()))
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
            Self::File(file) => {
                refuse_other_images(file)?;
                BaseImage::open(file, None, platform)?
            }
            Self::DockerArchive(text) => {
                let (file, name) = split_image_of_archive(text);
                BaseImage::open(file, name, platform)?
            }
            Self::OciArchive(file, tag) => {
                let (file, tag) = with_colon(file, tag.as_deref());
                BaseImage::open_oci_archive(&file, tag, platform)?
            }
            Self::Layout(directory, tag) => {
                let (directory, tag) = with_colon(directory, tag.as_deref());
                open_layout(&directory, tag, platform)?
            }
            Self::Registry(reference) => {
                of_registry(reference, registry, platform).map_err(|error| {
                    registry_client::tried(error, "cannot use the image", reference)
                })?
            }
            Self::Engine(name) => of_engine(name, platform)?,
        })
    }

    /// The image's reference, if it is in a registry.
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            Self::File(_)
            | Self::DockerArchive(_)
            | Self::OciArchive(..)
            | Self::Layout(..)
            | Self::Engine(_) => None,
        }
    }
}

/// Refuses a file that is none, where its text looks like that of an image elsewhere.
///
/// # Errors
///
/// What to write instead.
fn refuse_other_images(file: &Path) -> Result<(), UsageError> {
    let shown = file.display();
    if file.join("index.json").is_file() {
        return Err(UsageError(format!(
            "{shown} is a directory with an OCI layout; write oci:{shown}"
        )));
    }
    if file.is_dir() {
        return Err(UsageError(format!(
            "{shown} is a directory, and not one with an OCI layout"
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

/// `PATH:TAG`, where the whole may be a path whose name has a colon. That counts only if there is no
/// PATH: otherwise the same text would name another image as soon as somebody makes such a file.
fn with_colon<'a>(path: &'a Path, tag: Option<&'a str>) -> (Cow<'a, Path>, Option<&'a str>) {
    if let Some(tag) = tag
        && !path.exists()
    {
        let mut whole = path.as_os_str().to_owned();
        whole.push(":");
        whole.push(tag);
        let whole = PathBuf::from(whole);
        if whole.exists() {
            return (whole.into(), None);
        }
    }
    (path.into(), tag)
}

/// `FILE`, or `FILE:NAME`, in which NAME may have colons, as skopeo has it. Where there is no such
/// FILE, the name of one may have colons.
fn split_image_of_archive(text: &str) -> (&Path, Option<&str>) {
    match text.split_once(':') {
        Some((file, name)) if Path::new(file).exists() => (Path::new(file), Some(name)),
        _ => (Path::new(text), None),
    }
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

/// An image in the engine that `load` finds.
fn of_engine(name: &str, platform: &Platform) -> Result<BaseImage> {
    let engine = Surroundings::of_process().find(Choice::Any)?;
    let file = engine.save(name)?;
    let mut image = BaseImage::open_unlinked(file, &format!("docker-daemon:{name}"), platform)?;
    image.warnings.extend(engine.warning().map(str::to_owned));
    Ok(image)
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
            ("image.tar", ImageSource::File("image.tar".into())),
            ("docker-daemon:app:1", ImageSource::Engine("app:1".into())),
            (
                "docker-archive:a.tar:app:1",
                ImageSource::DockerArchive("a.tar:app:1".into()),
            ),
            (
                "oci-archive:a.tar:1",
                ImageSource::OciArchive("a.tar".into(), Some("1".into())),
            ),
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
        let named = || with_colon(&layout, Some("1"));
        assert_eq!(named(), (layout.as_path().into(), Some("1")));
        std::fs::create_dir(&whole).unwrap();
        assert_eq!(named(), (whole.into(), None));
        std::fs::create_dir(&layout).unwrap();
        assert_eq!(named(), (layout.as_path().into(), Some("1")));
    }
}
