//! What is known of each layer of an image, and how far it is believed.
//!
//! The recipe, the cache of this machine, images that stand in a registry, and the threads that
//! hash and compress *fill* the table. The writers of archives and layouts, `push` and `load` *ask*
//! it. Nobody else keeps digests of layers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix_compat::{NarHash, StorePath};
use oci::Digest;

use crate::bytes::compression::Compression;
use crate::error::Error;
use crate::layer_cache::{BlobKey, LayerCache, LayerKey};
use crate::layer_id::{BlobId, TarId};
use crate::recipe::{Image, Layer, OwnLayer, Root};
use crate::seen::Seen;
use crate::witness::Witness;

/// Something that is known of a layer, in the order in which it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fact<T> {
    /// Nothing is known.
    #[default]
    Unknown,
    /// An image in a registry says so. It is believed where that image goes to, and never kept. If
    /// the layer turns out to be another, this was wrong, and the layer counts.
    Claimed(T),
    /// The cache of this machine says so, which keeps what was made here. If the layer turns out to
    /// be another, this was wrong, and the layer counts.
    Remembered(T),
    /// It came with the image. If the layer turns out to be another, that is an error.
    Given(T),
    /// The layer was read just now.
    Made(T),
}

impl<T: Copy + PartialEq> Fact<T> {
    /// What is known, however far it is believed.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Unknown => None,
            Self::Claimed(value)
            | Self::Remembered(value)
            | Self::Given(value)
            | Self::Made(value) => Some(value),
        }
    }

    /// What is known for sure, or not to be doubted.
    pub fn certain(self) -> Option<T> {
        match self {
            Self::Unknown | Self::Claimed(_) | Self::Remembered(_) => None,
            Self::Given(value) | Self::Made(value) => Some(value),
        }
    }

    /// What is known, but may be wrong.
    pub fn doubtful(self) -> Option<T> {
        match self {
            Self::Claimed(value) | Self::Remembered(value) => Some(value),
            Self::Unknown | Self::Given(_) | Self::Made(_) => None,
        }
    }

    /// What was read just now.
    fn made(self) -> Option<T> {
        match self {
            Self::Made(value) => Some(value),
            _ => None,
        }
    }

    /// Takes what is remembered, where nothing is known.
    fn remember(&mut self, value: T) {
        if *self == Self::Unknown {
            *self = Self::Remembered(value);
        }
    }

    /// Takes what an image claims, where nothing is known.
    fn claim(&mut self, value: T) {
        if *self == Self::Unknown {
            *self = Self::Claimed(value);
        }
    }

    /// Who is wrong, where the layer is not the one that is known.
    fn witness(self) -> Option<Witness> {
        match self {
            Self::Claimed(_) => Some(Witness::Registry),
            Self::Remembered(_) => Some(Witness::Cache),
            Self::Unknown | Self::Given(_) | Self::Made(_) => None,
        }
    }

    /// Takes what was made; fails with what it should have been.
    fn make(&mut self, found: T) -> Result<(), T> {
        match self.certain() {
            Some(expected) if expected != found => Err(expected),
            _ => {
                *self = Self::Made(found);
                Ok(())
            }
        }
    }
}

/// The layers of an image, and what is known of them. Shared between threads.
pub struct LayerTable<'a> {
    image: &'a Image,
    layers: Vec<Layer<'a>>,
    compression: Compression,
    rows: Mutex<Vec<Row>>,
    /// The files of layers that were hashed.
    seen: Mutex<BTreeMap<usize, Seen>>,
}

/// What is known of one layer.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// Names the store paths of the layer with their NAR hashes.
    key: Option<LayerKey>,
    tar: Fact<TarId>,
    /// In the compression of the table; unused without compression, where the tar is the blob.
    blob: Fact<BlobId>,
    /// Who said something wrong of it.
    disproved: Option<Witness>,
}

