//! The configuration that the Nix side writes for an image: nixpkgs' `conf.json`, and ours, which
//! is the same with a few more keys.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nix_compat::StoreDir;
use nix_compat::store_path::ParseStorePathError;
use oci::{Digest, ParsePlatformError, Platform};
use serde::Deserialize;
use serde_json::Value;

use crate::base::{BaseError, BaseImage};
use crate::bytes::tar::{Owner, TarRules};
use crate::config_types::{self, ConfigTypeError};
use crate::layer_cache::LayerKey;
use crate::layer_id::TarId;
use crate::recipe::{Image, Root, StoreLayer};
use crate::timestamp::{ParseTimeError, Timestamp};

/// A configuration, as it is read.
#[derive(Debug, Clone)]
pub struct NixImage {
    /// Where the image runs.
    pub platform: Platform,
    /// The image's `config`; may be null.
    pub config: Value,
    /// The base image.
    pub from_image: Option<PathBuf>,
    /// Layers of store paths, bottom first.
    pub store_layers: Vec<StoreLayer>,
    /// The digests of its layers, by the keys that it has of them. Ours alone.
    pub tars_by_key: BTreeMap<LayerKey, TarId>,
    /// Directory that holds the root's `layer.tar` and its `checksum`.
    pub customisation_layer: String,
    /// `REPOSITORY:TAG`.
    pub repo_tag: String,
    /// When the image was created.
    pub created: Timestamp,
    /// Time and owner of files.
    pub rules: TarRules,
    /// Annotations of the image's manifest, for formats that have them. Ours alone.
    pub annotations: BTreeMap<String, String>,
    /// What the image carries of the plan of its layers. Ours alone.
    pub plan_text: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NixImageError {
    /// It is not JSON, or lacks a key, or a key has another type.
    #[error("it is not an image configuration")]
    Form(#[from] serde_json::Error),
    /// A key's text cannot be read.
    #[error("its `{key}` is wrong: {what}")]
    Key {
        /// The key.
        key: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A layer's path is not a store path.
    #[error("its `store_layers`")]
    Path(#[from] ParseStorePathError),
    /// The architecture is none.
    #[error("its `architecture`")]
    Platform(#[from] ParsePlatformError),
    /// A field of `config` has another type.
    #[error("its `config`")]
    Config(#[from] ConfigTypeError),
    /// A time is none.
    #[error("its `{key}`: {why}")]
    Time {
        /// `created` or `mtime`.
        key: &'static str,
        /// What is wrong.
        why: ParseTimeError,
    },
}

#[derive(Deserialize)]
struct Raw {
    architecture: String,
    config: Value,
    store_dir: String,
    from_image: Option<PathBuf>,
    store_layers: Vec<Vec<String>>,
    #[serde(default)]
    store_layer_digests: Vec<RawDigest>,
    customisation_layer: String,
    repo_tag: String,
    created: String,
    mtime: String,
    uid: Value,
    gid: Value,
    uname: String,
    gname: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    plan_text: Option<String>,
}

/// What our Nix side adds for each of the store layers.
#[derive(Deserialize)]
struct RawDigest {
    diff_id: String,
    size: u64,
    key: Option<String>,
}

impl NixImage {
    /// Reads a configuration. `now` stands for the time `now` in it.
    ///
    /// # Errors
    ///
    /// See [`NixImageError`].
    pub fn parse(text: &[u8], now: Timestamp) -> Result<Self, NixImageError> {
        let raw: Raw = serde_json::from_slice(text)?;
        config_types::check(&raw.config)?;
        let store_dir = StoreDir::new(&raw.store_dir).map_err(|error| NixImageError::Key {
            key: "store_dir",
            what: error.to_string(),
        })?;
        let tars = tars(&raw)?;
        let tars_by_key = tars_by_key(&raw, &tars)?;
        let mut store_layers = Vec::with_capacity(raw.store_layers.len());
        for (paths, tar) in raw.store_layers.iter().zip(tars) {
            let paths = paths
                .iter()
                .map(|path| store_dir.parse(path))
                .collect::<Result<_, _>>()?;
            let size = tar.map_or(0, |tar| tar.size);
            store_layers.push(StoreLayer { paths, size, tar });
        }
        let time = |key, text: &str| {
            Timestamp::parse(text, now).map_err(|why| NixImageError::Time { key, why })
        };
        Ok(Self {
            store_layers,
            tars_by_key,
            created: time("created", &raw.created)?,
            rules: TarRules {
                mtime: time("mtime", &raw.mtime)?.seconds(),
                owner: Owner {
                    uid: id("uid", &raw.uid)?,
                    gid: id("gid", &raw.gid)?,
                    uname: raw.uname,
                    gname: raw.gname,
                },
            },
            platform: Platform::parse_linux(&raw.architecture)?,
            config: raw.config,
            from_image: raw.from_image,
            customisation_layer: raw.customisation_layer,
            repo_tag: raw.repo_tag,
            annotations: raw.annotations,
            plan_text: raw.plan_text,
        })
    }

    /// The image that the configuration describes. `locate` gives where a path of the configuration
    /// lies on this machine, which matters for a store below another root. What the user should know
    /// is added to `warnings`.
    ///
    /// # Errors
    ///
    /// The base image cannot be used.
    pub fn into_image(
        self,
        locate: impl Fn(&Path) -> PathBuf,
        warnings: &mut Vec<String>,
    ) -> Result<Image, BaseError> {
        let base = self
            .from_image
            .map(|path| BaseImage::open(&locate(&path), None, &self.platform))
            .transpose()?;
        if let Some(base) = &base {
            warnings.extend(base.warnings.iter().cloned());
        }
        let directory = locate(Path::new(&self.customisation_layer));
        let diff_id = read_checksum(&directory.join("checksum")).unwrap_or_else(|warning| {
            warnings.push(warning);
            None
        });
        Ok(Image {
            platform: self.platform,
            config: self.config,
            created: self.created,
            rules: self.rules,
            base,
            store_layers: self.store_layers,
            root: Root::Tar {
                name: self.customisation_layer,
                file: directory.join("layer.tar"),
                diff_id,
            },
            repo_tags: vec![self.repo_tag],
            plan_text: self.plan_text,
        })
    }
}

/// Longest file with a digest, in bytes: its digits and the end of the line.
const MAX_CHECKSUM: u64 = 256;

/// The digest of the root's layer, which its builder took; `None` where there is none. It only saves
/// time, so an image does not fail by it; but Nix's outputs do not change, and one that cannot be read
/// is damaged, which the warning says.
fn read_checksum(file: &Path) -> Result<Option<Digest>, String> {
    let what = match files::read(file, MAX_CHECKSUM) {
        Ok(text) => {
            let hex = std::str::from_utf8(&text).ok();
            match hex.and_then(|text| Digest::from_hex(text.trim_end()).ok()) {
                Some(digest) => return Ok(Some(digest)),
                None => "it holds no SHA-256 digest".to_owned(),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => format!("it cannot be read ({error})"),
    };
    Err(format!(
        "{}: {what}, so the root layer is hashed again; check the store with `nix store verify`",
        file.display()
    ))
}

/// The digests of the store layers, where the configuration has them.
fn tars(raw: &Raw) -> Result<Vec<Option<TarId>>, NixImageError> {
    let wrong = |what: String| NixImageError::Key {
        key: "store_layer_digests",
        what,
    };
    let (layers, digests) = (raw.store_layers.len(), raw.store_layer_digests.len());
    if digests == 0 {
        return Ok(vec![None; layers]);
    }
    if digests != layers {
        return Err(wrong(format!("{digests} digests for {layers} layers")));
    }
    raw.store_layer_digests
        .iter()
        .map(|RawDigest { diff_id, size, .. }| {
            let digest = diff_id
                .parse()
                .map_err(|error: oci::ParseDigestError| wrong(error.to_string()))?;
            Ok(Some(TarId {
                digest,
                size: *size,
            }))
        })
        .collect()
}

/// Those of them that have a key.
fn tars_by_key(
    raw: &Raw,
    tars: &[Option<TarId>],
) -> Result<BTreeMap<LayerKey, TarId>, NixImageError> {
    let mut by_key = BTreeMap::new();
    for (text, tar) in raw.store_layer_digests.iter().zip(tars) {
        if let (Some(hex), Some(tar)) = (&text.key, tar) {
            let key = LayerKey::from_hex(hex).map_err(|error| NixImageError::Key {
                key: "store_layer_digests",
                what: error.to_string(),
            })?;
            by_key.insert(key, *tar);
        }
    }
    Ok(by_key)
}

/// nixpkgs writes numbers as text.
fn id(key: &'static str, value: &Value) -> Result<i64, NixImageError> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    number.ok_or_else(|| NixImageError::Key {
        key,
        what: format!("{value} is not a whole number"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_give_a_configuration_or_an_error(text in any::<Vec<u8>>()) {
            let _ = NixImage::parse(&text, Timestamp::NIX);
        }
    }

    #[test]
    fn a_damaged_checksum_is_a_warning_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("checksum");
        assert_eq!(read_checksum(&file), Ok(None));
        let hex = "0123456789abcdef".repeat(4);
        fs::write(&file, hex.clone() + "\n").unwrap();
        assert_eq!(read_checksum(&file).unwrap().unwrap().hex(), hex);
        for damaged in [&b""[..], b"0123\n", &[0xff; 65]] {
            fs::write(&file, damaged).unwrap();
            let warning = read_checksum(&file).unwrap_err();
            assert!(
                warning.starts_with(&*file.display().to_string()) && warning.contains("no SHA-256"),
                "{warning}"
            );
        }
        let warning = read_checksum(directory.path()).unwrap_err();
        assert!(warning.contains("cannot be read"), "{warning}");
    }
}
