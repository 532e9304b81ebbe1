//! What holds for any bytes. The fuzz targets run it on what a fuzzer finds, a test on the seeds and
//! what is near them.

use std::io::{BufReader, Read};

use nix_compat::nar::{Limits, Listing, NarError, Node, Reader, Writer};
use nix_compat::narinfo::CacheInfo;
use nix_compat::nix_conf::{NixConf, NixConfError};
use nix_compat::signature::{CACHE_NIXOS_ORG, PublicKey};
use nix_compat::{NarInfo, StoreDir};

/// NARs and listings: no panic, no allocation by a length that they name, and what is accepted is
/// what the writer writes for the same tree.
pub fn nar(bytes: &[u8]) {
    // Small pieces, so that strings lie across their borders.
    if let Ok(again) = copy(bytes) {
        assert!(again == bytes, "read and written again, it differs");
    }
    let _ = Listing::parse(bytes);
}

fn copy(bytes: &[u8]) -> Result<Vec<u8>, NarError> {
    let input = BufReader::with_capacity(7, bytes);
    let mut nar = Reader::new(input, Limits::default());
    let mut again = Writer::new(Vec::new());
    while let Some(entry) = nar.next_entry()? {
        let path = entry.path.to_vec();
        match entry.node {
            Node::Directory => again.directory(&path)?,
            Node::Symlink { target } => again.symlink(&path, target)?,
            Node::File { executable, size } => {
                let mut data = Vec::new();
                if nar.contents().read_to_end(&mut data).is_ok() {
                    again.file(&path, executable, size, &mut data.as_slice())?;
                }
            }
        }
    }
    nar.finish()?;
    again.finish()
}

/// Texts of binary caches, and settings: no panic, and a narinfo that is accepted says the same when
/// it is printed.
pub fn narinfo(text: &str) {
    let store_dir = StoreDir::default();
    if let Ok(info) = NarInfo::parse(&store_dir, text) {
        assert_eq!(
            NarInfo::parse(&store_dir, &info.to_string()),
            Ok(info.clone())
        );
        if let Ok(key) = PublicKey::parse(CACHE_NIXOS_ORG) {
            assert_eq!(info.signed_by(&[key]), None);
        }
    }
    let _ = CacheInfo::parse(text);
    let _ = NixConf::default().read(text, &mut |_, _| Ok::<_, NixConfError>(()));
}