impl<'a> LayerTable<'a> {
    /// The layers of `image`, whose blobs are compressed so, with what the recipe says of them. A
    /// base image's layers that are blobs already stay as they are.
    ///
    /// # Errors
    ///
    /// The root's tar is not there.
    pub fn new(image: &'a Image, compression: Compression) -> Result<Self, Error> {
        let layers = image.layers();
        let rows = layers.iter().map(|layer| {
            let (tar, blob) = match layer {
                Layer::Base(base, layer) => (base.tar(layer), base.blob(layer)),
                Layer::Own(OwnLayer::Store(layer)) => (layer.tar, None),
                Layer::Own(OwnLayer::Root(root)) => (root_tar(root)?, None),
            };
            Ok(Row {
                key: None,
                tar: tar.map_or(Fact::Unknown, Fact::Given),
                blob: blob.map_or(Fact::Unknown, Fact::Given),
                disproved: None,
            })
        });
        Ok(Self {
            rows: Mutex::new(rows.collect::<Result<_, Error>>()?),
            image,
            layers,
            compression,
            seen: Mutex::default(),
        })
    }

    /// Names the layers of store paths by the NAR hashes of these, where all are known, so that
    /// their digests can be remembered.
    #[must_use]
    pub fn with_keys(self, nar_hashes: &BTreeMap<StorePath, NarHash>) -> Self {
        let mut rows = self.rows();
        for (row, layer) in rows.iter_mut().zip(&self.layers) {
            if let Layer::Own(OwnLayer::Store(layer)) = layer {
                row.key = LayerKey::of_paths(&self.image.rules, &layer.paths, nar_hashes);
            }
        }
        drop(rows);
        self
    }

    /// A table of the same image that knows the same. What either learns from then on, the other does
    /// not: while one user of a table finds out that something was remembered wrongly, others still rely
    /// on it.
    #[must_use]
    pub fn fork(&self) -> Self {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.iter().map(|(index, files)| (*index, files.again()));
        Self {
            image: self.image,
            layers: self.layers.clone(),
            compression: self.compression,
            rows: Mutex::new(self.rows().clone()),
            seen: Mutex::new(seen.collect()),
        }
    }

