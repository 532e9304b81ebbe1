//! The check of a lock: all layers that it knows are hashed and compared.

use anyhow::{Result, bail};

use super::attributes::{self, Attributes};
use super::digests::{self, Layers};
use super::plan::PlanAttributes;
use crate::output::console::say;

/// Fails if the lock has a wrong digest of a layer of the image. Layers that it does not know are not
/// a fault of it; the output says how many there are.
pub fn run() -> Result<()> {
    let attributes: Attributes<PlanAttributes> = attributes::read()?;
    let Layers {
        layers,
        keys,
        rules,
        known,
    } = Layers::plan(&attributes)?;
    let said = |key| known.get(&key).copied();
    let known: Vec<_> = keys.iter().map(|key| key.and_then(said)).collect();
    let found = digests::take(layers.clone(), &rules)?;
    let mut wrong = Vec::new();
    for (index, (said, found)) in known.iter().zip(&found).enumerate() {
        if let Some(said) = said.filter(|said| said != found) {
            let number = index + 1;
            let names: Vec<&str> = layers[index].paths.iter().map(|path| path.name()).collect();
            say!(
                "layer {number} ({}): the lock says {} of {} bytes, its files give {} of {} bytes",
                names.join(", "),
                said.digest,
                said.size,
                found.digest,
                found.size,
            );
            wrong.push(number.to_string());
        }
    }
    if !wrong.is_empty() {
        let plural = if wrong.len() == 1 { "" } else { "s" };
        bail!(
            "the lock is wrong about layer{plural} {}; write it anew with the image's `.lock`",
            wrong.join(", ")
        );
    }
    let right = known.iter().flatten().count();
    let all = layers.len();
    let text = format!("the lock has {right} of {all} layers, and their digests are right\n");
    say!("{}", text.trim_end());
    attributes::write(&attributes.out, text)
}
