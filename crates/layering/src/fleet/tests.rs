use std::collections::{BTreeMap, BTreeSet};

use nix_compat::{PathInfo, StorePath};
use proptest::prelude::*;

use super::*;
use crate::closure::Closure;
use crate::plan::Plan;
use crate::testing::info;

/// Paths `0`, `1`, … where each refers to some before it, as property tests draw them.
type Entries = Vec<(u64, Vec<usize>)>;

fn infos(entries: &Entries) -> Vec<PathInfo> {
    let infos = entries.iter().enumerate().map(|(at, (size, references))| {
        let references = references.iter().filter(|_| at > 0);
        let names: BTreeSet<String> = references
            .map(|reference| (reference % at).to_string())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        info(&at.to_string(), *size, &names)
    });
    infos.collect()
}

/// The closure of some paths, listed in an order that depends on `salt`.
fn closure_of(infos: &[PathInfo], roots: &[usize], salt: usize) -> Closure {
    let by_path: BTreeMap<&StorePath, &PathInfo> =
        infos.iter().map(|info| (&info.path, info)).collect();
    let mut todo: Vec<&StorePath> = roots
        .iter()
        .map(|root| &infos[root % infos.len()].path)
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(path) = todo.pop() {
        if seen.insert(path) {
            todo.extend(&by_path[path].references);
        }
    }
    let mut listed: Vec<PathInfo> = seen.into_iter().map(|path| by_path[path].clone()).collect();
    if !listed.is_empty() {
        let turn = salt % listed.len();
        listed.rotate_left(turn);
    }
    Closure::new(listed).unwrap()
}

/// Images of these roots; each has a name of its own.
fn fleet(entries: &Entries, images: &[Vec<usize>], most: usize, salt: usize) -> Fleet {
    let infos = infos(entries);
    let images = images.iter().enumerate().map(|(at, roots)| {
        let image = FleetImage {
            closure: closure_of(&infos, roots, salt),
            hidden: BTreeSet::new(),
            max_store_layers: most,
        };
        (format!("image{at}"), image)
    });
    let mut fleet = Fleet::new(images.collect());
    fleet.min_layer_size = 10;
    fleet
}

fn planned(fleet: &Fleet) -> FleetPlan {
    let plan = plan_fleet(fleet).unwrap();
    fleet.check(&plan).unwrap();
    for (name, image) in &fleet.images {
        assert!(
            plan.images[name].layers.len() <= image.max_store_layers,
            "{name}"
        );
    }
    plan
}

fn layers(plan: &Plan) -> Vec<Vec<&str>> {
    let layers = plan.layers.iter();
    layers
        .map(|layer| layer.paths.iter().map(StorePath::name).collect())
        .collect()
}

fn json(plan: &FleetPlan) -> String {
    serde_json::to_string(plan).unwrap()
}

/// A plan on one thread, and on several.
fn on_threads(fleet: &Fleet, threads: usize) -> String {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| json(&planned(fleet)))
}

fn entries() -> impl Strategy<Value = Entries> {
    proptest::collection::vec(
        (0u64..999, proptest::collection::vec(0usize..99, 0..4)),
        1..70,
    )
}

fn roots() -> impl Strategy<Value = Vec<Vec<usize>>> {
    proptest::collection::vec(proptest::collection::vec(0usize..99, 0..4), 1..7)
}

proptest! {
    #[test]
    fn each_path_once_and_no_layer_too_many(entries in entries(), images in roots(), most in 1usize..9) {
        planned(&fleet(&entries, &images, most, 0));
    }

    #[test]
    fn the_order_of_paths_and_the_number_of_threads_change_nothing(
        entries in entries(),
        images in roots(),
        most in 1usize..9,
        salt in 0usize..99,
    ) {
        let plan = on_threads(&fleet(&entries, &images, most, 0), 1);
        prop_assert_eq!(&plan, &on_threads(&fleet(&entries, &images, most, salt), 3));
    }

    #[test]
    fn the_difference_of_fleets_is_that_of_their_images(
        entries in entries(),
        before in roots(),
        images in roots(),
        most in 1usize..9,
    ) {
        let old = planned(&fleet(&entries, &before, most, 0));
        let new = planned(&fleet(&entries, &images, most, 0));
        let diff = FleetDiff::new(&old, &new);
        let each = diff.images.values().map(|image| image.diff.pull.by_digest);
        prop_assert!(diff.pull.by_digest <= each.sum());
        prop_assert!(diff.pull.by_digest <= diff.pull.by_chain);
        prop_assert!(diff.floor.unwrap() <= diff.pull.by_digest);
        // A fleet of one image is that image.
        let one = |plan: &FleetPlan| {
            let mut plan = plan.clone();
            plan.images.retain(|name, _| name == "image0");
            plan
        };
        let diff = FleetDiff::new(&one(&old), &one(&new));
        let image = &diff.images["image0"].diff;
        prop_assert_eq!((diff.pull, diff.floor), (image.pull, image.floor));
        for change in &diff.packages {
            prop_assert!(change.size <= image.pull.by_digest);
            prop_assert_eq!(change.images.values().sum::<u64>(), change.size);
        }
    }

    #[test]
    fn what_did_not_change_stays(entries in entries(), images in roots(), most in 1usize..9) {
        let mut fleet = fleet(&entries, &images, most, 0);
        let plan = planned(&fleet);
        fleet.previous = Some(FleetPlan::from_json(&json(&plan)).unwrap());
        prop_assert_eq!(json(&planned(&fleet)), json(&plan));
    }

    #[test]
    fn after_any_other_fleet(
        entries in entries(),
        before in roots(),
        images in roots(),
        most in 1usize..9,
        most_before in 1usize..9,
    ) {
        let before = planned(&fleet(&entries, &before, most_before, 0));
        let mut fleet = fleet(&entries, &images, most, 0);
        fleet.previous = Some(before);
        let plan = planned(&fleet);
        prop_assert_eq!(FleetPlan::from_json(&json(&plan)).unwrap(), plan);
    }

    #[test]
    fn a_service_that_leaves_changes_nothing_for_the_others(entries in entries(), images in roots(), most in 1usize..9) {
        let mut fleet = fleet(&entries, &images, most, 0);
        let plan = planned(&fleet);
        fleet.images.remove("image0");
        fleet.previous = Some(plan.clone());
        for (name, left) in planned(&fleet).images {
            prop_assert_eq!(&left, &plan.images[&name]);
        }
    }
}

