//! Reads files that somebody else made: settings, logins, closures, plans.
//!
//! What is named need not be a file. A pipe that nobody writes to is waited for without end, a device
//! may have no end, and a file can be larger than memory. So there is one rule for all of them:
//!
//! - a regular file, or a link to one, up to a limit that each caller sets;
//! - a pipe that this process was given open: `/dev/stdin`, or `/dev/fd/N` as shells put in place of
//!   `<(command)`;
//! - a device that is empty, such as `/dev/null`.
//!
//! Errors do not name the path; whoever calls does.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Reads a file of at most `limit` bytes.
///
/// # Errors
///
/// It cannot be read, is larger, or is none of what the [crate] lets pass.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = if is_given_open(path) {
        File::open(path)?
    } else {
        open(path)?
    };
    if file.metadata()?.len() > limit {
        return Err(too_large(limit));
    }
    read_from(file, limit)
}

/// Reads a file of at most `limit` bytes of UTF-8 text.
///
/// # Errors
///
/// As [`read`], or it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Reads all of a stream that has at most `limit` bytes.
///
/// # Errors
///
/// It cannot be read, or is larger.
pub fn read_from(stream: impl io::Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// Opens a regular file, or an empty device, without waiting for anything.
///
/// # Errors
///
/// It cannot be opened, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    // Without `NONBLOCK`, a pipe that nobody writes to is waited for here.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    let what = if kind.is_file() || kind.is_char_device() && file.read(&mut [0])? == 0 {
        return Ok(file);
    } else if kind.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory, not a file",
        ));
    } else if kind.is_fifo() {
        "it is a named pipe, not a file"
    } else {
        "it is a device, not a file"
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Whether a path names what this process was given open: its reader waits for its writer, as it
/// should, and it can be read once only.
pub fn is_given_open(path: &Path) -> bool {
    ["/dev/fd", "/dev/stdin", "/proc/self/fd"]
        .iter()
        .any(|given| path.starts_with(given))
}

fn too_large(limit: u64) -> io::Error {
    let why = format!("it is larger than the limit of {limit} bytes");
    io::Error::new(io::ErrorKind::FileTooLarge, why)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{CWD, FileType};

    use super::*;

    fn says(path: &Path, limit: u64) -> String {
        read(path, limit).unwrap_err().to_string()
    }

    #[test]
    fn files_up_to_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert!(says(&file, 4).contains("limit of 4 bytes"));
        File::create(&file).unwrap().set_len(3 << 30).unwrap();
        assert!(says(&file, 1 << 20).contains("limit of 1048576 bytes"));
        fs::write(&file, [0xff]).unwrap();
        let error = read_text(&file, 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(says(directory.path(), 5).contains("directory"));
        let missing = read(&directory.path().join("missing"), 5).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn pipes_and_devices_are_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(says(&pipe, 5).contains("named pipe"));
        assert!(says(Path::new("/dev/zero"), 5).contains("device"));
        assert_eq!(read(Path::new("/dev/null"), 5).unwrap(), b"");
    }

    /// As shells give what a command prints.
    #[test]
    fn a_pipe_that_was_given_open_is_read_up_to_the_limit() {
        for (limit, whole) in [(5, true), (4, false)] {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(b"12345").unwrap();
            drop(writer);
            let path = format!("/dev/fd/{}", reader.as_raw_fd());
            assert_eq!(read(Path::new(&path), limit).is_ok(), whole);
        }
    }
}
