use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use nix_compat::StorePath;
use nix_compat::tree::{TreeError, Trees, Visit};
use oci::{Descriptor, Digest, DigestWriter, Manifest, Platform, media_type};
use serde_json::json;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::bytes::compression::Compression;
use crate::bytes::tar::{Owner, TarRules};
use crate::layer_hashing::{hash_unkeyed_layers, hash_unknown_layers};
use crate::layer_table::{Fact, LayerTable};
use crate::recipe::Image;
use crate::sink::WriteSink;

/// An empty tar.
const LAYER: &[u8] = &[0; 1024];

/// A docker-archive of two equal layers, the second of which is a link to the first.
struct Archive {
    directory: TempDir,
    tar: Builder<File>,
}

impl Archive {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let tar = Builder::new(File::create(directory.path().join("image.tar")).unwrap());
        Self { directory, tar }
    }

    fn add(&mut self, name: &str, kind: EntryType, contents: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        if kind == EntryType::GNUSparse {
            // One piece, and no hole.
            let gnu = header.as_gnu_mut().unwrap();
            let length = format!("{:011o}\0", contents.len());
            gnu.realsize.copy_from_slice(length.as_bytes());
            gnu.sparse[0].numbytes.copy_from_slice(length.as_bytes());
            gnu.sparse[0].offset.copy_from_slice(b"00000000000\0");
        }
        if kind == EntryType::Symlink {
            header.set_size(0);
            let target = str::from_utf8(contents).unwrap();
            self.tar.append_link(&mut header, name, target).unwrap();
        } else {
            header.set_size(contents.len() as u64);
            self.tar.append_data(&mut header, name, contents).unwrap();
        }
    }

    fn finish(mut self) -> (TempDir, PathBuf) {
        let diff_id = Digest::of(LAYER).to_string();
        let config = json!({ "rootfs": { "diff_ids": [diff_id, diff_id] } }).to_string();
        let layers = ["one/layer.tar", "two/layer.tar"];
        let manifest = json!([{ "Config": "config.json", "Layers": layers }]).to_string();
        self.add("config.json", EntryType::Regular, config.as_bytes());
        self.add("manifest.json", EntryType::Regular, manifest.as_bytes());
        self.tar.finish().unwrap();
        let file = self.directory.path().join("image.tar");
        (self.directory, file)
    }
}

fn open(file: &Path) -> Result<BaseImage, BaseError> {
    BaseImage::open(file, None, &Platform::linux("amd64"))
}

#[test]
fn a_layer_that_is_linked_has_the_length_and_the_bytes_of_its_twin() {
    let mut archive = Archive::new();
    archive.add("one/layer.tar", EntryType::Regular, LAYER);
    archive.add("two/layer.tar", EntryType::Symlink, b"../one/layer.tar");
    let (_directory, file) = archive.finish();
    let image = open(&file).unwrap();
    let linked = &image.layers[1];
    assert_eq!(linked.copied_size(), None);
    let tar = image.tar(linked).unwrap();
    assert_eq!(tar.size, LAYER.len() as u64);
    let mut reader = image.reader().unwrap();
    let mut sink = WriteSink::new(DigestWriter::default());
    reader.copy(image.contents_of(linked), &mut sink).unwrap();
    assert_eq!(sink.into_inner().finish(), (tar.digest, tar.size));
    let error = reader.copy(linked, &mut WriteSink::new(Vec::new()));
    assert!(matches!(error, Err(BaseError::LinkToNothing { .. })));
}

#[test]
fn a_sparse_layer_is_refused() {
    let mut archive = Archive::new();
    archive.add("one/layer.tar", EntryType::Regular, LAYER);
    archive.add("two/layer.tar", EntryType::GNUSparse, LAYER);
    let (_directory, file) = archive.finish();
    let error = open(&file).unwrap_err().to_string();
    assert!(
        error.contains("two/layer.tar") && error.contains("sparse"),
        "{error}"
    );
}

#[test]
fn headers_without_end_are_not_read_into_memory() {
    let mut archive = Archive::new();
    archive.add("one/layer.tar", EntryType::Regular, LAYER);
    // A pax header of two megabytes; contents of that length are no harm.
    archive.add("pax", EntryType::XHeader, &vec![b' '; 2 << 20]);
    archive.add("two/layer.tar", EntryType::Regular, LAYER);
    let (_directory, file) = archive.finish();
    let error = open(&file).unwrap_err().to_string();
    assert!(error.contains("header"), "{error}");
    let mut archive = Archive::new();
    archive.add("large", EntryType::Regular, &vec![b' '; 2 << 20]);
    archive.add("one/layer.tar", EntryType::Regular, LAYER);
    archive.add("two/layer.tar", EntryType::Regular, LAYER);
    let (_directory, file) = archive.finish();
    open(&file).unwrap();
}

/// Blobs in memory.
#[derive(Debug)]
struct Memory(BTreeMap<Digest, Vec<u8>>);

impl BlobStore for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn read(&self, digest: &Digest, _: u64, take: &mut dyn FnMut(&mut dyn Read)) -> io::Result<()> {
        take(&mut self.0[digest].as_slice());
        Ok(())
    }
}

/// No store paths.
struct NoTrees;

impl Trees for NoTrees {
    fn visit(&self, path: &StorePath, _: &mut dyn Visit) -> Result<(), TreeError> {
        panic!("{path} was asked for");
    }
}

/// The length of its tar is not known, but nobody needs that.
#[test]
fn a_compressed_layer_is_neither_hashed_nor_made_again() {
    let blob = b"some compressed bytes";
    let diff_id = Digest::of(LAYER);
    let config = json!({ "rootfs": { "diff_ids": [diff_id.to_string()] } }).to_string();
    let manifest = Manifest::new(
        Descriptor::of(media_type::CONFIG, config.as_bytes()),
        vec![Descriptor::of(media_type::LAYER_GZIP, blob)],
        BTreeMap::new(),
    );
    let blobs = [config.into_bytes(), blob.to_vec()];
    let store = Memory(blobs.map(|blob| (Digest::of(&blob), blob)).into());
    let rules = TarRules {
        mtime: 1,
        owner: Owner::root(),
    };
    let image = Image {
        base: Some(BaseImage::of_blobs(Box::new(store), &manifest).unwrap()),
        ..Image::of_layers(rules, Vec::new())
    };
    for compression in [Compression::None, Compression::Zstd(3)] {
        let table = LayerTable::new(&image, compression).unwrap();
        hash_unkeyed_layers(&table, &NoTrees, NonZeroUsize::MIN).unwrap();
        hash_unknown_layers(
            &table,
            &NoTrees,
            NonZeroUsize::MIN,
            &crate::spool::Spool::new(0),
        )
        .unwrap();
        assert_eq!(table.tar(0), Fact::Unknown);
        assert_eq!(table.diff_id(0), Some(diff_id));
        let found = table.blob(0).unwrap();
        assert_eq!(found.digest, Digest::of(blob));
        assert_eq!(found.media_type, media_type::LAYER_GZIP);
    }
}
