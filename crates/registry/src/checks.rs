//! What holds for any bytes from outside. The fuzz targets run it on what a fuzzer finds, the tests on
//! the seeds and what is near them.

use oci::{Digest, Platform};

use crate::auth::Challenge;
use crate::credentials;
use crate::manifest::{self, Document, StoredManifest};

/// A manifest or index, with the content type before the first line's end.
pub fn stored_manifest(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n');
    let (said, bytes) = bytes.split_at(end.map_or(0, |end| end + 1));
    let said = String::from_utf8_lossy(said);
    let Ok(stored) = StoredManifest::read("v1", said.trim_end(), bytes.to_vec()) else {
        return;
    };
    assert_eq!(stored.bytes, bytes, "the bytes are kept");
    assert_eq!(stored.digest, Digest::of(bytes));
    assert!(!stored.media_type.is_empty());
    let listed = stored.blobs().count();
    match &stored.document {
        Document::Image { layers, .. } => assert_eq!(listed, layers.len() + 1),
        Document::Index { .. } => assert_eq!(listed, 0),
    }
    let _ = stored.for_platform(&Platform::linux("arm64"));
    // What is passed over above is read here: this may fail.
    let _ = manifest::object(bytes);
}

/// A file that `docker login` or `podman login` writes.
pub fn login_file(bytes: &[u8]) {
    credentials::look_in(bytes);
}

/// The `WWW-Authenticate` headers of an answer, one a line.
pub fn challenges(text: &str) {
    let _ = Challenge::among(text.lines());
}

#[cfg(test)]
mod tests {
    use fuzz_seeds::replay;

    fn run(target: &str, check: impl Fn(&[u8])) {
        replay(env!("CARGO_MANIFEST_DIR"), target, 3, usize::MAX, check);
    }

    #[test]
    fn stored_manifests() {
        run("stored_manifest", super::stored_manifest);
    }

    #[test]
    fn login_files() {
        run("login_file", super::login_file);
    }

    #[test]
    fn challenges() {
        run("challenges", |bytes| {
            if let Ok(text) = str::from_utf8(bytes) {
                super::challenges(text);
            }
        });
    }
}
