use std::fs::File;
use std::path::PathBuf;

use oci::{Digest, DigestWriter};
use serde_json::json;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::sink::WriteSink;

const LAYER: &[u8] = b"a layer";

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

#[test]
fn a_layer_that_is_linked_has_the_length_and_the_bytes_of_its_twin() {
    let mut archive = Archive::new();
    archive.add("one/layer.tar", EntryType::Regular, LAYER);
    archive.add("two/layer.tar", EntryType::Symlink, b"../one/layer.tar");
    let (_directory, file) = archive.finish();
    let image = BaseImage::open(&file).unwrap();
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
    let error = BaseImage::open(&file).unwrap_err().to_string();
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
    let error = BaseImage::open(&file).unwrap_err().to_string();
    assert!(error.contains("header"), "{error}");
    let mut archive = Archive::new();
    archive.add("large", EntryType::Regular, &vec![b' '; 2 << 20]);
    archive.add("one/layer.tar", EntryType::Regular, LAYER);
    archive.add("two/layer.tar", EntryType::Regular, LAYER);
    let (_directory, file) = archive.finish();
    BaseImage::open(&file).unwrap();
}
