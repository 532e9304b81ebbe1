//! Images that are there already, in a file, an OCI layout or a registry: to stand on, to plan after, to
//! compare with.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use image::base::{BaseImage, BlobStore, Inherit};
use image::oci::open_layout;
use oci::reference::split_tag;
use oci::{Digest, Platform, Reference, ReferenceError};
use registry::{Access, Client, Document};

use crate::args::{InheritArg, RegistryArgs, SettingArgs};
use crate::resolve::registry_client;

/// Where an image is.
#[derive(Debug, Clone)]
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
            // A directory's name may have a colon; a tag has no slash.
            return Ok(match split_tag(layout) {
                (directory, Some(tag)) if !Path::new(layout).exists() => {
                    Self::Layout(directory.into(), Some(tag.to_owned()))
                }
                _ => Self::Layout(layout.into(), None),
            });
        }
        let file = text.strip_prefix("docker-archive:").unwrap_or(text);
        Ok(Self::Archive(file.into()))
    }
}

/// Opens the base image that was asked for; of several platforms, that of `architecture`.
pub fn base(
    settings: &SettingArgs,
    registry: &RegistryArgs,
    architecture: &str,
) -> Result<Option<BaseImage>> {
    let Some(source) = &settings.from_image else {
        return Ok(None);
    };
    let mut base = source
        .open(registry, architecture)
        .context("--from-image")?;
    base.inherit = inherited(&settings.inherit);
    Ok(Some(base))
}

impl ImageSource {
    /// Opens the image; of several platforms, that of `architecture`.
    pub fn open(&self, registry: &RegistryArgs, architecture: &str) -> Result<BaseImage> {
        let platform = Platform::linux(architecture);
        Ok(match self {
            Self::Archive(file) => BaseImage::open(file)?,
            Self::Layout(directory, tag) => open_layout(directory, tag.as_deref(), &platform)?,
            Self::Registry(reference) => of_registry(reference, registry, &platform)
                .with_context(|| format!("cannot use the image {reference}"))?,
        })
    }
}

/// The repository of the base image in its registry, if it is from one.
pub fn repository(settings: &SettingArgs) -> Option<&Reference> {
    match &settings.from_image {
        Some(ImageSource::Registry(reference)) => Some(reference),
        _ => None,
    }
}

fn inherited(args: &[InheritArg]) -> BTreeSet<Inherit> {
    let mut all = BTreeSet::new();
    for arg in args {
        match arg {
            InheritArg::All => all.extend(Inherit::ALL),
            InheritArg::None => all.clear(),
            InheritArg::Env => _ = all.insert(Inherit::Env),
            InheritArg::Labels => _ = all.insert(Inherit::Labels),
            InheritArg::Cmd => _ = all.insert(Inherit::Cmd),
            InheritArg::Entrypoint => _ = all.insert(Inherit::Entrypoint),
            InheritArg::User => _ = all.insert(Inherit::User),
            InheritArg::Workdir => _ = all.insert(Inherit::Workdir),
            InheritArg::Ports => _ = all.insert(Inherit::Ports),
            InheritArg::Volumes => _ = all.insert(Inherit::Volumes),
            InheritArg::StopSignal => _ = all.insert(Inherit::StopSignal),
            InheritArg::Healthcheck => _ = all.insert(Inherit::Healthcheck),
        }
    }
    all
}

fn of_registry(
    reference: &Reference,
    args: &RegistryArgs,
    platform: &Platform,
) -> Result<BaseImage> {
    let client = registry_client::client(args)?;
    let repository = client.repository(reference, Access::Pull);
    let Some(mut manifest) = repository.manifest(&reference.identifier())? else {
        bail!("the registry does not have it");
    };
    if matches!(manifest.document, Document::Index { .. }) {
        let architecture = &platform.architecture;
        let digest = manifest
            .for_platform(platform)
            .map(|ours| ours.digest)
            .with_context(|| format!("it has no image for linux/{architecture}"))?;
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
