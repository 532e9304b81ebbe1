//! Lock files: the plan of an image's layers with the digests of these, kept beside the image's
//! expression.
//!
//! A lock is the JSON of a plan with a version, and with a text for each layer, which is the line that
//! the layer cache would have for it. The line has a checksum, so that what was edited is not
//! followed.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use image::TarId;
use image::layer_cache::LayerKey;
use layering::Plan;
use serde_json::{Value, json};

/// Moves with the meaning of what a lock has beyond a plan.
const VERSION: u64 = 1;

/// The key of the version.
const LOCK: &str = "lock";

/// The key of a layer's line.
const TAR: &str = "tar";

/// A digest that does not fit its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the digest of layer {layer} does not fit its checksum, so the file was edited or is damaged; write it anew \
     with the image's `.lock`"
)]
pub struct DamagedTar {
    /// The layer's number, from 1.
    pub layer: usize,
}

/// The lock of a plan whose layers have these digests. A layer without one has none in the lock.
///
/// # Errors
///
/// The plan cannot be written as JSON.
pub fn to_json(plan: &Plan, tars: &[Option<(LayerKey, TarId)>]) -> Result<Value> {
    let mut value = serde_json::to_value(plan)?;
    let layers = value.get_mut("layers").and_then(Value::as_array_mut);
    for (layer, tar) in layers.into_iter().flatten().zip(tars) {
        if let Some((key, tar)) = tar {
            layer[TAR] = key.to_line(*tar).into();
        }
    }
    let mut lock = json!({ LOCK: VERSION });
    if let (Some(lock), Value::Object(plan)) = (lock.as_object_mut(), value) {
        lock.extend(plan);
    }
    Ok(lock)
}

/// Refuses what is no lock of this version.
///
/// # Errors
///
/// What it is instead.
pub fn check_version(value: &Value) -> Result<()> {
    match value.get(LOCK).map(Value::as_u64) {
        Some(Some(VERSION)) => Ok(()),
        Some(_) => bail!("it is a lock of another version than {VERSION}"),
        None => bail!("it is no lock"),
    }
}

/// The digests in the JSON of a plan or of a lock.
///
/// # Errors
///
/// A line is damaged.
pub fn tars(value: &Value) -> Result<BTreeMap<LayerKey, TarId>, DamagedTar> {
    let mut tars = BTreeMap::new();
    let layers = value.get("layers").and_then(Value::as_array);
    for (at, layer) in layers.into_iter().flatten().enumerate() {
        let Some(line) = layer.get(TAR) else {
            continue;
        };
        let tar = line.as_str().and_then(LayerKey::from_line);
        let (key, tar) = tar.ok_or(DamagedTar { layer: at + 1 })?;
        tars.insert(key, tar);
    }
    Ok(tars)
}
