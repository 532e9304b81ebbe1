//! Images of a layout, to stand on.

use std::io::Read as _;
use std::path::Path;

use oci::annotation::{CONTAINERD_NAME, REF_NAME};
use oci::layout::{INDEX_FILE, blob_path};
use oci::media_type::{is_index, is_manifest};
use oci::{Descriptor, Digest, Index, Manifest, Platform};

use super::archive_members::ArchiveMembers;
use super::error::BaseError;
use super::image::{BaseImage, BlobStore as _};
use super::layout_files::LayoutFiles;
use super::limits::MAX_JSON;

/// The image of a layout directory under `tag`, or its only one; of several platforms, the one for
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
    Layout(LayoutFiles::Directory(directory.to_owned())).open(tag, platform)
}

/// The same of a layout in an archive.
pub(super) fn open_layout_archive(
    archive: ArchiveMembers,
    tag: Option<&str>,
    platform: &Platform,
) -> Result<BaseImage, BaseError> {
    Layout(LayoutFiles::in_archive(archive)).open(tag, platform)
}

struct Layout(LayoutFiles);

impl Layout {
    fn open(self, tag: Option<&str>, platform: &Platform) -> Result<BaseImage, BaseError> {
        let index: Index = self.parse(INDEX_FILE, &self.text(INDEX_FILE, None)?)?;
        let names = |descriptor: &Descriptor| {
            let name = |key| descriptor.annotations.get(key).cloned();
            [name(REF_NAME), name(CONTAINERD_NAME)]
        };
        let is_named = |descriptor: &&Descriptor| {
            let names = names(descriptor);
            tag.is_none_or(|tag| names.iter().any(|name| name.as_deref() == Some(tag)))
        };
        let found: Vec<&Descriptor> = index.manifests.iter().filter(is_named).collect();
        let mut warnings = Vec::new();
        let descriptor = match (found.as_slice(), tag) {
            ([only], _) => (*only).clone(),
            ([], Some(tag)) => return Err(self.wrong(format!("it has no image of tag {tag}"))),
            ([], None) => return Err(self.wrong("it has no image".to_owned())),
            (several, _) => {
                let taken = self.of_platform(several.iter().copied(), platform)?;
                let others = several.iter().filter(|other| is_for(other, platform));
                if others.count() > 1 {
                    let name = names(&taken).into_iter().flatten().next();
                    warnings.push(format!(
                        "{place} has several images for this platform, and the first is taken ({}); \
                         {place}:TAG is another",
                        name.unwrap_or_else(|| taken.digest.to_string()),
                        place = self.0.name(),
                    ));
                }
                taken
            }
        };
        let manifest = self.manifest(&descriptor, platform)?;
        let mut image = BaseImage::of_blobs(Box::new(self.0), &manifest)?;
        image.warnings = warnings;
        Ok(image)
    }

    fn manifest(&self, of: &Descriptor, platform: &Platform) -> Result<Manifest, BaseError> {
        let name = blob_path(&of.digest);
        match of.media_type.as_str() {
            media_type if is_index(media_type) => {
                let index: Index = self.parse(&name, &self.text(&name, Some(of))?)?;
                let inner = self.of_platform(index.manifests.iter(), platform)?;
                if is_index(&inner.media_type) {
                    return Err(self.wrong("it has an index within an index".to_owned()));
                }
                self.manifest(&inner, platform)
            }
            media_type if is_manifest(media_type) => {
                self.parse(&name, &self.text(&name, Some(of))?)
            }
            other => Err(self.wrong(format!("it has a manifest of type {other}"))),
        }
    }

    fn of_platform<'a>(
        &self,
        mut all: impl Iterator<Item = &'a Descriptor>,
        platform: &Platform,
    ) -> Result<Descriptor, BaseError> {
        all.find(|descriptor| is_for(descriptor, platform))
            .cloned()
            .ok_or_else(|| {
                self.wrong(format!(
                "it has several images, and which is meant is not clear: none is for {platform}; \
                 name one by its tag"
            ))
            })
    }

    /// The text of a file, which is held to what describes it. The index is described by nothing.
    fn text(&self, name: &str, described: Option<&Descriptor>) -> Result<Vec<u8>, BaseError> {
        let mut text = Vec::new();
        let mut result = Ok(0);
        let mut length = 0;
        let read = self.0.read(name, &mut |size, reader| {
            length = size;
            if size <= MAX_JSON {
                result = reader.take(MAX_JSON + 1).read_to_end(&mut text);
            }
        });
        read.and(result).map_err(|source| BaseError::LayoutFile {
            file: self.0.display(name),
            source,
        })?;
        let wrong = |what: String| Err(self.wrong(format!("its {name} {what}")));
        if length.max(text.len() as u64) > MAX_JSON {
            return wrong(format!("has more than {} MB", MAX_JSON / 1_000_000));
        }
        match described {
            Some(described) if described.size != text.len() as u64 => {
                let (found, expected) = (text.len(), described.size);
                wrong(format!("has {found} bytes, and should have {expected}"))
            }
            Some(described) if described.digest != Digest::of(&text) => {
                wrong("is not what its digest says".to_owned())
            }
            _ => Ok(text),
        }
    }

    fn parse<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        text: &[u8],
    ) -> Result<T, BaseError> {
        serde_json::from_slice(text).map_err(|error| self.wrong(format!("its {name}: {error}")))
    }

    fn wrong(&self, what: String) -> BaseError {
        BaseError::Blobs {
            name: self.0.name(),
            what,
        }
    }
}

fn is_for(descriptor: &Descriptor, platform: &Platform) -> bool {
    let other = descriptor.platform.as_ref();
    other.is_some_and(|other| platform.matches(other))
}
