//! What can go wrong on the way to a registry and back.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use oci::ReferenceError;
use oci::{Digest, ParseDigestError};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in which registry something was tried: `127.0.0.1:5000/app: upload of blob sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    registry: String,
    repository: String,
    doing: String,
}

impl Place {
    pub(crate) fn new(registry: &str, repository: &str, doing: impl Into<String>) -> Self {
        Self(Arc::new(Parts {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            doing: doing.into(),
        }))
    }

    /// Host and port.
    pub fn registry(&self) -> &str {
        &self.0.registry
    }

    /// The repository.
    pub fn repository(&self) -> &str {
        &self.0.repository
    }

    /// What was done, and with which blob or manifest.
    pub fn doing(&self) -> &str {
        &self.0.doing
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}: {}",
            self.registry(),
            self.repository(),
            self.doing()
        )
    }
}

/// Why a registry could not be used as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that names no image.
    #[error(transparent)]
    Reference(#[from] ReferenceError),

    /// A text that is not a digest.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),

    /// No answer came, after every attempt.
    #[error("{place}: {why}{}", after(*attempts))]
    Transport {
        /// Where, and at what.
        place: Place,
        /// What happened to the connection.
        why: String,
        /// How often it was tried.
        attempts: u32,
    },

    /// An answer came that is none of those the protocol allows for success.
    #[error("{place}: the registry answered {status}{}{}{}", detail(.message), after(*attempts), advice(*status))]
    Status {
        /// Where, and at what.
        place: Place,
        /// The status code.
        status: u16,
        /// The first error code of the answer, such as `MANIFEST_UNKNOWN`; may be empty.
        code: String,
        /// What the registry says about it; may be empty.
        message: String,
        /// How often it was tried.
        attempts: u32,
    },

    /// The registry, or its token server, does not accept who we are.
    #[error("{place}: not authorized{}; {credentials}", detail(.message))]
    Unauthorized {
        /// Where, and at what.
        place: Place,
        /// What the registry says about it; may be empty.
        message: String,
        /// Which credentials were used, or where they were looked for.
        credentials: String,
    },

    /// Something else came, or was stored, than was meant.
    #[error("{place}: its digest should be {expected}, but is {actual}; {who}")]
    DigestMismatch {
        /// Where, and at what.
        place: Place,
        /// The digest that was meant.
        expected: Digest,
        /// The digest that there is.
        actual: Digest,
        /// Who said what was expected, and who may be at fault.
        who: &'static str,
    },

    /// An answer that cannot be understood.
    #[error("{place}: the registry's answer cannot be used: {why}")]
    Answer {
        /// Where, and at what.
        place: Place,
        /// What is wrong with it.
        why: String,
    },

    /// A manifest lists a blob that is not there.
    #[error(
        "{place}: the manifest lists blob {digest}, which was neither found there nor sent; push it first"
    )]
    Incomplete {
        /// Where, and at what.
        place: Place,
        /// The blob.
        digest: Digest,
    },

    /// The blob itself could not be read.
    #[error("{name}: cannot read the blob to send")]
    Blob {
        /// The blob's name.
        name: String,
        /// What its reader said.
        source: io::Error,
    },

    /// A blob has another size than it said.
    #[error(
        "{name}: the blob to send has {actual} bytes, but should have {expected}; its source has changed"
    )]
    BlobSize {
        /// The blob's name.
        name: String,
        /// The size in bytes that it said.
        expected: u64,
        /// The bytes that were read.
        actual: u64,
    },

    /// A blob does not know its digest at its end: a fault of who made it.
    #[error("{name}: the blob's digest is unknown though it was read to its end")]
    BlobUnknown {
        /// The blob's name.
        name: String,
    },

    /// No registry can be reached with these settings.
    #[error(transparent)]
    Connection(#[from] net::Error),

    /// A file of credentials is not usable.
    #[error("{}: cannot read credentials: {why}; mend or remove the file", path.display())]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// A program that a file of credentials names did not answer.
    #[error("credential helper `{helper}` failed for {server}: {why}; {} names it", path.display())]
    CredentialHelper {
        /// The program.
        helper: String,
        /// The registry that it was asked about.
        server: String,
        /// What went wrong.
        why: String,
        /// The file that names it.
        path: PathBuf,
    },

    /// Work that was given up because another blob of the same push failed.
    #[error("stopped, because another blob could not be sent")]
    Stopped,
}

impl Error {
    /// The status code of the answer, if this is about one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Unauthorized { .. } => Some(401),
            _ => None,
        }
    }

    /// Whether its text begins with the registry and the repository.
    pub fn names_place(&self) -> bool {
        matches!(
            self,
            Self::Transport { .. }
                | Self::Status { .. }
                | Self::Unauthorized { .. }
                | Self::DigestMismatch { .. }
                | Self::Answer { .. }
                | Self::Incomplete { .. }
        )
    }

    pub(crate) fn has_code(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Status { code, .. } if codes.contains(&code.as_str()))
    }
}

fn after(attempts: u32) -> String {
    if attempts > 1 {
        format!(" (after {attempts} attempts)")
    } else {
        String::new()
    }
}

fn detail(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(" ({message})")
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        403 => "; this account may not do it: log in as one that may",
        404 => "; check the names, and that the repository exists and may be seen",
        413 => {
            "; it, or a proxy in front of it, takes only small requests: raise its limit to 2 MB or more"
        }
        429 => "; it limits how often it may be asked: wait, or use a smaller --jobs",
        500.. => "; try again: the blobs that arrived are not sent twice",
        _ => "",
    }
}

/// Text of a server, fit for a terminal: one line, bounded, without control characters.
pub(crate) fn printable(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    clean.trim().to_owned()
}
