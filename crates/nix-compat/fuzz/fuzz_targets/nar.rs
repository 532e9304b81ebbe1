//! Whatever the bytes are: no panic, no allocation by a length that they name, and what is accepted
//! is what the writer writes for the same tree.
#![no_main]

use std::io::{BufReader, Read};

use libfuzzer_sys::fuzz_target;
use nix_compat::nar::{Limits, Listing, NarError, Node, Reader, Writer};

fuzz_target!(|bytes: &[u8]| {
    // Small pieces, so that strings lie across their borders.
    if let Ok(again) = copy(bytes) {
        assert!(again == bytes, "read and written again, it differs");
    }
    let _ = Listing::parse(bytes);
});

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
