//! Copies from file to file that the kernel makes by itself. Linux has a call for each kind of
//! output; elsewhere there is none here.

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::KernelCopy;
#[cfg(target_os = "linux")]
pub(crate) use linux::KernelCopy;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;

    use rustix::fs::FileType;
    use rustix::io::Errno;
    use rustix::pipe::SpliceFlags;

    /// Size that is asked for a pipe: fewer switches between its two ends.
    const PIPE: usize = 1 << 20;

    /// The call for one kind of output.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum KernelCopy {
        /// To a pipe.
        Splice,
        /// To a regular file.
        CopyFileRange,
        /// To a socket or a device.
        SendFile,
    }

    impl KernelCopy {
        /// The call for this output.
        pub(crate) fn to(output: &File, kind: FileType) -> Option<Self> {
            match kind {
                FileType::Fifo => {
                    // A larger pipe is a help, not a need; systems have limits.
                    let _ = rustix::pipe::fcntl_setpipe_size(output, PIPE);
                    Some(Self::Splice)
                }
                FileType::RegularFile => Some(Self::CopyFileRange),
                FileType::Socket | FileType::CharacterDevice => Some(Self::SendFile),
                _ => None,
            }
        }

        /// Copies at most `length` bytes from where `input` stands to where `output` does; gives
        /// how many there were. 0 is the end of `input`.
        pub(crate) fn copy(
            self,
            input: &File,
            output: &File,
            length: usize,
        ) -> Result<usize, Errno> {
            match self {
                Self::Splice => {
                    rustix::pipe::splice(input, None, output, None, length, SpliceFlags::MORE)
                }
                Self::CopyFileRange => {
                    rustix::fs::copy_file_range(input, None, output, None, length)
                }
                Self::SendFile => rustix::fs::sendfile(output, input, None, length),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::fs::File;

    use rustix::fs::FileType;
    use rustix::io::Errno;

    /// No call at all.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum KernelCopy {}

    impl KernelCopy {
        pub(crate) fn to(_: &File, _: FileType) -> Option<Self> {
            None
        }

        pub(crate) fn copy(self, _: &File, _: &File, _: usize) -> Result<usize, Errno> {
            match self {}
        }
    }
}