const MIB: u64 = 1 << 20;

/// Services with an application each, above an interpreter that all need and a library that some do.
fn services(names: &[(&str, bool)], version: &str) -> Fleet {
    let images = names.iter().map(|(name, has_library)| {
        let app = format!("{name}-{version}");
        let mut infos = vec![
            info("libc-1", 12 * MIB, &[]),
            info("python-1", 30 * MIB, &["libc-1"]),
        ];
        let mut references = vec!["python-1"];
        if *has_library {
            infos.push(info("numpy-1", 20 * MIB, &["libc-1", "python-1"]));
            references.push("numpy-1");
        }
        infos.push(info(&app, MIB, &references));
        let image = FleetImage {
            closure: Closure::new(infos).unwrap(),
            hidden: BTreeSet::new(),
            max_store_layers: 20,
        };
        ((*name).to_owned(), image)
    });
    Fleet::new(images.collect())
}

#[test]
fn what_all_share_is_below_what_some_share() {
    let plan = planned(&services(
        &[("api", true), ("web", false), ("worker", true)],
        "1",
    ));
    let python = [vec!["libc-1"], vec!["python-1"]];
    assert_eq!(
        layers(&plan.images["web"]),
        [&python[..], &[vec!["web-1"]]].concat()
    );
    for name in ["api", "worker"] {
        let app = format!("{name}-1");
        let own = [vec!["numpy-1"], vec![app.as_str()]];
        assert_eq!(layers(&plan.images[name]), [&python[..], &own].concat());
    }
    let costs = FleetCosts::new(&plan);
    assert_eq!((costs.layers, costs.stored), (6, costs.floor));
    assert_eq!(costs.by_chain, costs.floor, "each layer has one place");
    // libc: all; python: all but libc; numpy: what has it.
    let package = (12 + 30 + 20 + 3) + (30 + 20 + 3) + (20 + 2);
    assert_eq!((costs.app, costs.package), (MIB, package * MIB / 3));
}

#[test]
fn a_new_service_takes_the_layers_that_are_there() {
    let before = planned(&services(&[("api", true), ("web", false)], "1"));
    let mut fleet = services(&[("api", true), ("web", false), ("worker", true)], "1");
    fleet.previous = Some(before.clone());
    let plan = planned(&fleet);
    for (name, before) in &before.images {
        assert_eq!(&plan.images[name], before);
    }
    let (shared, own) = (&plan.images["worker"].layers, &before.images["api"].layers);
    assert_eq!(shared.len(), own.len());
    for (shared, own) in shared.iter().zip(own).take(shared.len() - 1) {
        assert_eq!(shared.paths, own.paths);
    }
}

#[test]
fn a_release_of_one_service_moves_that_service() {
    let names = [("api", true), ("web", false)];
    let before = planned(&services(&names, "1"));
    let mut fleet = services(&names, "1");
    fleet.images.insert(
        "api".to_owned(),
        services(&names, "2").images.remove("api").unwrap(),
    );
    fleet.previous = Some(before.clone());
    let plan = planned(&fleet);
    assert_eq!(plan.images["web"], before.images["web"]);
    let (now, then) = (layers(&plan.images["api"]), layers(&before.images["api"]));
    assert_eq!(now[..now.len() - 1], then[..then.len() - 1]);
    assert_eq!(now.last().unwrap(), &["api-2"]);
}

/// Each image needs another mix of packages, so that nearly each package has a set of images of its
/// own: more sets than an image may have layers.
#[test]
fn more_sets_of_images_than_layers() {
    let packages = 60;
    let entries = (0..packages).map(|at| (10_000 + 997 * at as u64, Vec::new()));
    let mut entries: Entries = entries.collect();
    let mut images = Vec::new();
    for image in 0..20 {
        let mix = (0..packages)
            .filter(|package| (package * 31 + image * 17) % 7 < 3 || (package + image) % 5 == 0);
        images.push(mix.chain([entries.len()]).collect());
        entries.push((5_000, Vec::new()));
    }
    for most in [1, 3, 8, 20] {
        let plan = planned(&fleet(&entries, &images, most, 0));
        let costs = FleetCosts::new(&plan);
        let alone: u64 = plan.images.values().map(Plan::size).sum();
        assert!(costs.stored <= alone, "{most}: {} of {alone}", costs.stored);
    }
}
