//! Images of a layout directory, to stand on.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci::annotation::{CONTAINERD_NAME, REF_NAME};
use oci::layout::{INDEX_FILE, blob_path};
use oci::media_type::{is_index, is_manifest};
use oci::{Descriptor, Digest, Index, Manifest, Platform};

use super::blobs::MAX_JSON;
use super::error::BaseError;
use super::image::{BaseImage, BlobStore};

/// The image of a layout under `tag`, or its only one; of several platforms, the one for
/// `platform`.
///
/// # Errors
///
/// The layout cannot be read, or has no such image.
pub fn open_layout(
    directory: &Path,
    tag: Option<&str>,
    platform: &Platform,
) -> Result<BaseImage, BaseError> {
    let layout = LayoutBlobs(directory.to_owned());
    let index: Index = layout.json(&directory.join(INDEX_FILE))?;
    let named = |descriptor: &&Descriptor| {
        let name = |key| descriptor.annotations.get(key).map(String::as_str);
        tag.is_none_or(|tag| [name(REF_NAME), name(CONTAINERD_NAME)].contains(&Some(tag)))
    };
    let found: Vec<&Descriptor> = index.manifests.iter().filter(named).collect();
    let descriptor = match (found.as_slice(), tag) {
        ([only], _) => (*only).clone(),
        ([], Some(tag)) => return Err(layout.wrong(format!("it has no image of tag {tag}"))),
        ([], None) => return Err(layout.wrong("it has no image".to_owned())),
        (several, _) => layout.of_platform(several.iter().copied(), platform)?,
    };
    let manifest = layout.manifest(&descriptor, platform)?;
    BaseImage::of_blobs(Box::new(layout), &manifest)
}

/// The blobs of a layout.
#[derive(Debug)]
struct LayoutBlobs(PathBuf);

impl LayoutBlobs {
    fn manifest(&self, of: &Descriptor, platform: &Platform) -> Result<Manifest, BaseError> {
        match of.media_type.as_str() {
            media_type if is_index(media_type) => {
                let index: Index = self.json(&self.path(&of.digest))?;
                let inner = self.of_platform(index.manifests.iter(), platform)?;
                if is_index(&inner.media_type) {
                    return Err(self.wrong("it has an index within an index".to_owned()));
                }
                self.manifest(&inner, platform)
            }
            media_type if is_manifest(media_type) => self.json(&self.path(&of.digest)),
            other => Err(self.wrong(format!("it has a manifest of type {other}"))),
        }
    }

    fn of_platform<'a>(
        &self,
        mut all: impl Iterator<Item = &'a Descriptor>,
        platform: &Platform,
    ) -> Result<Descriptor, BaseError> {
        let is_ours = |descriptor: &&Descriptor| {
            let other = descriptor.platform.as_ref();
            other.is_some_and(|other| platform.matches(other))
        };
        all.find(is_ours).cloned().ok_or_else(|| {
            self.wrong(format!(
                "it has several images, and which is meant is not clear: none is for {platform}; \
                 name one by its tag"
            ))
        })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<T, BaseError> {
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_JSON + 1).read_to_end(&mut text))
            .map_err(|source| BaseError::Read {
                path: path.to_owned(),
                source,
            })?;
        if text.len() as u64 > MAX_JSON {
            let most = MAX_JSON / 1_000_000;
            return Err(self.wrong(format!("{} has more than {most} MB", path.display())));
        }
        serde_json::from_slice(&text)
            .map_err(|error| self.wrong(format!("{}: {error}", path.display())))
    }

    fn wrong(&self, what: String) -> BaseError {
        BaseError::Blobs {
            name: self.name(),
            what,
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(blob_path(digest))
    }
}

impl BlobStore for LayoutBlobs {
    fn name(&self) -> String {
        format!("oci:{}", self.0.display())
    }

    fn read(&self, digest: &Digest, _: u64, take: &mut dyn FnMut(&mut dyn Read)) -> io::Result<()> {
        take(&mut File::open(self.path(digest))?);
        Ok(())
    }
}
