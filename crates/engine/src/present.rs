//! Which layers an engine has already.

use std::collections::BTreeSet;

use image::{Digest, LayerDigest};

use crate::Error;
use crate::answer::{Inspected, Listed};
use crate::find::{Api, Store};

impl Api {
    /// Where the API that speaks of images starts: podman's own names images as its users do, and
    /// the one in which it plays Docker does not.
    pub(crate) fn images(&self) -> &'static str {
        match self.store {
            Store::Classic | Store::Containerd => "/images",
            Store::Podman => "/v4.0.0/libpod/images",
        }
    }

    /// Asks for an image by its id or name.
    pub(crate) fn inspect(&self, name: &str) -> Result<Option<Inspected>, Error> {
        const WHAT: &str = "cannot ask for an image";
        let path = format!("{}/{name}/json", self.images());
        let query: &[_] = match self.store {
            Store::Containerd => &[("manifests", "true")],
            Store::Classic | Store::Podman => &[],
        };
        let Some(answer) = self.client.get(WHAT, &path, query)? else {
            return Ok(None);
        };
        match Inspected::parse(&answer) {
            Some(image) => Ok(Some(image)),
            None => {
                let why = "an image without Id and RootFS.Layers".to_owned();
                Err(self.client.answer(WHAT, why))
            }
        }
    }

    /// All images.
    fn list(&self) -> Result<Vec<Listed>, Error> {
        const WHAT: &str = "cannot ask which images there are";
        let path = format!("{}/json", self.images());
        let answer = self.client.get(WHAT, &path, &[])?.unwrap_or_default();
        let images = answer.as_array().into_iter().flatten();
        images
            .map(|image| {
                Listed::parse(image)
                    .ok_or_else(|| self.client.answer(WHAT, "an image without Id".to_owned()))
            })
            .collect()
    }

    /// Bytes whose sending takes about as long as asking for one more image.
    fn worth_asking(&self) -> u64 {
        match self.store {
            Store::Classic | Store::Containerd => 1 << 20,
            Store::Podman => 4 << 20,
        }
    }
}

/// Which of these layers need not be sent. `known` are images that were asked for already, `names`
/// those that the image is to have: what had them before is likely to share its layers.
pub(crate) fn present(
    engine: &Api,
    layers: &[LayerDigest],
    known: &[Inspected],
    names: &[String],
) -> Result<Vec<bool>, Error> {
    let mut present = vec![false; layers.len()];
    let mark = |present: &mut Vec<bool>, image: &Inspected| match engine.store {
        Store::Classic => mark_chain(present, layers, &image.diff_ids),
        Store::Containerd | Store::Podman => mark_any(present, layers, &image.diff_ids),
    };
    for image in known {
        mark(&mut present, image);
    }
    let is_known = |image: &Listed| known.iter().any(|known| known.has_id(&image.id));
    let mut images = engine.list()?;
    images.retain(|image| !is_known(image));
    images.sort_by_key(|image| {
        let related = names
            .iter()
            .any(|name| image.repo_tags.iter().any(|tag| same_repository(name, tag)));
        (!related, -image.created)
    });
    for (asked, image) in images.iter().enumerate() {
        let missing: u64 = layers
            .iter()
            .zip(&present)
            .filter(|(_, present)| !**present)
            .map(|(layer, _)| layer.size)
            .sum();
        if missing <= asked as u64 * engine.worth_asking() {
            break;
        }
        // One that is gone meanwhile is no loss.
        if let Some(image) = engine.inspect(&image.id)? {
            mark(&mut present, &image);
        }
    }
    Ok(present)
}

/// A layer counts where all layers below it are the same: so Docker's own store finds it.
fn mark_chain(present: &mut [bool], layers: &[LayerDigest], there: &[Digest]) {
    for ((present, layer), there) in present.iter_mut().zip(layers).zip(there) {
        if layer.diff_id != *there {
            break;
        }
        *present = true;
    }
}

/// A layer counts wherever it stands: podman's store makes one layer from another with the same
/// contents.
fn mark_any(present: &mut [bool], layers: &[LayerDigest], there: &[Digest]) {
    let there: BTreeSet<&Digest> = there.iter().collect();
    for (present, layer) in present.iter_mut().zip(layers) {
        *present |= there.contains(&layer.diff_id);
    }
}

/// Whether two names are of one repository, whatever their tags; podman puts a registry before.
fn same_repository(name: &str, tag: &str) -> bool {
    let repository = |text: &str| match text.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => text.to_owned(),
    };
    let (name, tag) = (repository(name), repository(tag));
    name == tag || tag.ends_with(&format!("/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(numbers: &[u8]) -> Vec<LayerDigest> {
        let layer = |number: &u8| LayerDigest {
            diff_id: Digest::of(&[*number]),
            size: 1,
        };
        numbers.iter().map(layer).collect()
    }

    fn diff_ids(numbers: &[u8]) -> Vec<Digest> {
        layers(numbers).iter().map(|layer| layer.diff_id).collect()
    }

    #[test]
    fn a_chain_ends_at_the_first_layer_that_differs() {
        let wanted = layers(&[1, 2, 3, 4]);
        let mut present = vec![false; 4];
        mark_chain(&mut present, &wanted, &diff_ids(&[1, 9, 3, 4]));
        assert_eq!(present, [true, false, false, false]);
        mark_chain(&mut present, &wanted, &diff_ids(&[1, 2, 3]));
        assert_eq!(present, [true, true, true, false]);
        mark_chain(&mut present, &wanted, &diff_ids(&[]));
        assert_eq!(present, [true, true, true, false]);
    }

    #[test]
    fn a_layer_is_found_in_any_place() {
        let mut present = vec![false; 3];
        mark_any(&mut present, &layers(&[1, 2, 3]), &diff_ids(&[3, 1]));
        mark_any(&mut present, &layers(&[1, 2, 3]), &diff_ids(&[9]));
        assert_eq!(present, [true, false, true]);
    }

    #[test]
    fn repositories() {
        for (name, tag) in [
            ("app:1", "app:2"),
            ("app:1", "localhost/app:1"),
            ("r:50/app:1", "r:50/app:2"),
        ] {
            assert!(same_repository(name, tag), "{name} {tag}");
        }
        for (name, tag) in [
            ("app:1", "other:1"),
            ("app:1", "happ:1"),
            ("r:50/a:1", "r:50/b:1"),
        ] {
            assert!(!same_repository(name, tag), "{name} {tag}");
        }
    }
}
