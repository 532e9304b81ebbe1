//! What a source of trees shows, as text that can be compared.

use std::io::{self, Read};

use nix_compat::StorePath;
use nix_compat::tree::{Contents, Opened, TreeError, Trees, Visit};
use sha2::{Digest, Sha256};

/// One line for each entry of a tree: its path, and all that there is to know of it.
pub(crate) fn shown(trees: &dyn Trees, path: &StorePath) -> Result<Vec<String>, String> {
    let mut record = Record {
        lines: Vec::new(),
        contents: true,
    };
    match trees.visit(path, &mut record) {
        Ok(()) => Ok(record.lines),
        Err(error) => Err(chain(&error)),
    }
}

/// The same without contents.
pub(crate) fn outline(trees: &dyn Trees, path: &StorePath) -> Result<Vec<String>, String> {
    let mut record = Record {
        lines: Vec::new(),
        contents: false,
    };
    match trees.visit(path, &mut record) {
        Ok(()) => Ok(record.lines),
        Err(error) => Err(chain(&error)),
    }
}

/// An error with all that it follows from, as a user sees it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

struct Record {
    lines: Vec<String>,
    contents: bool,
}

impl Visit for Record {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.lines.push(format!("{}/", path.escape_ascii()));
        Ok(())
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        contents: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        let size = contents.size();
        let mut line = format!("{} {executable} {size}", path.escape_ascii());
        if self.contents {
            let mut digest = Sha256::new();
            let count = match contents.open()? {
                Opened::File(file) => copy(file, &mut digest),
                Opened::Stream(stream) => copy(stream, &mut digest),
                _ => unreachable!("contents are a file or a stream"),
            };
            assert_eq!(count.map_err(TreeError::visitor)?, size);
            line += &format!(" {:?}", digest.finalize());
        }
        self.lines.push(line);
        Ok(())
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        let line = format!("{} -> {}", path.escape_ascii(), target.escape_ascii());
        self.lines.push(line);
        Ok(())
    }
}

fn copy(mut from: impl Read, digest: &mut Sha256) -> io::Result<u64> {
    let mut buffer = [0; 8192];
    let mut total = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        digest.update(&buffer[..count]);
        total += count as u64;
    }
}
