//! The difference of two plans of a fleet: what each image pulls, and which package moves which image.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use nix_compat::StorePath;

use super::fleet_plan::FleetPlan;
use crate::derivation_name::DerivationName;
use crate::diff::{Diff, LayerChange, PathChange, Pull};
use crate::plan::Plan;

/// What changes from one plan of a fleet to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetDiff {
    /// The images of the new plan by name.
    pub images: BTreeMap<String, ImageDiff>,
    /// The images that the new plan does not have.
    pub gone: Vec<String>,
    /// What a machine pulls that runs all images: each layer once, and none that any image had.
    pub pull: Pull,
    /// Bytes of the paths that no image had, each once: the minimum that any plan pulls. Known where
    /// the new plans tell the sizes of their paths.
    pub floor: Option<u64>,
    /// The packages that changed in images that were there before, those first for which most is
    /// pulled.
    pub packages: Vec<PackageChange>,
}

/// What changes in one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDiff {
    /// Whether the old plan does not have the image.
    pub is_new: bool,
    /// What a machine pulls that runs this image alone, and why. A new image is compared with nothing.
    pub diff: Diff,
}

/// A package of which paths changed by themselves, and not because of what is below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageChange {
    /// Its name.
    pub package: String,
    /// The paths that it has now.
    pub paths: BTreeSet<StorePath>,
    /// The paths that they replace.
    pub before: BTreeSet<StorePath>,
    /// Bytes of the layers that are pulled because of it, by image: those with its paths, and with
    /// paths that changed because of these. A layer counts for each package that changed it.
    pub images: BTreeMap<String, u64>,
    /// The same for all images, each layer once.
    pub size: u64,
}

impl FleetDiff {
    /// What changes from `old` to `new`.
    pub fn new(old: &FleetPlan, new: &FleetPlan) -> Self {
        let nothing = Plan {
            layers: Vec::new(),
            history: None,
            graph: None,
        };
        let images: BTreeMap<String, ImageDiff> = new
            .images
            .iter()
            .map(|(name, plan)| {
                let before = old.images.get(name);
                let image = ImageDiff {
                    is_new: before.is_none(),
                    diff: Diff::new(before.unwrap_or(&nothing), plan),
                };
                (name.clone(), image)
            })
            .collect();
        let gone = old.images.keys().filter(|name| !images.contains_key(*name));
        Self {
            gone: gone.cloned().collect(),
            pull: pull(old, new),
            floor: floor(old, new),
            packages: packages(new, &images),
            images,
        }
    }
}

/// The layers of the new plan that no image of the old one has.
fn pull(old: &FleetPlan, new: &FleetPlan) -> Pull {
    let mut pull = Pull::default();
    let mut layers: HashSet<&[StorePath]> = HashSet::new();
    // A chain is known by its last layer, and by the number of the chain below that.
    let mut chains: HashMap<(usize, &[StorePath]), usize> = HashMap::new();
    for (plans, is_new) in [(old, false), (new, true)] {
        for plan in plans.images.values() {
            let mut below = 0;
            for layer in &plan.layers {
                let next = chains.len() + 1;
                let chain = *chains.entry((below, &layer.paths)).or_insert(next);
                if is_new && chain == next {
                    pull.by_chain = pull.by_chain.saturating_add(layer.size);
                }
                if layers.insert(&layer.paths) && is_new {
                    pull.by_digest = pull.by_digest.saturating_add(layer.size);
                }
                below = chain;
            }
        }
    }
    pull
}

fn floor(old: &FleetPlan, new: &FleetPlan) -> Option<u64> {
    let mut known = old.paths();
    let mut floor = 0u64;
    for plan in new.images.values() {
        let sizes = plan.graph.as_ref().map(|graph| graph.sizes());
        for (at, path) in plan.paths().enumerate() {
            if known.insert(path) {
                floor = floor.saturating_add(sizes?[at]);
            }
        }
    }
    Some(floor)
}

/// The layers that a package's change makes new, with their sizes, in each image.
#[derive(Default)]
struct Moved<'a> {
    paths: BTreeSet<&'a StorePath>,
    before: BTreeSet<&'a StorePath>,
    images: BTreeMap<&'a str, BTreeMap<&'a [StorePath], u64>>,
}

fn packages(new: &FleetPlan, images: &BTreeMap<String, ImageDiff>) -> Vec<PackageChange> {
    let mut packages: BTreeMap<&str, Moved<'_>> = BTreeMap::new();
    for (name, image) in images.iter().filter(|(_, image)| !image.is_new) {
        let plan = &new.images[name];
        let layers = plan.layers.iter().zip(&image.diff.layers);
        let new_layers = layers.filter(|(_, change)| **change == LayerChange::New);
        let layer_of: HashMap<&StorePath, (&[StorePath], u64)> = new_layers
            .flat_map(|(layer, _)| {
                let entry = (&layer.paths[..], layer.size);
                layer.paths.iter().map(move |path| (path, entry))
            })
            .collect();
        for change in &image.diff.paths {
            for cause in causes(change) {
                let moved = packages.entry(package(cause)).or_default();
                if *cause == change.path {
                    moved.paths.insert(cause);
                    moved.before.extend(&change.before);
                }
                let layers = moved.images.entry(name).or_default();
                layers.extend(layer_of.get(&change.path).copied());
            }
        }
    }
    let mut packages: Vec<PackageChange> = packages
        .into_iter()
        .map(|(package, moved)| {
            let sum = |layers: &BTreeMap<&[StorePath], u64>| {
                layers.values().copied().fold(0, u64::saturating_add)
            };
            let all = moved.images.values().flatten();
            PackageChange {
                package: package.to_owned(),
                size: sum(&all.map(|(layer, size)| (*layer, *size)).collect()),
                paths: moved.paths.into_iter().cloned().collect(),
                before: moved.before.into_iter().cloned().collect(),
                images: moved
                    .images
                    .iter()
                    .map(|(image, layers)| ((*image).to_owned(), sum(layers)))
                    .collect(),
            }
        })
        .collect();
    packages.sort_by(|a, b| {
        let most = b.size.cmp(&a.size).then_with(|| a.images.cmp(&b.images));
        most.then_with(|| a.package.cmp(&b.package))
    });
    packages
}

