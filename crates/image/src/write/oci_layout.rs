//! An OCI layout in a directory.
//!
//! A blob gets its name when it is whole, so that what has a name is what the name says, also after a
//! run that was killed. `index.json` is replaced last. So a
//! layout is always whole, and a run takes up what the one before it has left.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use oci::annotation::REF_NAME;
use oci::index::put_platform;
use oci::layout::{BLOBS, INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, blob_path};
use oci::media_type::INDEX;
use oci::{Descriptor, Digest};
use serde_json::{Value, json};

use super::destination::{OciOptions, OciSummary};
use crate::blob_writer::BlobWriters;
use crate::documents::Documents;
use crate::error::Error;
use crate::layer_id::BlobId;
use crate::new_file::{NewFile, remove_abandoned};

/// Longest index that is read, in bytes. Real ones have some kilobytes.
const MAX_JSON: u64 = 32 << 20;

/// Writes the image into the layout in `directory`, which is made where it is not there yet. The
/// layout's other images stay; those of the same tags are replaced.
///
/// # Errors
///
/// A layer cannot be read, or the layout cannot be written.
pub fn write_oci_layout(
    writers: &BlobWriters<'_>,
    directory: &Path,
    options: &OciOptions<'_>,
) -> Result<OciSummary, Error> {
    let layout = Layout::create(directory)?;
    let present = layout.layers(writers, options)?;
    let documents = Documents::new(writers.table(), options.annotations)?;
    layout.blob(&documents.image_id, &documents.config)?;
    layout.blob(&documents.descriptor.digest, &documents.manifest)?;
    for name in options.names {
        layout.list(documents.named(name), options.index)?;
    }
    Ok(OciSummary {
        documents,
        present,
        written: layout.written.into_inner(),
    })
}

struct Layout {
    directory: PathBuf,
    /// Bytes of new blobs.
    written: AtomicU64,
}

