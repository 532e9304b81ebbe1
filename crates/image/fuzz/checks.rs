//! What holds for any bytes. The fuzz targets run it on what a fuzzer finds, a test on the seeds and
//! what is near them.

use std::fs;
use std::path::Path;

use image::base::{BaseImage, Inherit, open_layout};
use image::nix_image_json::NixImage;
use image::sink::{LengthSink, WriteSink};
use image::timestamp::Timestamp;
use oci::layout::{INDEX_FILE, blob_path};
use oci::{Digest, DigestWriter, Platform};
use serde_json::json;
use tempfile::TempDir;

/// Longest layer that is copied, in bytes: a compressed archive may hold much more.
const MAX_COPIED: u64 = 1 << 20;

thread_local! {
    static DIRECTORY: TempDir = TempDir::new().expect("a temporary directory");
}

/// Archives of either kind: no panic and no memory by a length that they name, and an image that is
/// accepted can be used.
pub fn base_archive(bytes: &[u8]) {
    DIRECTORY.with(|directory| {
        let file = directory.path().join("base.tar");
        fs::write(&file, bytes).expect("a temporary file");
        let platform = Platform::linux("amd64");
        for wanted in [None, Some("base:1"), Some("@1")] {
            if let Ok(image) = BaseImage::open(&file, wanted, &platform) {
                use_image(image);
            }
        }
        if let Ok(image) = BaseImage::open_oci_archive(&file, None, &platform) {
            use_image(image);
        }
    });
}

/// Documents of a layout, parted by NUL: a layer, the configuration, the manifest, an inner index and
/// the index. `@` and a number stands for the digest of an earlier one, `#` and a number for its size.
pub fn oci_layout(text: &str) {
    DIRECTORY.with(|directory| {
        let directory = directory.path();
        let _ = fs::remove_dir_all(directory.join("blobs"));
        fs::create_dir_all(directory.join("blobs/sha256")).expect("a temporary directory");
        let mut blobs: Vec<(String, String)> = Vec::new();
        for document in text.split('\0').take(8) {
            let mut document = document.to_owned();
            for (number, (digest, size)) in blobs.iter().enumerate() {
                document = document
                    .replace(&format!("@{number}"), digest)
                    .replace(&format!("#{number}"), size);
            }
            let digest = Digest::of(document.as_bytes());
            write(&directory.join(blob_path(&digest)), &document);
            write(&directory.join(INDEX_FILE), &document);
            blobs.push((digest.to_string(), document.len().to_string()));
        }
        for tag in [None, Some("1")] {
            if let Ok(image) = open_layout(directory, tag, &Platform::linux("amd64")) {
                use_image(image);
            }
        }
    });
}

/// What the Nix side says of an image: whatever it says is read or refused.
pub fn nix_image(text: &[u8]) {
    if let Ok(image) = NixImage::parse(text, Timestamp::NIX) {
        // What a time is good for: the text in the configuration of an image.
        let _ = image.created.in_utc().python_text();
    }
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).expect("a temporary file");
}

/// What is done with the base of an image.
fn use_image(mut image: BaseImage) {
    image.inherit = Inherit::ALL.into();
    let own = json!({ "Env": ["A=1"], "Labels": { "a": "b" }, "Cmd": ["/bin/app"] });
    let _ = image.inherited_by(&own);
    let Ok(mut reader) = image.reader() else {
        return;
    };
    for layer in &image.layers {
        let contents = image.contents_of(layer);
        let size = contents.copied_size().expect("a layer has contents");
        let _ = layer.member();
        if size > MAX_COPIED {
            let _ = reader.copy(contents, &mut LengthSink);
            continue;
        }
        let mut sink = WriteSink::new(DigestWriter::default());
        if reader.copy(contents, &mut sink).is_ok() {
            let (digest, copied) = sink.into_inner().finish();
            assert_eq!(copied, size);
            if let Some(blob) = image.blob(layer) {
                assert_eq!((digest, copied), (blob.digest, blob.size));
            }
        }
    }
}