/// What made a path change; itself where the plan does not tell what refers to what.
fn causes(change: &PathChange) -> &[StorePath] {
    match change.causes.as_slice() {
        [] => std::slice::from_ref(&change.path),
        causes => causes,
    }
}

fn package(path: &StorePath) -> &str {
    DerivationName::parse(path.name()).package
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Fleet, FleetImage, plan_fleet};
    use crate::testing::closure;

    type Entries<'a> = &'a [(&'a str, u64, &'a [&'a str])];

    fn planned(images: &[(&str, Entries<'_>)], previous: Option<&FleetPlan>) -> FleetPlan {
        let images = images.iter().map(|(name, entries)| {
            let image = FleetImage {
                closure: closure(entries),
                hidden: BTreeSet::new(),
                max_store_layers: 20,
            };
            ((*name).to_owned(), image)
        });
        let mut fleet = Fleet::new(images.collect());
        fleet.previous = previous.cloned();
        plan_fleet(&fleet).unwrap()
    }

    const LIBC: (&str, u64, &[&str]) = ("libc-1", 3_000_000, &[]);
    const API: Entries<'_> = &[
        LIBC,
        ("ssl-1.0", 2_000_000, &["libc-1"]),
        ("api-1", 800_000, &["ssl-1.0"]),
    ];
    const WEB: Entries<'_> = &[
        LIBC,
        ("ssl-1.0", 2_000_000, &["libc-1"]),
        ("web-1", 700_000, &["ssl-1.0"]),
    ];
    const JOB: Entries<'_> = &[LIBC, ("job-1", 500_000, &["libc-1"])];
    const NEW_API: Entries<'_> = &[
        LIBC,
        ("ssl-1.1", 2_100_000, &["libc-1"]),
        ("api-2", 900_000, &["ssl-1.1"]),
    ];
    const NEW_WEB: Entries<'_> = &[
        LIBC,
        ("ssl-1.1", 2_100_000, &["libc-1"]),
        ("jq-1", 1_000_000, &["libc-1"]),
        ("web-2", 700_000, &["ssl-1.1", "jq-1"]),
    ];

    fn named<'a>(paths: impl IntoIterator<Item = &'a StorePath>) -> Vec<&'a str> {
        paths.into_iter().map(StorePath::name).collect()
    }

    #[test]
    fn what_each_image_pulls_and_which_package_moves_it() {
        let old = planned(&[("api", API), ("job", JOB), ("web", WEB)], None);
        let new = [("api", NEW_API), ("tool", JOB), ("web", NEW_WEB)];
        let diff = FleetDiff::new(&old, &planned(&new, Some(&old)));
        let pulls: Vec<_> = diff
            .images
            .iter()
            .map(|(name, image)| (&name[..], image.is_new, image.diff.pull.by_digest))
            .collect();
        assert_eq!(
            pulls,
            [
                ("api", false, 3_000_000),
                ("tool", true, 3_500_000),
                ("web", false, 3_800_000),
            ]
        );
        assert_eq!(diff.gone, ["job"]);
        // The new ssl counts once, and what the image that is gone had does not count.
        assert_eq!(diff.pull.by_digest, 2_100_000 + 900_000 + 1_700_000);
        assert!(diff.pull.by_chain >= diff.pull.by_digest);
        assert_eq!(diff.floor, Some(diff.pull.by_digest));
        let packages: Vec<_> = diff
            .packages
            .iter()
            .map(|change| {
                let images: Vec<_> = change
                    .images
                    .iter()
                    .map(|(name, size)| (&name[..], *size))
                    .collect();
                (
                    &change.package[..],
                    named(&change.paths),
                    named(&change.before),
                    images,
                    change.size,
                )
            })
            .collect();
        let ssl = (
            "ssl",
            vec!["ssl-1.1"],
            vec!["ssl-1.0"],
            vec![("api", 3_000_000), ("web", 2_800_000)],
            3_700_000,
        );
        let jq = (
            "jq",
            vec!["jq-1"],
            vec![],
            vec![("web", 1_700_000)],
            1_700_000,
        );
        assert_eq!(packages, [ssl, jq]);
    }

    #[test]
    fn the_same_fleet_pulls_nothing() {
        let plan = planned(&[("api", API), ("job", JOB), ("web", WEB)], None);
        let diff = FleetDiff::new(&plan, &plan);
        assert_eq!((diff.pull, diff.floor), (Pull::default(), Some(0)));
        assert!(diff.gone.is_empty() && diff.packages.is_empty());
        let nothing = FleetDiff::new(&FleetPlan::default(), &plan);
        assert_eq!(nothing.pull.by_digest, 7_000_000);
        assert!(nothing.images.values().all(|image| image.is_new));
        assert!(nothing.packages.is_empty());
    }
}
