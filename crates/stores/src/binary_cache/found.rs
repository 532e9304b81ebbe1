//! A path that a cache has, and its NAR.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use nix_compat::narinfo::{NarFile, Signed};
use nix_compat::tree::{TreeError, Visit};
use nix_compat::{ContentAddress, NarInfo, StorePath};
use tempfile::{SpooledTempFile, spooled_tempfile_in};

use super::checked::Checked;
use super::decompress::decompress;
use super::error::{BinaryCacheError, FetchError};
use super::http::Client;
use super::place::{Fetched, Place};
use super::unpack::{Stopped, unpack};

/// Between the stages from the cache to the visitor.
const BUFFER: usize = 128 << 10;
/// Longest NAR that is kept in memory until it was checked, in bytes; a longer one goes into a file.
const IN_MEMORY: usize = 1 << 20;
/// Compression makes no NAR longer than by this, in bytes, and half its length.
const LONGER: u64 = 1 << 20;

/// A path that a cache has.
#[derive(Debug)]
pub(super) struct Found {
    /// Which one.
    pub(super) cache: usize,
    pub(super) signed: Signed,
    pub(super) file: NarFile,
    /// What the NAR is held to where no trusted key signed it.
    proof: Option<ContentAddress>,
}

impl Found {
    pub(super) fn new(cache: usize, info: NarInfo, proof: Option<ContentAddress>) -> Self {
        Self {
            cache,
            signed: info.signed,
            file: info.file,
            proof,
        }
    }

    /// Shows the tree while its NAR is read. If that fails, the visitor may have seen a part of it.
    pub(super) fn show(
        &self,
        place: &Place,
        client: &Client,
        visitor: &mut dyn Visit,
    ) -> Result<(), Failed> {
        self.read(place, client, |nar| self.unpack(nar, visitor))
    }

    /// Reads the whole NAR and checks it, before anybody sees any of it.
    pub(super) fn spool(&self, place: &Place, client: &Client) -> Result<Spooled, Failed> {
        let mut file = spooled_tempfile_in(IN_MEMORY, directory());
        self.read(place, client, |nar| {
            // At its end, the NAR is checked.
            copy(nar, &mut file)
        })?;
        Ok(Spooled(file))
    }

    /// Shows the tree of a NAR that was checked.
    pub(super) fn show_spooled(
        &self,
        mut spooled: Spooled,
        visitor: &mut dyn Visit,
    ) -> Result<(), Failed> {
        spooled
            .0
            .seek(SeekFrom::Start(0))
            .map_err(|error| Failed::Cache(BinaryCacheError::Spool(error)))?;
        let nar = BufReader::with_capacity(BUFFER, spooled.0);
        self.unpack(nar, visitor).map_err(|stopped| match stopped {
            Stopped::Spool(error) => BinaryCacheError::Spool(error).into(),
            Stopped::Nar(error) => BinaryCacheError::Nar {
                url: self.signed.path.to_string(),
                source: error,
            }
            .into(),
            Stopped::Visitor(error) => Failed::Visitor(error),
        })
    }

    fn unpack(&self, nar: impl BufRead, visitor: &mut dyn Visit) -> Result<(), Stopped> {
        unpack(nar, self.signed.nar_size, &self.signed.path, visitor)
    }

    /// Calls `body` with the NAR, which is checked when it is read to its end.
    fn read(
        &self,
        place: &Place,
        client: &Client,
        body: impl FnOnce(&mut dyn BufRead) -> Result<(), Stopped>,
    ) -> Result<(), Failed> {
        let Signed {
            path,
            nar_hash,
            nar_size,
            references,
        } = &self.signed;
        let url = || place.shown_file(&self.file.url);
        let nar = |source| BinaryCacheError::Nar { url: url(), source };
        let fetched = self.open(place, client)?;
        if let Some(encoding) = fetched.encoding {
            let why = format!(
                "the server has encoded it once more, as {}",
                nix_compat::shown(encoding)
            );
            return Err(nar(io::Error::other(why)).into());
        }
        // A decompressor may take bytes without end and give none.
        let most = nar_size.saturating_add(nar_size / 2).saturating_add(LONGER);
        let data: Box<dyn Read + Send> = fetched.data;
        let mut file = BufReader::with_capacity(BUFFER, data.take(most));
        {
            let plain = decompress(self.file.compression, &mut file).map_err(nar)?;
            let check = self.proof.and_then(|proof| proof.check(path, references));
            let plain = Checked::new(plain, *nar_size, *nar_hash, check);
            let mut plain = BufReader::with_capacity(BUFFER, plain);
            body(&mut plain).map_err(|stopped| match stopped {
                Stopped::Nar(source) => nar(source).into(),
                Stopped::Spool(source) => BinaryCacheError::Spool(source).into(),
                Stopped::Visitor(error) => Failed::Visitor(error),
            })?;
        }
        // The decompressor stops where its own data ends.
        match file.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => {
                let why = "bytes follow after the end of the compressed NAR";
                Err(nar(io::Error::new(io::ErrorKind::InvalidData, why)).into())
            }
            Err(error) => Err(nar(error).into()),
        }
    }

    fn open<'a>(
        &'a self,
        place: &'a Place,
        client: &'a Client,
    ) -> Result<Fetched<'a>, BinaryCacheError> {
        let name = &self.file.url;
        let failed = |source| BinaryCacheError::Fetch {
            url: place.shown_file(name),
            source,
        };
        let fetched = place.open(client, name).map_err(failed)?;
        fetched.ok_or_else(|| {
            failed(FetchError::Status {
                status: 404,
                message: "the narinfo names a file that does not exist".to_owned(),
            })
        })
    }
}

/// A whole NAR that was checked: in memory, or in a file without a name, which is gone with this
/// process.
pub(super) struct Spooled(SpooledTempFile);

/// `TMPDIR`, else `/var/tmp`, which is meant for large files.
fn directory() -> PathBuf {
    let large = Path::new("/var/tmp");
    match env::var_os("TMPDIR") {
        None if large.is_dir() => large.to_owned(),
        _ => env::temp_dir(),
    }
}

fn copy(from: &mut dyn BufRead, to: &mut impl io::Write) -> Result<(), Stopped> {
    loop {
        let bytes = match from.fill_buf() {
            Ok([]) => return to.flush().map_err(Stopped::Spool),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stopped::Nar(error)),
        };
        to.write_all(bytes).map_err(Stopped::Spool)?;
        let count = bytes.len();
        from.consume(count);
    }
}

/// Why a tree was not shown completely.
pub(super) enum Failed {
    Cache(BinaryCacheError),
    Visitor(TreeError),
}

impl From<BinaryCacheError> for Failed {
    fn from(error: BinaryCacheError) -> Self {
        Self::Cache(error)
    }
}

impl Failed {
    pub(super) fn of(self, path: &StorePath) -> TreeError {
        match self {
            Self::Visitor(error) => error,
            Self::Cache(source) => TreeError::Source {
                path: path.clone(),
                source: Box::new(source),
            },
        }
    }
}
