//! A layer of store paths: `/nix/`, `/nix/store/`, then each path's tree.

use std::io::Read;
use std::path::PathBuf;

use nix_compat::tree::{Contents, Opened, Stamp, TreeError, Visit};

use super::{BLOCK, Kind, Member, TarRules, end_of_archive, header_length, padding, write_header};
use crate::seen::Seen;
use crate::sink::{CopyError, Sink};

/// Writes entries as members of a tar, to a [`Sink`].
///
/// Modes are what Nix guarantees (0444, 0555, links 0777), not what a file system says, so that the
/// bytes depend on nothing but the trees and the rules.
pub struct LayerTar<'a, S> {
    sink: S,
    rules: &'a TarRules,
    header: Vec<u8>,
    length: u64,
    seen: Seen,
}

impl<'a, S: Sink> LayerTar<'a, S> {
    /// Starts a tar with no member.
    pub fn new(sink: S, rules: &'a TarRules) -> Self {
        Self {
            sink,
            rules,
            header: Vec::with_capacity(2 * BLOCK as usize),
            length: 0,
            seen: Seen::default(),
        }
    }

    /// Compares the files with those that were seen before.
    #[must_use]
    pub(crate) fn with_seen(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    /// What was seen of the files so far.
    pub(crate) fn take_seen(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    /// Adds one member without contents (a directory or a link), or the header of a file whose
    /// contents follow.
    ///
    /// # Errors
    ///
    /// The sink cannot take it.
    pub fn member(&mut self, name: &[u8], kind: Kind<'_>, mode: u32) -> Result<(), TreeError> {
        let rules = self.rules;
        let member = Member {
            name,
            kind,
            mode,
            mtime: rules.mtime,
            owner: &rules.owner,
            pax: Vec::new(),
        };
        if !S::TAKES_CONTENTS {
            self.length += header_length(&member);
            return Ok(());
        }
        self.header.clear();
        write_header(&mut self.header, &member);
        self.length += self.header.len() as u64;
        self.sink.write(&self.header).map_err(TreeError::visitor)
    }

    /// Ends the tar; gives the sink and the length of all that was written, in bytes.
    ///
    /// # Errors
    ///
    /// The sink cannot take it.
    pub fn finish(mut self) -> Result<(S, u64), TreeError> {
        let end = end_of_archive(self.length);
        self.zeros(end)?;
        Ok((self.sink, self.length))
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), TreeError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        self.length += count;
        while count > 0 {
            let length = count.min(ZEROS.len() as u64);
            self.sink
                .write(&ZEROS[..length as usize])
                .map_err(TreeError::visitor)?;
            count -= length;
        }
        Ok(())
    }

    fn contents(&mut self, path: &[u8], contents: &mut dyn Contents) -> Result<(), TreeError> {
        let size = contents.size();
        if !S::TAKES_CONTENTS {
            self.length += size;
            return self.zeros(padding(size, BLOCK));
        }
        let stamp = contents.stamp();
        let is_same = self.seen.file(stamp);
        let mut is_unchanged = true;
        let mut is_file = true;
        let copied = match contents.open()? {
            Opened::File(file) => {
                let copied = self.sink.copy_file(&file, size);
                // Only now: what took the file's place is not waited for, and not believed.
                let now = file.metadata().ok();
                is_file = now.as_ref().is_none_or(|now| now.is_file());
                is_unchanged = stamp.is_none() || now.map(|now| Stamp::of(&now)) == stamp;
                copied
            }
            Opened::Stream(mut stream) => self.sink.copy_stream(&mut stream as &mut dyn Read, size),
            _ => Err(CopyError::Read(std::io::ErrorKind::Unsupported.into())),
        };
        let path = || {
            PathBuf::from(
                <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(path.to_vec()),
            )
        };
        match copied {
            Ok(_) | Err(CopyError::Read(_)) if !is_file => Err(TreeError::Kind { path: path() }),
            Ok(found) if found == size && !(is_same && is_unchanged) => {
                Err(TreeError::Rewritten { path: path() })
            }
            Ok(found) if found == size => {
                self.length += size;
                self.zeros(padding(size, BLOCK))
            }
            Ok(found) => Err(TreeError::Changed {
                path: path(),
                expected: size,
                found,
            }),
            Err(CopyError::Read(source)) => Err(TreeError::Read {
                path: path(),
                source,
            }),
            Err(CopyError::Write(error)) => Err(TreeError::visitor(error)),
        }
    }
}

impl<S: Sink> Visit for LayerTar<'_, S> {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.member(path, Kind::Directory, 0o555)
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        contents: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        let mode = if executable { 0o555 } else { 0o444 };
        self.member(path, Kind::File(contents.size()), mode)?;
        self.contents(path, contents)
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        self.member(path, Kind::Symlink(target), 0o777)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::tar::Owner;
    use crate::sink::{HashingSink, WriteSink};
    use oci::DigestWriter;

    /// Contents that are not as long as they were said to be.
    struct Changed {
        size: u64,
        bytes: Vec<u8>,
        as_file: bool,
    }

    impl Contents for Changed {
        fn size(&self) -> u64 {
            self.size
        }

        fn open(&mut self) -> Result<Opened<'_>, TreeError> {
            if !self.as_file {
                return Ok(Opened::Stream(Box::new(self.bytes.as_slice())));
            }
            use std::io::{Seek as _, Write as _};
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&self.bytes).unwrap();
            file.rewind().unwrap();
            Ok(Opened::File(file))
        }
    }

    fn error(sink: impl Sink, contents: &mut Changed) -> String {
        let rules = TarRules {
            mtime: 1,
            owner: Owner::root(),
        };
        let mut tar = LayerTar::new(sink, &rules);
        tar.file(b"/nix/store/x/file", false, contents)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_file_that_is_shorter_or_longer_than_it_was_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for (size, length) in [
            (10, 9),
            (10, 11),
            (0, 1),
            (300_000, 299_999),
            (300_000, 300_001),
        ] {
            for as_file in [false, true] {
                let changed = || Changed {
                    size,
                    bytes: vec![7; length],
                    as_file,
                };
                let file = std::fs::File::create(directory.path().join("out")).unwrap();
                let mut output = crate::Output::new(file).unwrap();
                let errors = [
                    error(WriteSink::new(DigestWriter::default()), &mut changed()),
                    error(HashingSink::new(&mut output), &mut changed()),
                    error(&mut output, &mut changed()),
                ];
                for error in errors {
                    assert!(
                        error.contains("/nix/store/x/file") && error.contains("has changed"),
                        "{size} {length} {as_file}: {error}"
                    );
                }
            }
        }
    }
}
