//! Opens files of base images, which must be regular ones: a pipe is waited for without end, a
//! device may have no end, and both can be read once only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a regular file, and gives its length in bytes. A link to one is followed.
///
/// # Errors
///
/// It cannot be opened, or is something else.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    // Without `NONBLOCK`, a pipe that nobody writes to is waited for here.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok((file, metadata.len()));
    }
    let (error, what) = if kind.is_dir() {
        (io::ErrorKind::IsADirectory, "it is a directory")
    } else if kind.is_fifo() {
        (
            io::ErrorKind::InvalidInput,
            "it is a pipe, and is read more than once; write it to a file first",
        )
    } else {
        (io::ErrorKind::InvalidInput, "it is no regular file")
    };
    Err(io::Error::new(error, what))
}