impl Layout {
    fn create(directory: &Path) -> Result<Self, Error> {
        let blobs = directory.join(BLOBS);
        fs::create_dir_all(&blobs).map_err(at(&blobs))?;
        remove_abandoned(directory);
        let layout = Self {
            directory: directory.to_owned(),
            written: AtomicU64::new(0),
        };
        let file = directory.join(LAYOUT_FILE);
        match files::read(&file, MAX_JSON) {
            Ok(text) => {
                let version = serde_json::from_slice::<Value>(&text);
                let version = version.ok().and_then(|layout| {
                    let version = layout.get("imageLayoutVersion")?.as_str()?;
                    Some(version.to_owned())
                });
                if version.is_none_or(|version| !version.starts_with("1.")) {
                    let what = "it is of no known version".to_owned();
                    return Err(Error::Layout { path: file, what });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                layout.replace(&file, LAYOUT_TEXT.as_bytes())?;
            }
            Err(source) => return Err(at(&file)(source)),
        }
        Ok(layout)
    }

    /// Makes the layers that are not there, several at once; tells how many were there.
    fn layers(&self, writers: &BlobWriters<'_>, options: &OciOptions<'_>) -> Result<usize, Error> {
        let present = AtomicUsize::new(0);
        let work = |index| {
            let made = self.layer(writers, index, options)?;
            present.fetch_add(usize::from(!made), Ordering::Relaxed);
            Ok(())
        };
        let all: Vec<usize> = (0..writers.table().len()).collect();
        writers
            .schedule()
            .run(writers.at_once(), &all, work, || Ok(()))?;
        Ok(present.into_inner())
    }

    /// Makes a layer, unless it is there.
    fn layer(
        &self,
        writers: &BlobWriters<'_>,
        index: usize,
        options: &OciOptions<'_>,
    ) -> Result<bool, Error> {
        let (table, destination) = (writers.table(), options.destination);
        let is_there =
            |blob: &BlobId| self.has(&blob.digest, blob.size) || destination.has(&blob.digest);
        if let Some(blob) = table.blob(index)
            && is_there(&blob)
        {
            destination.done(index, &blob, false);
            return Ok(false);
        }
        destination.making(index, table.len(), &table.layer(index));
        let writer = writers.writer(index)?;
        let new = self.new_file()?;
        // What was remembered of it may be wrong: it gets its name afterwards.
        let blob = writer.write(new.file()).map_err(|error| match error {
            Error::Output(source) => at(&self.directory)(source),
            error => error,
        })?;
        let made = !is_there(&blob);
        if made {
            let path = self.path(&blob.digest);
            new.name(&path).map_err(at(&path))?;
            self.written.fetch_add(blob.size, Ordering::Relaxed);
        }
        destination.done(index, &blob, made);
        Ok(made)
    }

    fn blob(&self, digest: &Digest, contents: &[u8]) -> Result<(), Error> {
        let size = contents.len() as u64;
        if self.has(digest, size) {
            return Ok(());
        }
        self.replace(&self.path(digest), contents)?;
        self.written.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }

    /// Puts a manifest under its tag, or into the index there; what stood in its place is listed no
    /// more.
    fn list(&self, mut descriptor: Descriptor, into_index: bool) -> Result<(), Error> {
        let path = self.directory.join(INDEX_FILE);
        // Others may add their images at the same time.
        let lock = File::open(&self.directory).map_err(at(&self.directory))?;
        lock.lock().map_err(at(&self.directory))?;
        let wrong = |what: &str| Error::Layout {
            path: path.clone(),
            what: what.to_owned(),
        };
        let mut index: Value = match files::read(&path, MAX_JSON) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| wrong(&error.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] })
            }
            Err(source) => return Err(at(&path)(source)),
        };
        let Some(Value::Array(manifests)) = index.get_mut("manifests") else {
            return Err(wrong("it lists no manifests"));
        };
        let tag = descriptor.annotations.get(REF_NAME).cloned();
        let is_ours = |entry: &Value| entry["annotations"][REF_NAME].as_str() == tag.as_deref();
        if into_index {
            let standing = manifests.iter().find(|entry| is_ours(entry));
            descriptor = self.in_index(standing, &descriptor)?;
        }
        manifests.retain(|entry| !is_ours(entry));
        manifests.push(json!(descriptor));
        self.replace(&path, &serde_json::to_vec(&index)?)
    }

    /// Writes the index that stands under a tag, or a new one, with this image in it.
    fn in_index(
        &self,
        standing: Option<&Value>,
        descriptor: &Descriptor,
    ) -> Result<Descriptor, Error> {
        let mut image = descriptor.clone();
        let names = std::mem::take(&mut image.annotations);
        let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
        if let Some(standing) = standing {
            let mut standing: Descriptor = serde_json::from_value(standing.clone())?;
            if standing.media_type == INDEX {
                let path = self.path(&standing.digest);
                let text = files::read(&path, MAX_JSON).map_err(at(&path))?;
                index = serde_json::from_slice(&text).map_err(|error| Error::Layout {
                    path,
                    what: error.to_string(),
                })?;
            } else {
                standing.annotations.clear();
                index["manifests"] = json!([standing]);
            }
        }
        if let Some(Value::Array(entries)) = index.get_mut("manifests") {
            put_platform(entries, &image);
        }
        let text = serde_json::to_vec(&index)?;
        let digest = Digest::of(&text);
        self.blob(&digest, &text)?;
        Ok(Descriptor {
            annotations: names,
            ..Descriptor::of(INDEX, &text)
        })
    }

    fn has(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.path(digest)).is_ok_and(|metadata| metadata.len() == size)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(blob_path(digest))
    }

    fn new_file(&self) -> Result<NewFile, Error> {
        NewFile::create_in(&self.directory).map_err(at(&self.directory))
    }

    fn replace(&self, path: &Path, contents: &[u8]) -> Result<(), Error> {
        let new = self.new_file()?;
        new.file().write_all(contents).map_err(at(path))?;
        new.name(path).map_err(at(path))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::LayoutFile { path, source }
}
