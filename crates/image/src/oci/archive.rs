//! An OCI layout as one tar: what `podman load`, `skopeo … oci-archive:` and newer Docker Engines
//! take.
//!
//! Blobs come in the order of the layers, then configuration and manifest, and `index.json` last:
//! only then are all digests known. Beside it stands the `manifest.json` that older engines look
//! for, so that `docker load` of any version takes the archive.
//!
//! A tar names a member's length before its contents. A layer that is not compressed is hashed
//! ahead, as for a docker-archive, and one whose compressed digest is remembered is compressed
//! into the archive directly. Only a layer that is compressed for the first time is spooled, one
//! at a time: in memory, if it is small, else in a file without a name.

use std::collections::BTreeSet;
use std::io::{self, Seek as _, SeekFrom, Write};

use tempfile::spooled_tempfile_in;

use oci::layout::{INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, blob_path};
use oci::{Descriptor, Index};

use super::{Documents, LayerBlob, LayerBlobs, Options, Summary, names};
use crate::config::manifest_text_of;
use crate::digests::{Digests, with_digests};
use crate::sink::{CopyError, Sink};
use crate::spool;
use crate::tar::ArchiveWriter;
use crate::{Compression, Digest, Error, Layer};

/// Bytes of a compressed layer that are kept in memory until its digest is known.
const SPOOL: usize = 4 << 20;

/// Writes the image to `output`.
///
/// # Errors
///
/// A layer cannot be read, has changed meanwhile, or `output` cannot be written. What was written
/// until then is no image: `index.json` comes last.
pub fn write_archive(
    blobs: &LayerBlobs<'_>,
    output: &mut impl Sink,
    options: &Options<'_>,
) -> Result<Summary, Error> {
    // What is dear to read is not read twice, but spooled.
    let may_hash_ahead =
        blobs.compression() == Compression::None && blobs.trees().rereads_cheaply();
    let ahead: Vec<usize> = (0..blobs.len())
        .filter(|&index| may_hash_ahead && blobs.get(index).is_none())
        .collect();
    let layers: Vec<Layer<'_>> = ahead.iter().map(|&index| *blobs.layer(index)).collect();
    let (trees, rules) = (blobs.trees(), &blobs.image().rules);
    with_digests(&layers, trees, rules, blobs.jobs(), None, |digests| {
        let archive = Archive {
            blobs,
            options,
            tar: ArchiveWriter::new(output, rules.mtime),
            written: BTreeSet::new(),
            present: 0,
        };
        archive.write(&ahead, digests)
    })
}

struct Archive<'a, 'i, 'o, S> {
    blobs: &'a LayerBlobs<'i>,
    options: &'a Options<'a>,
    tar: ArchiveWriter<'o, S>,
    /// Blobs that are in the archive: none is there twice.
    written: BTreeSet<Digest>,
    present: usize,
}

impl<S: Sink> Archive<'_, '_, '_, S> {
    fn write(mut self, ahead: &[usize], digests: &Digests) -> Result<Summary, Error> {
        let image = self.blobs.image();
        self.file(LAYOUT_FILE, LAYOUT_TEXT.as_bytes())?;
        let mut layers = Vec::with_capacity(self.blobs.len());
        for index in 0..self.blobs.len() {
            if let Ok(at) = ahead.binary_search(&index) {
                self.blobs.know_plain(index, &digests.wait(at)?);
            }
            layers.push(self.layer(index)?);
        }
        let documents = Documents::new(self.blobs, self.options.annotations)?;
        self.blob(&documents.image_id, &documents.config)?;
        self.blob(&documents.descriptor.digest, &documents.manifest)?;
        let named = image.repo_tags.iter().map(|repo_tag| {
            let mut descriptor = documents.descriptor.clone();
            descriptor.annotations = names(repo_tag);
            descriptor
        });
        let mut manifests: Vec<Descriptor> = named.collect();
        if manifests.is_empty() {
            manifests.push(documents.descriptor.clone());
        }
        let members: Vec<String> = layers.iter().map(|blob| blob_path(&blob.digest)).collect();
        let config = blob_path(&documents.image_id);
        let docker = manifest_text_of(&image.repo_tags, &config, &members)?;
        self.file("manifest.json", &docker)?;
        self.file(INDEX_FILE, &Index::new(manifests).to_json()?)?;
        Ok(Summary {
            layers,
            documents,
            present: self.present,
            written: self.tar.finish().map_err(Error::Output)?,
        })
    }

    fn layer(&mut self, index: usize) -> Result<LayerBlob, Error> {
        let (blobs, destination) = (self.blobs, self.options.destination);
        let layer = blobs.layer(index);
        let known = blobs.get(index);
        if let Some(blob) = known
            && !self.is_wanted(&blob.digest)
        {
            destination.done(index, &blob, false);
            return Ok(blob);
        }
        destination.making(index, blobs.len(), layer);
        let blob = match known {
            Some(blob) => {
                self.begin(&blob.digest, blob.size)?;
                self.contents(index, &blob)?;
                blob
            }
            None => {
                let mut spool = spooled_tempfile_in(SPOOL, spool::directory());
                let blob = blobs.write(index, &mut spool)?;
                if !self.is_wanted(&blob.digest) {
                    destination.done(index, &blob, false);
                    return Ok(blob);
                }
                self.begin(&blob.digest, blob.size)?;
                spool.seek(SeekFrom::Start(0)).map_err(Error::Output)?;
                match self.tar.sink().copy_stream(&mut spool, blob.size) {
                    Ok(_) => {}
                    Err(CopyError::Read(error) | CopyError::Write(error)) => {
                        return Err(Error::Output(error));
                    }
                }
                blob
            }
        };
        self.tar.end(blob.size).map_err(Error::Output)?;
        destination.done(index, &blob, true);
        Ok(blob)
    }

    /// Writes a blob that is known.
    fn contents(&mut self, index: usize, blob: &LayerBlob) -> Result<(), Error> {
        let blobs = self.blobs;
        let layer = blobs.layer(index);
        let is_plain = blobs.compression() == Compression::None && !self.options.verify;
        let found = match layer {
            Layer::Base(_) => None,
            layer if is_plain => {
                Some(layer.write(blobs.trees(), &blobs.image().rules, self.tar.sink())?)
            }
            _ => None,
        };
        let found = match found {
            Some(found) => found,
            None => blobs.write(index, SinkWriter(self.tar.sink()))?.size,
        };
        if found == blob.size {
            return Ok(());
        }
        Err(Error::LayerLength {
            index: index + 1,
            what: layer.describe(),
            diff_id: blob.diff_id,
            expected: blob.size,
            found,
        })
    }

    /// Whether a blob is neither in the archive nor at its destination.
    fn is_wanted(&mut self, digest: &Digest) -> bool {
        if self.written.contains(digest) {
            return false;
        }
        let has = self.options.destination.has(digest);
        self.present += usize::from(has);
        !has
    }

    fn begin(&mut self, digest: &Digest, size: u64) -> Result<(), Error> {
        self.written.insert(*digest);
        self.tar
            .begin(&blob_path(digest), size)
            .map_err(Error::Output)
    }

    fn blob(&mut self, digest: &Digest, contents: &[u8]) -> Result<(), Error> {
        self.file(&blob_path(digest), contents)
    }

    fn file(&mut self, name: &str, contents: &[u8]) -> Result<(), Error> {
        self.tar.file(name, contents).map_err(Error::Output)
    }
}

struct SinkWriter<'a, S>(&'a mut S);

impl<S: Sink> Write for SinkWriter<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
