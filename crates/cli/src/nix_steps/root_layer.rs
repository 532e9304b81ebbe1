//! The layer of an image's root: a directory with `layer.tar`, and its digest in `checksum`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use image::bytes::root_tar::{self, FakerootState};
use oci::DigestWriter;

use super::attributes::{self, Attributes};
use super::link;
use super::ownership::{Ownership, OwnershipAttributes};

/// Writes the layer of the root in `directory`.
pub fn run(directory: Option<&Path>, fakeroot_state: Option<&Path>) -> Result<()> {
    let Attributes { values, out, .. } = attributes::read::<OwnershipAttributes>()?;
    let directory = match directory {
        Some(directory) => directory,
        None => {
            let root = Path::new("root");
            link::run(root)?;
            root
        }
    };
    let noted = match fakeroot_state {
        Some(file) => {
            let context = || format!("cannot read {}", file.display());
            let text = fs::read_to_string(file).with_context(context)?;
            FakerootState::parse(&text).with_context(context)?
        }
        None => FakerootState::default(),
    };
    let mut ownership = Ownership::new(&values, noted)?;
    ownership.make_directories(directory)?;
    let context = || format!("cannot write {}", out.display());
    fs::create_dir(&out).with_context(context)?;
    let file = File::create(out.join("layer.tar")).with_context(context)?;
    let mut layer = Both(BufWriter::new(file), DigestWriter::default());
    root_tar::write(directory, &mut ownership, &mut layer)?;
    ownership.check()?;
    layer.flush().with_context(context)?;
    let (digest, _) = layer.1.finish();
    fs::write(out.join("checksum"), digest.hex() + "\n").with_context(context)
}

/// Writes to two writers.
struct Both<A, B>(A, B);

impl<A: Write, B: Write> Write for Both<A, B> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.1.write_all(&bytes[..count])?;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}
