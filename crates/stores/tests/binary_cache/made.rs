//! Caches made for a test, signed or not, right or wrong.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use nix_compat::narinfo::{Compression, NarFile, Signed};
use nix_compat::signature::{PublicKey, Signature};
use nix_compat::{NarHash, NarInfo, StoreDir, StorePath, nar};
use sha2::{Digest, Sha256};
use stores::BinaryCaches;
use stores::binary_cache::{BinaryCacheError, Environment, Options, Retry, Trust, Warn};
use tempfile::TempDir;

/// A cache in a directory.
pub(crate) struct Made {
    pub(crate) directory: TempDir,
    key: SigningKey,
}

impl Made {
    pub(crate) fn new() -> Self {
        let made = Self {
            directory: tempfile::tempdir().unwrap(),
            key: SigningKey::from_bytes(&[7; 32]),
        };
        made.write("nix-cache-info", b"StoreDir: /nix/store\nPriority: 40\n");
        fs::create_dir(made.path().join("nar")).unwrap();
        made
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn trust(&self) -> Trust {
        let key = BASE64.encode(self.key.verifying_key().as_bytes());
        Trust {
            keys: vec![PublicKey::parse(&format!("made-1:{key}")).unwrap()],
            require_signatures: true,
        }
    }

    /// Adds a NAR; `edit` may spoil its narinfo after it is signed.
    pub(crate) fn add(
        &self,
        path: &StorePath,
        nar: &[u8],
        compression: Compression,
        references: &[StorePath],
        edit: impl FnOnce(&mut NarInfo),
    ) {
        let file = compress(compression, nar);
        let url = format!("nar/{}.nar", path.hash());
        self.write(&url, &file);
        let signed = Signed {
            path: path.clone(),
            nar_hash: sha256(nar),
            nar_size: nar.len() as u64,
            references: references.to_vec(),
        };
        let mut info = NarInfo {
            file: NarFile {
                url,
                compression,
                hash: Some(sha256(&file)),
                size: Some(file.len() as u64),
            },
            deriver: None,
            ca: None,
            signatures: vec![self.sign(&signed)],
            signed,
        };
        edit(&mut info);
        let text = info.to_string();
        self.write(&format!("{}.narinfo", path.hash()), text.as_bytes());
    }

    pub(crate) fn sign(&self, signed: &Signed) -> Signature {
        let bytes = self.key.sign(signed.fingerprint().as_bytes());
        Signature::parse(&format!("made-1:{}", BASE64.encode(&bytes.to_bytes()))).unwrap()
    }

    pub(crate) fn open(&self) -> BinaryCaches {
        open(&[&self.url()], self.trust()).unwrap()
    }
}

/// Opens caches with an empty environment, and without long waits.
pub(crate) fn open(urls: &[&str], trust: Trust) -> Result<BinaryCaches, BinaryCacheError> {
    open_in(urls, trust, Environment::default())
}

pub(crate) fn open_in(
    urls: &[&str],
    trust: Trust,
    environment: Environment,
) -> Result<BinaryCaches, BinaryCacheError> {
    open_with(urls, trust, environment, &[])
}

/// Opens caches, and keeps the warnings.
pub(crate) fn open_warned(
    urls: &[&str],
    trust: Trust,
) -> (Result<BinaryCaches, BinaryCacheError>, Warnings) {
    let warnings = Warnings::default();
    let kept = warnings.clone();
    let options = Options {
        warn: Warn::new(move |text| kept.0.lock().unwrap().push(text.to_owned())),
        ..options(trust)
    };
    (BinaryCaches::open(urls, options), warnings)
}

/// What was warned of so far.
#[derive(Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// No environment, and no long waits.
pub(crate) fn options(trust: Trust) -> Options {
    Options {
        retry: Retry {
            attempts: 4,
            first_wait: Duration::from_millis(1),
            ..Retry::default()
        },
        environment: Environment::default(),
        ..Options::new(trust)
    }
}

/// Opens caches whose servers have certificates of these authorities.
pub(crate) fn open_with(
    urls: &[&str],
    trust: Trust,
    environment: Environment,
    ca_files: &[PathBuf],
) -> Result<BinaryCaches, BinaryCacheError> {
    let options = Options {
        ca_files: ca_files.to_vec(),
        environment,
        ..options(trust)
    };
    BinaryCaches::open(urls, options)
}

/// A store path for a number.
pub(crate) fn path(number: usize) -> StorePath {
    let name = format!("{number:032}-path-{number}");
    StoreDir::default().parse_base_name(&name).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> NarHash {
    NarHash(Sha256::digest(bytes).into())
}

/// A NAR with a directory, an executable file of some size and a link.
pub(crate) fn some_nar(size: usize) -> Vec<u8> {
    // Bytes that no compressor makes much smaller, the same each time.
    let mut data = Vec::with_capacity(size);
    let mut state = 1_u64;
    while data.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        data.push((state >> 56) as u8);
    }
    let mut nar = nar::Writer::new(Vec::new());
    nar.directory(b"").unwrap();
    nar.directory(b"bin").unwrap();
    nar.file(b"bin/run", true, size as u64, &mut data.as_slice())
        .unwrap();
    nar.symlink(b"run", b"bin/run").unwrap();
    nar.finish().unwrap()
}

pub(crate) fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    match compression {
        Compression::None => file.extend_from_slice(bytes),
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(&mut file, 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap();
        }
        Compression::Zstd => file = zstd::encode_all(bytes, 1).unwrap(),
        Compression::Gzip => {
            flate2::bufread::GzEncoder::new(bytes, flate2::Compression::fast())
                .read_to_end(&mut file)
                .unwrap();
        }
        Compression::Bzip2 => {
            bzip2::bufread::BzEncoder::new(bytes, bzip2::Compression::fast())
                .read_to_end(&mut file)
                .unwrap();
        }
        Compression::Brotli => panic!("there is no compressor for it here"),
    }
    file
}
