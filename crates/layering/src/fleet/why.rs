//! Which layers of a fleet hold a path, and why other images do not have these layers.

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::StorePath;

use super::fleet_plan::FleetPlan;
use crate::plan::PlannedLayer;

/// A layer of some images, and what keeps it from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedLayer<'a> {
    /// The layer.
    pub layer: &'a PlannedLayer,
    /// Its place in each image that has it, from 0.
    pub places: BTreeMap<&'a str, usize>,
    /// Each image that does not have it, with the paths of the layer that are not in that image, in the
    /// layer's order. There are none where the image has all these paths in other layers.
    pub missing: BTreeMap<&'a str, Vec<&'a StorePath>>,
}

impl SharedLayer<'_> {
    /// Whether the same images need all its paths: every other image has none of them.
    pub fn is_whole(&self) -> bool {
        let mut missing = self.missing.values();
        missing.all(|paths| paths.len() == self.layer.paths.len())
    }
}

/// The different layers that hold a path, those of more images first.
pub fn layers_with<'a>(plan: &'a FleetPlan, path: &StorePath) -> Vec<SharedLayer<'a>> {
    let mut layers: BTreeMap<&[StorePath], SharedLayer<'a>> = BTreeMap::new();
    for (image, plan) in &plan.images {
        let mut places = plan.layers.iter().enumerate();
        if let Some((place, layer)) = places.find(|(_, layer)| layer.paths.contains(path)) {
            let shared = layers.entry(&layer.paths).or_insert(SharedLayer {
                layer,
                places: BTreeMap::new(),
                missing: BTreeMap::new(),
            });
            shared.places.insert(image, place);
        }
    }
    for (image, plan) in &plan.images {
        let paths: BTreeSet<&StorePath> = plan.paths().collect();
        for shared in layers.values_mut() {
            if !shared.places.contains_key(&image[..]) {
                let missing = shared.layer.paths.iter();
                let missing = missing.filter(|path| !paths.contains(path)).collect();
                shared.missing.insert(image, missing);
            }
        }
    }
    let mut layers: Vec<SharedLayer<'a>> = layers.into_values().collect();
    layers.sort_by(|a, b| {
        let more_images = b.places.len().cmp(&a.places.len());
        more_images.then_with(|| a.places.cmp(&b.places))
    });
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Reason};
    use crate::testing::path;

    fn plan(layers: &[&[&str]]) -> Plan {
        let layers = layers.iter().map(|names| PlannedLayer {
            paths: names.iter().map(|name| path(name)).collect(),
            size: 1,
            reason: Reason::Rest,
            chance_per_mille: None,
        });
        Plan {
            layers: layers.collect(),
            history: None,
            graph: None,
        }
    }

    #[test]
    fn the_paths_that_keep_a_layer_from_an_image() {
        let images = [
            ("api", plan(&[&["libc"], &["ssl", "jq"], &["api"]])),
            ("job", plan(&[&["libc"], &["ssl"], &["jq"], &["job"]])),
            ("tool", plan(&[&["libc"], &["tool"]])),
            (
                "web",
                plan(&[&["libc"], &["jq"], &["ssl", "jpeg"], &["web"]]),
            ),
            ("www", plan(&[&["libc"], &["ssl", "jpeg"], &["www"]])),
        ];
        let images = images.map(|(name, plan)| (name.to_owned(), plan));
        let plan = FleetPlan {
            images: images.into(),
            history: None,
        };
        let told: Vec<_> = layers_with(&plan, &path("ssl"))
            .iter()
            .map(|shared| {
                let places: Vec<_> = shared.places.clone().into_iter().collect();
                let missing = shared.missing.iter();
                let missing: Vec<_> = missing
                    .map(|(image, paths)| {
                        let names: Vec<_> = paths.iter().map(|path| path.name()).collect();
                        format!("{image}: {}", names.join(" "))
                    })
                    .collect();
                (places, missing.join(", "))
            })
            .collect();
        assert_eq!(
            told,
            [
                (
                    vec![("web", 2), ("www", 1)],
                    "api: jpeg, job: jpeg, tool: ssl jpeg".to_owned()
                ),
                (
                    vec![("api", 1)],
                    "job: , tool: ssl jq, web: , www: jq".to_owned()
                ),
                (
                    vec![("job", 1)],
                    "api: , tool: ssl, web: , www: ".to_owned()
                ),
            ]
        );
        let [libc] = &layers_with(&plan, &path("libc"))[..] else {
            panic!("all images share it");
        };
        assert!(libc.missing.is_empty() && libc.is_whole());
        assert!(layers_with(&plan, &path("web"))[0].is_whole());
        assert!(!layers_with(&plan, &path("ssl"))[0].is_whole());
        assert!(layers_with(&plan, &path("other")).is_empty());
    }
}
