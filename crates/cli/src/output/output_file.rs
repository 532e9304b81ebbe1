//! The file that `-o` names. It gets its name when it is complete, so that no partial file is ever seen.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::new_file::{NewFile, directory_of};

/// The file that is written.
pub enum OutputFile {
    /// A device, pipe or socket. It is written directly.
    Special(File),
    /// A file.
    New(NewFile, PathBuf),
}

impl OutputFile {
    /// Starts to write the file that will be `path`.
    pub fn create(path: &Path) -> Result<Self> {
        Self::open(path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn open(path: &Path) -> io::Result<Self> {
        let target = target_of(path);
        if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Special(OpenOptions::new().write(true).open(&target)?));
        }
        let new = NewFile::create_in(directory_of(&target))?;
        // As with a shell's `>`: who made a file that others cannot read means that.
        if let Ok(before) = fs::metadata(&target) {
            new.file().set_permissions(before.permissions())?;
        }
        Ok(Self::New(new, target))
    }

    /// The open file.
    pub fn file(&self) -> io::Result<File> {
        match self {
            Self::Special(file) => file.try_clone(),
            Self::New(new, _) => new.file().try_clone(),
        }
    }

    /// Empties the file, so that it is written from its beginning. False where that cannot be done.
    pub fn start_over(&self) -> io::Result<bool> {
        let Self::New(new, _) = self else {
            return Ok(false);
        };
        let mut file = new.file();
        file.set_len(0)?;
        file.rewind()?;
        Ok(true)
    }

    /// Gives the complete file its name.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Special(_) => Ok(()),
            Self::New(new, target) => new
                .name(&target)
                .with_context(|| format!("cannot write {}", target.display())),
        }
    }
}

/// The maximum number of links that lead to a file, as in Linux.
const MOST_LINKS: usize = 40;

/// The file that a link leads to, so that this one is replaced, or made, and not the link.
fn target_of(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(link) => target = directory_of(&target).join(link),
            Err(_) => break,
        }
    }
    target
}
