//! Base images in docker-archives.
//!
//! Plain, gzip, zstd, bzip2 and xz archives are read, as `docker save`, `skopeo`, nixpkgs and
//! others write them, also with `./` before the members' names. Nothing is unpacked to disk: a
//! compressed archive is read again where its members stand in another order than its manifest
//! wants. Layers may be compressed, as Docker saves them from containerd's store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use oci::reference::full_name;
use oci::{Digest, DigestWriter, ParseDigestError};
use serde::Deserialize;
use serde_json::Value;

use super::archive_members::{ArchiveMembers, Found, FoundContent};
use super::error::BaseError;
use super::image::{BaseContent, BaseImage, BaseLayer, BaseSource};
use super::inherit::Inherit;
use super::layer_start::LayerStart;
use super::limits::MAX_LAYERS;
use crate::layer_id::BlobId;

/// The member that lists an archive's images.
pub(super) const MANIFEST: &str = "manifest.json";

/// One image of an archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl BaseImage {
    /// Reads an image's manifest and configuration, and where its layers are. `wanted` is one of
    /// the image's names, or `@` and its number from 0; without it, the first is taken.
    pub(super) fn of_docker_archive(
        archive: &ArchiveMembers,
        wanted: Option<&str>,
    ) -> Result<Self, BaseError> {
        let form = |what: String| archive.form(what);
        let manifests: Vec<Manifest> = serde_json::from_value(archive.json(MANIFEST)?)
            .map_err(|error| form(format!("its {MANIFEST}: {error}")))?;
        let (manifest, warnings) = choose(archive, manifests, wanted)?;
        let config = archive.json(&manifest.config)?;
        let Some(Value::Array(diff_ids)) = config.pointer("/rootfs/diff_ids") else {
            let config = &manifest.config;
            return Err(form(format!("its {config} has no rootfs.diff_ids")));
        };
        let (layers, ids) = (manifest.layers.len(), diff_ids.len());
        if layers != ids {
            return Err(form(format!(
                "its manifest has {layers} layers, its configuration {ids}"
            )));
        }
        if layers > MAX_LAYERS {
            return Err(form(format!("it has {layers} layers")));
        }
        let parse = |diff_id: &Value| diff_id.as_str().unwrap_or_default().parse();
        let diff_ids = diff_ids.iter().map(parse);
        let diff_ids: Vec<Digest> = diff_ids
            .collect::<Result<_, _>>()
            .map_err(|error: ParseDigestError| form(format!("its {}: {error}", manifest.config)))?;
        Ok(Self {
            source: BaseSource::Archive {
                archive: archive.source.clone(),
                compression: archive.compression,
            },
            layers: Layers::find(archive, &manifest.layers, &diff_ids)?.layers()?,
            config,
            inherit: BTreeSet::from([Inherit::Env]),
            warnings,
        })
    }
}

/// The image that is wanted, and a warning where it was one of several and none was named.
fn choose(
    archive: &ArchiveMembers,
    mut manifests: Vec<Manifest>,
    wanted: Option<&str>,
) -> Result<(Manifest, Vec<String>), BaseError> {
    let names = |manifests: &[Manifest]| {
        let name = |(number, manifest): (usize, &Manifest)| match &manifest.repo_tags {
            Some(tags) if !tags.is_empty() => tags.join(", "),
            _ => format!("@{number}"),
        };
        let names: Vec<String> = manifests.iter().enumerate().map(name).collect();
        names.join(", ")
    };
    let Some(wanted) = wanted else {
        let path = archive.source.path.display();
        let warnings = match manifests.len() {
            0 => return Err(archive.form(format!("its {MANIFEST} is empty"))),
            1 => Vec::new(),
            count => vec![format!(
                "{path} has {count} images ({}), and the first is taken; docker-archive:{path}:NAME:TAG is another",
                names(&manifests)
            )],
        };
        return Ok((manifests.swap_remove(0), warnings));
    };
    let found = match wanted.strip_prefix('@') {
        Some(number) => number
            .parse()
            .ok()
            .filter(|number| *number < manifests.len()),
        None => manifests.iter().position(|manifest| {
            let tags = manifest.repo_tags.iter().flatten();
            let is_wanted = |tag: &String| full_name(tag) == full_name(wanted);
            tags.into_iter().any(is_wanted)
        }),
    };
    match found {
        Some(number) => Ok((manifests.swap_remove(number), Vec::new())),
        None => Err(BaseError::NoSuchImage {
            path: archive.source.path.clone(),
            wanted: wanted.to_owned(),
            names: names(&manifests),
        }),
    }
}