    /// The image.
    pub fn image(&self) -> &'a Image {
        self.image
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is no layer; there always is one.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// A layer.
    pub fn layer(&self, index: usize) -> Layer<'a> {
        self.layers[index]
    }

    /// How new blobs are compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// What is known of a layer's tar.
    pub fn tar(&self, index: usize) -> Fact<TarId> {
        self.rows()[index].tar
    }

    /// The digest of a layer's tar, where it is known. That of a base image's compressed layer is,
    /// though its length is not.
    pub fn diff_id(&self, index: usize) -> Option<Digest> {
        match self.layers[index] {
            Layer::Base(_, layer) => Some(layer.diff_id),
            Layer::Own(_) => self.tar(index).value().map(|tar| tar.digest),
        }
    }

    /// All diff IDs, bottom first.
    ///
    /// # Errors
    ///
    /// One is not known, which is a fault of the program.
    pub fn diff_ids(&self) -> Result<Vec<Digest>, Error> {
        let all = 0..self.len();
        all.map(|index| self.diff_id(index).ok_or_else(|| self.not_made(index)))
            .collect()
    }

    /// What is known of a layer's blob.
    pub fn blob(&self, index: usize) -> Option<BlobId> {
        let row = self.rows()[index];
        match self.compression {
            Compression::None if row.blob == Fact::Unknown => row.tar.value().map(BlobId::plain),
            _ => row.blob.value(),
        }
    }

    /// All layers' blobs, bottom first.
    ///
    /// # Errors
    ///
    /// One is not known, which is a fault of the program.
    pub fn blobs(&self) -> Result<Vec<BlobId>, Error> {
        let all = 0..self.len();
        all.map(|index| self.blob(index).ok_or_else(|| self.not_made(index)))
            .collect()
    }

    /// What a layer's blob can be remembered by: what fixes its tar, and how it is compressed. A
    /// layer without a key of its own gets one as soon as its tar is known. None for blobs that are
    /// not made here.
    pub fn blob_key(&self, index: usize) -> Option<BlobKey> {
        Some(
            self.rows()[index]
                .layer_key(&self.layers[index])?
                .blob(self.compression),
        )
    }

    /// Whether a layer's blob is known by the word of an image in a registry alone.
    pub fn is_claimed(&self, index: usize) -> bool {
        let row = self.rows()[index];
        matches!(row.blob, Fact::Claimed(_)) || matches!(row.tar, Fact::Claimed(_))
    }

    /// The layers of which something wrong was said, and who said it.
    pub fn disproved(&self) -> Vec<(usize, Witness)> {
        let rows = self.rows();
        let wrong = rows.iter().enumerate();
        wrong
            .filter_map(|(index, row)| Some((index, row.disproved?)))
            .collect()
    }

    /// Takes what an earlier run knows of a layer's tar, where nothing is known.
    pub fn remember_tar(&self, index: usize, tar: TarId) {
        self.rows()[index].tar.remember(tar);
    }

    /// Takes what an earlier run knows of a layer's blob, and of the tar in it, where nothing is
    /// known, or the same tar.
    pub fn remember_blob(&self, index: usize, tar: TarId, blob: BlobId) {
        let row = &mut self.rows()[index];
        row.tar.remember(tar);
        if row.tar.value() == Some(tar) && self.compression != Compression::None {
            row.blob.remember(blob);
        }
    }

    /// Takes what an image in a registry says of a layer's blob, and of the tar in it, where nothing
    /// is known, or the same tar.
    pub fn claim_blob(&self, index: usize, tar: TarId, blob: BlobId) {
        let row = &mut self.rows()[index];
        row.tar.claim(tar);
        if row.tar.value() == Some(tar) && self.compression != Compression::None {
            row.blob.claim(blob);
        }
    }

    /// Notes that somebody said something wrong of a layer.
    pub fn disprove(&self, index: usize, witness: Witness) {
        self.rows()[index].disproved = Some(witness);
    }

    /// Forgets what may be wrong of a layer, which turned out not to be as expected, and tells who said
    /// it; none where it is certain.
    fn doubt(&self, index: usize) -> Option<Witness> {
        let row = &mut self.rows()[index];
        let witness = row.tar.witness()?;
        row.disproved = Some(witness);
        row.tar = Fact::Unknown;
        if row.blob.doubtful().is_some() {
            row.blob = Fact::Unknown;
        }
        Some(witness)
    }

    /// Takes from the cache what it knows of layers that are not yet known.
    pub fn recall(&self, cache: &LayerCache) {
        for index in 0..self.len() {
            let row = self.rows()[index];
            let Some(key) = row.layer_key(&self.layers[index]) else {
                continue;
            };
            let Some(tar) = row.tar.value().or_else(|| cache.tar(&key)) else {
                continue;
            };
            self.remember_tar(index, tar);
            if let Some(blob) = cache.blob(&key.blob(self.compression), self.compression) {
                self.remember_blob(index, tar, blob);
            }
        }
    }

    /// Adds to the cache what was made, and nothing that others say; drops what it was wrong about.
    ///
    /// # Errors
    ///
    /// The cache cannot be written.
    pub fn keep(&self, cache: &mut LayerCache) -> std::io::Result<()> {
        let rows = self.rows().clone();
        let of_keys = rows
            .iter()
            .filter_map(|row| Some((row.key?, row.tar.made()?)));
        let of_blobs = rows.iter().zip(&self.layers).filter_map(|(row, layer)| {
            let key = row.layer_key(layer)?;
            Some((key.blob(self.compression), row.blob.made()?))
        });
        let wrong = rows
            .iter()
            .filter(|row| row.disproved == Some(Witness::Cache));
        let wrong = wrong.filter_map(|row| Some((row.key?, row)));
        let tars = wrong.clone().filter(|(_, row)| row.tar.made().is_none());
        let blobs = wrong.filter(|(_, row)| row.blob.made().is_none());
        let compression = self.compression;
        cache.forget(
            tars.map(|(key, _)| key),
            blobs.map(|(key, _)| key.blob(compression)),
        )?;
        cache.add(of_keys, of_blobs)
    }

    /// Takes what a layer's tar was found to be.
    ///
    /// # Errors
    ///
    /// The tar that was given, or made before, is another.
    pub fn made_tar(&self, index: usize, found: TarId) -> Result<(), Error> {
        let made = {
            let row = &mut self.rows()[index];
            if row.tar.doubtful().is_some_and(|said| said != found) {
                row.disproved = row.tar.witness();
                // It was said of the wrong tar.
                if row.blob.doubtful().is_some() {
                    row.blob = Fact::Unknown;
                }
            }
            row.tar.make(found)
        };
        made.map_err(|expected| self.not_as_expected(index, expected, found))
    }

    /// Takes what a layer's blob was found to be, and the tar in it.
    ///
    /// # Errors
    ///
    /// What was given, or made before, is another.
    pub fn made_blob(&self, index: usize, tar: TarId, blob: BlobId) -> Result<(), Error> {
        self.made_tar(index, tar)?;
        if self.compression == Compression::None {
            return Ok(());
        }
        let made = {
            let row = &mut self.rows()[index];
            if row.blob.doubtful().is_some_and(|said| said != blob) {
                row.disproved = row.blob.witness();
            }
            row.blob.make(blob)
        };
        made.map_err(|expected| self.wrong_digest(index, expected.digest, blob.digest))
    }

    /// What a layer's files are compared with while they are read once more, if they were seen.
    pub(crate) fn seen(&self, index: usize) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&index).map(Seen::again).unwrap_or_default()
    }

    /// Takes what was seen of a layer's files while it was hashed.
    pub(crate) fn saw(&self, index: usize, files: Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(index, files);
    }

    /// The error of a layer that is not the tar that it was expected to be. What was only remembered of
    /// it is forgotten.
    pub(crate) fn not_as_expected(&self, index: usize, expected: TarId, found: TarId) -> Error {
        if let Some(witness) = self.doubt(index) {
            return self.said_wrongly(index, witness, expected.digest);
        }
        if expected.size == found.size {
            return self.wrong_digest(index, expected.digest, found.digest);
        }
        Error::LayerLength {
            index: index + 1,
            what: self.layers[index].describe(),
            diff_id: expected.digest,
            expected: expected.size,
            found: found.size,
        }
    }

    /// The error of a layer whose tar or blob has another digest than it was expected to have.
    pub(crate) fn wrong_digest(&self, index: usize, expected: Digest, found: Digest) -> Error {
        if let Layer::Base(_, layer) = self.layers[index] {
            return Error::Base(layer.wrong_diff_id(expected, found));
        }
        Error::LayerDigest {
            index: index + 1,
            what: self.layers[index].describe(),
            expected,
            found,
        }
    }

    /// The error of a layer of which something wrong was said.
    pub(crate) fn said_wrongly(&self, index: usize, witness: Witness, said: Digest) -> Error {
        Error::Disproved {
            index: index + 1,
            what: self.layers[index].describe(),
            witness,
            said,
        }
    }

    /// The error of a layer that is asked for before it was made.
    pub(crate) fn not_made(&self, index: usize) -> Error {
        Error::NotMade {
            index: index + 1,
            what: self.layers[index].describe(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    /// Names what fixes the layer's tar: its store paths, else the tar's own digest.
    fn layer_key(&self, layer: &Layer<'_>) -> Option<LayerKey> {
        if let Layer::Base(base, layer) = layer
            && base.blob(layer).is_some()
        {
            return None;
        }
        let of_tar = || Some(LayerKey::of_tar(&self.tar.certain()?.digest));
        self.key.or_else(of_tar)
    }
}

/// What the recipe says of the root's tar.
fn root_tar(root: &Root) -> Result<Option<TarId>, Error> {
    let Root::Tar {
        file,
        diff_id: Some(digest),
        ..
    } = root
    else {
        return Ok(None);
    };
    let metadata = std::fs::metadata(file).map_err(|source| Error::RootLayer {
        path: file.clone(),
        source,
    })?;
    Ok(Some(TarId {
        digest: *digest,
        size: metadata.len(),
    }))
}

#[cfg(test)]
mod tests;
