//! Which layers an engine has already.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use image::LayerTable;
use oci::Digest;
use oci::reference::split_tag;

use crate::api::{Api, Store};
use crate::error::Error;
use crate::inspect::{Inspected, Listed};

/// A layer that an engine is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedLayer {
    /// Digest of its tar.
    pub(crate) diff_id: Digest,
    /// Bytes that it takes to send it.
    pub(crate) size: u64,
}

/// The layers of an image that are all known.
pub(crate) fn wanted_layers(table: &LayerTable<'_>) -> Result<Vec<WantedLayer>, Error> {
    let layers = table.diff_ids()?.into_iter().zip(table.blobs()?);
    let layers = layers.map(|(diff_id, blob)| WantedLayer {
        diff_id,
        size: blob.size,
    });
    Ok(layers.collect())
}

/// Which of these layers need not be sent. `known` are images that were asked for already, `names`
/// those that the image is to have: what had them before is likely to share its layers.
pub(crate) fn present(
    engine: &Api,
    layers: &[WantedLayer],
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
    let mut images = engine.list(&[])?;
    images.retain(|image| !is_known(image));
    images.sort_by_key(|image| likelihood(image, names));
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

/// Sorts what is likely to share layers first: images of the same repositories, then new ones.
fn likelihood(image: &Listed, names: &[String]) -> (bool, Reverse<i64>) {
    let is_related = names
        .iter()
        .any(|name| image.repo_tags.iter().any(|tag| same_repository(name, tag)));
    (!is_related, Reverse(image.created))
}

/// A layer counts where all layers below it are the same: so Docker's own store finds it.
fn mark_chain(present: &mut [bool], layers: &[WantedLayer], there: &[Digest]) {
    for ((present, layer), there) in present.iter_mut().zip(layers).zip(there) {
        if layer.diff_id != *there {
            break;
        }
        *present = true;
    }
}

/// A layer counts wherever it stands: podman's store makes one layer from another with the same
/// contents.
fn mark_any(present: &mut [bool], layers: &[WantedLayer], there: &[Digest]) {
    let there: BTreeSet<&Digest> = there.iter().collect();
    for (present, layer) in present.iter_mut().zip(layers) {
        *present |= there.contains(&layer.diff_id);
    }
}

/// Whether two names are of one repository, whatever their tags; podman puts a registry before.
fn same_repository(name: &str, tag: &str) -> bool {
    let (name, tag) = (split_tag(name).0, split_tag(tag).0);
    name == tag || tag.ends_with(&format!("/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(numbers: &[u8]) -> Vec<WantedLayer> {
        let layer = |number: &u8| WantedLayer {
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
    fn images_of_the_repository_come_first_and_then_new_ones() {
        let image = |tag: &str, created| Listed {
            id: tag.to_owned(),
            repo_tags: vec![tag.to_owned()],
            created,
        };
        let mut images = [
            image("other:oldest", i64::MIN),
            image("other:old", 1),
            image("other:new", i64::MAX),
            image("app:1", 0),
        ];
        let names = ["app:2".to_owned()];
        images.sort_by_key(|image| likelihood(image, &names));
        let tags = images.map(|image| image.id);
        assert_eq!(tags, ["app:1", "other:new", "other:old", "other:oldest"]);
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