/// The layers of an image in its archive.
struct Layers<'a> {
    archive: &'a ArchiveMembers,
    /// Their names, diff IDs and members.
    found: Vec<(&'a str, Digest, &'a Found)>,
}

impl<'a> Layers<'a> {
    fn find(
        archive: &'a ArchiveMembers,
        names: &'a [String],
        diff_ids: &[Digest],
    ) -> Result<Self, BaseError> {
        let mut found = Vec::with_capacity(names.len());
        for (name, diff_id) in names.iter().zip(diff_ids) {
            let member = archive.find(name.as_bytes());
            let member =
                member.ok_or_else(|| archive.form(format!("its layer {name} is not there")))?;
            found.push((name.as_str(), *diff_id, member));
        }
        Ok(Self { archive, found })
    }

    fn layers(&self) -> Result<Vec<BaseLayer>, BaseError> {
        let mut with_contents = Vec::with_capacity(self.found.len());
        for &(name, diff_id, member) in &self.found {
            with_contents.push((name, diff_id, member, self.contents(name, diff_id, member)?));
        }
        let blobs = self.blobs(with_contents.iter().filter_map(|(.., member)| *member))?;
        let layer = |(name, diff_id, member, contents): (&str, Digest, &Found, Option<&Found>)| {
            let content = match contents.map(|member| &member.content) {
                Some(&FoundContent::File { offset, size, .. }) => BaseContent::Member {
                    offset,
                    size,
                    blob: blobs.get(&offset).copied(),
                },
                _ => match &member.content {
                    FoundContent::Link(target) => BaseContent::Link(target.clone()),
                    _ => return Err(link_to_nothing(name)),
                },
            };
            Ok(BaseLayer {
                name: name.to_owned(),
                diff_id,
                content,
                mode: member.mode,
                mtime: member.mtime,
                owner: member.owner.clone(),
                pax: member.pax.clone(),
            })
        };
        with_contents.into_iter().map(layer).collect()
    }

    /// The member that has a layer's contents; none for a link to an equal layer of the image,
    /// which stays one.
    fn contents(
        &self,
        name: &str,
        diff_id: Digest,
        member: &'a Found,
    ) -> Result<Option<&'a Found>, BaseError> {
        let form = |what: &str| Err(self.archive.form(format!("its layer {name} {what}")));
        match &member.content {
            FoundContent::File {
                start: LayerStart::Other,
                ..
            } => form("is no tar, nor one that gzip or zstd compressed"),
            FoundContent::File { .. } => Ok(Some(member)),
            FoundContent::Sparse => {
                form("is stored as a sparse file, which no tool does for layers")
            }
            FoundContent::Link(target) => {
                let has_contents = |&(_, other, member): &(&str, Digest, &Found)| {
                    other == diff_id && !matches!(member.content, FoundContent::Link(_))
                };
                if self.found.iter().any(has_contents) {
                    return Ok(None);
                }
                // To a layer of another image in the archive.
                let target = self.archive.find(&target_name(name, target));
                match target {
                    Some(target) if !matches!(target.content, FoundContent::Link(_)) => {
                        self.contents(name, diff_id, target)
                    }
                    _ => Err(link_to_nothing(name)),
                }
            }
        }
    }

    /// What compressed layers are as blobs, by where they start. The archive does not say it.
    fn blobs(
        &self,
        members: impl Iterator<Item = &'a Found>,
    ) -> Result<BTreeMap<u64, BlobId>, BaseError> {
        let mut compressed = BTreeMap::new();
        for member in members {
            if let FoundContent::File {
                offset,
                size,
                start: LayerStart::Compressed(media_type),
            } = member.content
            {
                compressed.insert(offset, (size, media_type));
            }
        }
        if compressed.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut reader = self.archive.reader()?;
        let mut blob = |(offset, (size, media_type))| {
            reader.seek_to(offset)?;
            let mut digest = DigestWriter::default();
            io::copy(&mut (&mut reader).take(size), &mut digest)?;
            let (digest, found) = digest.finish();
            if found != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let blob = BlobId {
                digest,
                size,
                media_type,
            };
            Ok((offset, blob))
        };
        let blobs = compressed.into_iter().map(&mut blob);
        blobs
            .collect::<io::Result<_>>()
            .map_err(|error| self.archive.unreadable(error))
    }
}

fn link_to_nothing(layer: &str) -> BaseError {
    BaseError::LinkToNothing {
        layer: layer.to_owned(),
    }
}

/// The name of the member that a link leads to.
fn target_name(link: &str, target: &[u8]) -> Vec<u8> {
    let directory = link.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut parts: Vec<&[u8]> = directory.as_bytes().split(|&byte| byte == b'/').collect();
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.retain(|part| !matches!(*part, b"" | b"."));
    parts.join(&b'/')
}
