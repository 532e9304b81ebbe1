//! What can go wrong with binary caches.

use std::io;
use std::path::PathBuf;

use nix_compat::StorePath;
use nix_compat::narinfo::NarInfoError;

/// Why a path cannot be had from binary caches.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryCacheError {
    /// The address of a cache is none.
    #[error("`{url}` is not an address of a binary cache: {why}")]
    Address {
        /// The address, without its password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// No caches were given.
    #[error("no binary cache was given")]
    NoCache,
    /// There is no `nix-cache-info`.
    #[error(
        "{0} does not look like a binary cache: it has no file nix-cache-info; check the address"
    )]
    NoCacheInfo(String),
    /// The cache's paths belong to another store directory.
    #[error("{url} has paths of the store {found}, not of {expected}")]
    StoreDir {
        /// The cache.
        url: String,
        /// Its store directory.
        found: String,
        /// That of the caches before it, or of the path that was asked for.
        expected: String,
    },
    /// A file with credentials or keys cannot be read.
    #[error("cannot read {}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A program that is to give AWS credentials does not.
    #[error("the credential_process of the AWS profile {profile}, `{program}`: {why}")]
    CredentialProcess {
        /// The profile.
        profile: String,
        /// The program, without its arguments.
        program: String,
        /// What is wrong, without what it printed.
        why: String,
    },
    /// No server can be reached with the machine's settings.
    #[error(transparent)]
    Connection(#[from] net::Error),
    /// A file of the cache cannot be fetched.
    #[error("cannot fetch {url}")]
    Fetch {
        /// The file.
        url: String,
        /// Why.
        source: FetchError,
    },
    /// A narinfo, or `nix-cache-info`, cannot be read.
    #[error("{url} cannot be used")]
    NarInfo {
        /// The file.
        url: String,
        /// What is wrong.
        source: NarInfoError,
    },
    /// A narinfo for another path than its name says.
    #[error("{url} was asked for {asked}, but describes {found}")]
    WrongPath {
        /// The file.
        url: String,
        /// The path that was asked for.
        asked: StorePath,
        /// The path that the file has.
        found: StorePath,
    },
    /// No key that is trusted signed what a cache says of a path.
    #[error(
        "{path} is not signed by a trusted key in {url} ({}{}); \
         give the key with --trusted-key, or take unsigned paths with --no-require-sigs",
        signed_by(.signers), addressed(*.has_address)
    )]
    Untrusted {
        /// The path.
        path: StorePath,
        /// The cache's file.
        url: String,
        /// Names of the keys that are said to have signed it.
        signers: Vec<String>,
        /// Whether it has a content address, which then does not prove it.
        has_address: bool,
    },
    /// No cache has a path.
    #[error("{path}{} is not in {}", needed(.needed_by), .caches.join(", nor in "))]
    Missing {
        /// The path.
        path: StorePath,
        /// What refers to it; nothing for a path that was asked for.
        needed_by: Option<StorePath>,
        /// The caches that were asked.
        caches: Vec<String>,
    },
    /// The closure does not end.
    #[error("the closure has more than {0} paths; the cache is broken, or means harm")]
    TooManyPaths(usize),
    /// A NAR cannot be read, or is not the one that its narinfo describes.
    #[error("{url} cannot be used")]
    Nar {
        /// The file.
        url: String,
        /// What is wrong: of the format, its size, or its hash.
        source: io::Error,
    },
    /// A listing describes another tree than the NAR of its path holds.
    #[error(
        "the cache's listing {0} is not that of the path's NAR; the cache is broken, or means harm"
    )]
    Listing(String),
    /// A directory with names in an order that needs a file on the side, which failed.
    #[error("cannot put a directory's files into a temporary file")]
    Spool(#[source] io::Error),
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Why a file cannot be fetched, after every try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered otherwise than with the file.
    #[error("the server answered {status}{}{}", in_brackets(.message), advice(*.status, .message))]
    Status {
        /// HTTP's status code.
        status: u16,
        /// What the server said of it.
        message: String,
    },
    /// There was no answer. ureq's errors print their own causes, so they are no source.
    #[error("{_0}{}", certificate_advice(_0))]
    Http(Box<ureq::Error>),
    /// The file or the answer cannot be read.
    #[error(transparent)]
    Io(io::Error),
    /// It is longer than such a file can be.
    #[error("it is longer than {0} bytes")]
    TooLong(u64),
    /// The server goes on at another place, or with another file, after the connection broke.
    #[error("the server does not go on where the connection broke: {0}")]
    Resume(String),
}

impl From<FetchError> for io::Error {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Io(error) => error,
            error => Self::other(error),
        }
    }
}

fn signed_by(signers: &[String]) -> String {
    match signers {
        [] => "it has no signature".to_owned(),
        signers => format!(
            "its signatures are by {}",
            nix_compat::shown(signers.join(", "))
        ),
    }
}

fn addressed(has_address: bool) -> &'static str {
    match has_address {
        true => "; its name does not follow from its `CA` and what else the narinfo says",
        false => "",
    }
}

/// An error with all that it follows from, in one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

impl BinaryCacheError {
    /// Whether the cache itself fails, whatever it is asked for.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => match source {
                FetchError::Status { status, .. } => *status >= 500 || *status == 429,
                FetchError::Http(_) | FetchError::Io(_) => true,
                FetchError::TooLong(_) | FetchError::Resume(_) => false,
            },
            _ => false,
        }
    }

    /// Whether the cache does not let everybody see what it has, or S3 so says that it has it not.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Fetch {
                source: FetchError::Status { status: 403, .. },
                ..
            }
        )
    }
}

fn needed(by: &Option<StorePath>) -> String {
    match by {
        Some(path) => format!(", which {path} refers to,"),
        None => String::new(),
    }
}

fn in_brackets(message: &str) -> String {
    match message {
        "" => String::new(),
        message => format!(" ({message})"),
    }
}

fn certificate_advice(error: &ureq::Error) -> &'static str {
    match error {
        ureq::Error::Rustls(_) => CA_FILE,
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => CA_FILE,
        _ => "",
    }
}

const CA_FILE: &str = "; if the server is to be trusted, name its authority with --ca-file";

fn advice(status: u16, message: &str) -> &'static str {
    match status {
        401 => "; credentials come from the address, or a netrc file",
        // What S3 says has another name than the status.
        403 if message != "Forbidden" => {
            "; S3 answers so also for what is not there, to those who may not list the bucket. AWS logins by SSO, \
             roles and instance metadata are not read: for these, set credential_process to \
             `aws configure export-credentials`"
        }
        403 => "; S3 answers so also for what is not there, to those who may not list the bucket",
        _ => "",
    }
}
