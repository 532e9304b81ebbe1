//! What an earlier release of an image left behind: the plan of its layers, and maybe the digests of
//! these.
//!
//! A digest counts for a layer of the same key alone, so for the same store paths with the same NAR
//! hashes under the same rules. Where it is from, somebody else has taken it. A plan, a lock and a
//! configuration are files that the user names, and are believed like the rest of what the user gives
//! to build an image from. What an image says of itself is not.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use image::TarId;
use image::layer_cache::LayerKey;
use image::nix_image_json::NixImage;
use image::timestamp::Timestamp;
use layering::Plan;
use serde_json::{Value, json};

use crate::input;
use crate::resolve::carried_plan;
use crate::resolve::lock::{self, DamagedTar};

/// An earlier release.
#[derive(Debug)]
pub struct Release {
    /// Its layers.
    pub plan: Plan,
    tars: Result<BTreeMap<LayerKey, TarId>, DamagedTar>,
}

impl From<Plan> for Release {
    fn from(plan: Plan) -> Self {
        Self {
            plan,
            tars: Ok(BTreeMap::new()),
        }
    }
}

impl Release {
    /// Reads a plan, a lock or a configuration of the Nix side.
    ///
    /// # Errors
    ///
    /// The text is none of these.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(text).context("this is not JSON")?;
        if value.get("store_layers").is_some() {
            return Self::of_configuration(text);
        }
        Ok(Self {
            tars: lock::tars(&value),
            plan: Plan::from_value(value)?,
        })
    }

    /// Reads a lock. An empty file is none: a shell's `>` empties a file before its command runs.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no lock.
    pub fn of_lock(file: &Path) -> Result<Option<Self>> {
        let text = input::read_input(file)?;
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        let release = serde_json::from_slice(&text)
            .context("it is not JSON")
            .and_then(|value| lock::check_version(&value))
            .and_then(|()| Self::from_json(&text));
        release.map(Some).with_context(|| {
            format!(
                "{} cannot be used as a lock (take an older one, or empty the file and write it anew with the image's \
                 `.lock`)",
                file.display()
            )
        })
    }

    fn of_configuration(text: &[u8]) -> Result<Self> {
        let conf = NixImage::parse(text, Timestamp::NIX)?;
        let layers = conf.store_layers.iter().map(|layer| &layer.paths);
        let texts = layers.map(|paths| paths.iter().map(|path| path.as_str()).collect());
        let mut plan = Plan::from_value(json!(texts.collect::<Vec<Vec<&str>>>()))?;
        carried_plan::add(&mut plan, conf.plan_text.as_deref(), &conf.config);
        Ok(Self {
            plan,
            tars: Ok(conf.tars_by_key),
        })
    }

    /// The digests of its layers that can be taken over, by what fixes their bytes.
    ///
    /// # Errors
    ///
    /// One of them is damaged. That does not matter for the plan.
    pub fn tars(&self) -> Result<&BTreeMap<LayerKey, TarId>, DamagedTar> {
        self.tars.as_ref().map_err(|damaged| *damaged)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use oci::Digest;

    use super::*;

    fn lock() -> (Value, LayerKey, TarId) {
        let path = format!("/nix/store/{}-a", "a".repeat(32));
        let plan = Plan::from_value(json!([[path]])).unwrap();
        let key = LayerKey::of_tar(&Digest::of(b"a"));
        let tar = TarId {
            digest: Digest::of(b"tar"),
            size: 10_240,
        };
        let lock = lock::to_json(&plan, &[Some((key, tar))]).unwrap();
        (lock, key, tar)
    }

    #[test]
    fn a_lock_reads_back_as_a_lock_and_as_a_plan() {
        let (lock, key, tar) = lock();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("image.lock.json");
        fs::write(&file, lock.to_string()).unwrap();
        let read = Release::of_lock(&file).unwrap().unwrap();
        assert_eq!(*read.tars().unwrap(), BTreeMap::from([(key, tar)]));
        assert_eq!(read.plan, Plan::from_json(&lock.to_string()).unwrap());
        fs::write(&file, "\n").unwrap();
        assert!(Release::of_lock(&file).unwrap().is_none());
        for text in ["<<<<<<< HEAD", "[]", r#"{"layers":[]}"#, r#"{"lock":2}"#] {
            fs::write(&file, text).unwrap();
            let error = format!("{:#}", Release::of_lock(&file).unwrap_err());
            assert!(error.contains("cannot be used as a lock"), "{error}");
        }
    }

    #[test]
    fn any_edit_of_a_digest_is_seen_and_the_plan_stays() {
        let (lock, key, tar) = lock();
        let line = key.to_line(tar);
        for at in 0..line.len() {
            let mut edited = line.clone().into_bytes();
            edited[at] = if edited[at] == b'0' { b'1' } else { b'0' };
            let mut edited_lock = lock.clone();
            edited_lock["layers"][0]["tar"] = String::from_utf8(edited).unwrap().into();
            let read = Release::from_json(edited_lock.to_string().as_bytes()).unwrap();
            assert_eq!(read.tars().unwrap_err().layer, 1, "{edited_lock}");
            assert_eq!(read.plan.layers.len(), 1);
        }
    }
}
