use proptest::prelude::*;

use super::*;
use crate::testing::{closure, info, path};
use crate::{CheckError, LayerPattern, Strategy, plan as any_plan};

const MIB: u64 = 1 << 20;

fn request(most: usize) -> Request {
    Request::new(Strategy::Stable, most)
}

fn after(previous: &Plan, most: usize) -> Request {
    Request {
        previous: Some(previous.clone()),
        ..request(most)
    }
}

fn planned(closure: &Closure, request: &Request) -> Plan {
    let plan = any_plan(closure, request).unwrap();
    plan.check(closure, &request.hidden).unwrap();
    assert!(plan.layers.len() <= request.max_store_layers);
    plan
}

fn names(plan: &Plan) -> Vec<Vec<&str>> {
    let layers = plan.layers.iter();
    layers
        .map(|layer| layer.paths.iter().map(StorePath::name).collect())
        .collect()
}

/// A service: an application and its data above an interpreter and libraries. Each is named after
/// its version, and so is what changes when a version does.
struct Service<'a> {
    versions: BTreeSet<&'a str>,
    added: bool,
}

impl<'a> Service<'a> {
    fn new() -> Self {
        Self {
            versions: BTreeSet::new(),
            added: false,
        }
    }

    /// The same with another version of a package.
    fn update(mut self, package: &'a str) -> Self {
        self.versions.insert(package);
        self
    }

    fn closure(&self) -> Closure {
        let entries: [(&str, u64, &[&str]); 9] = [
            ("libc", 12 * MIB, &[]),
            ("ssl", 6 * MIB, &["libc"]),
            ("icu", 37 * MIB, &["libc"]),
            ("python", 30 * MIB, &["ssl", "libc"]),
            ("numpy", 20 * MIB, &["python", "libc"]),
            ("fonts", 9 * MIB, &[]),
            ("added", 8 * MIB, &["libc"]),
            ("settings", 4_000, &[]),
            (
                "app",
                2 * MIB,
                &["numpy", "icu", "fonts", "added", "settings"],
            ),
        ];
        // A path changes with what it refers to, as Nix's hashes make it.
        let mut full = std::collections::BTreeMap::new();
        let mut infos = Vec::new();
        for (name, size, references) in entries {
            if name == "added" && !self.added {
                continue;
            }
            let references: Vec<String> = references
                .iter()
                .filter_map(|name| full.get(name))
                .cloned()
                .collect();
            let mut state: Vec<&str> = references.iter().map(String::as_str).collect();
            let version = if self.versions.contains(name) {
                "2"
            } else {
                "1"
            };
            let changed = state.iter().any(|reference| reference.ends_with("x")) || version == "2";
            let text = format!("{name}-{version}.0{}", if changed { "x" } else { "" });
            state.sort_unstable();
            infos.push(info(&text, size, &state));
            full.insert(name, text);
        }
        Closure::new(infos).unwrap()
    }
}

#[test]
fn what_changes_most_is_on_top_and_what_changes_alone_is_alone() {
    let plan = planned(&Service::new().closure(), &request(20));
    let names = names(&plan);
    assert_eq!(*names.last().unwrap(), ["app-1.0", "settings-1.0"]);
    assert_eq!(plan.layers.last().unwrap().reason, Reason::Root);
    assert!(
        names.contains(&vec!["icu-1.0"]) && names.contains(&vec!["libc-1.0"]),
        "{names:?}"
    );
    let chances: Vec<u16> = plan
        .layers
        .iter()
        .map(|layer| layer.chance_per_mille.unwrap())
        .collect();
    assert_eq!(*chances.iter().max().unwrap(), *chances.last().unwrap());
}

#[test]
fn no_layer_is_smaller_than_asked() {
    let closure = Service::new().closure();
    let plan = planned(&closure, &request(20));
    assert!(
        plan.layers
            .iter()
            .all(|layer| layer.size >= crate::MIN_LAYER_SIZE),
        "{:?}",
        names(&plan)
    );
    let every_path = Request {
        min_layer_size: 0,
        ..request(20)
    };
    let layers = planned(&closure, &every_path).layers;
    assert!(
        layers
            .iter()
            .any(|layer| layer.paths == [path("settings-1.0")])
    );
}

#[test]
fn layers_whose_paths_are_all_there_stay() {
    let first = planned(&Service::new().closure(), &request(9));
    let update = Service::new().update("app");
    let second = planned(&update.closure(), &after(&first, 9));
    assert_eq!(
        names(&second)[..names(&first).len() - 1],
        names(&first)[..names(&first).len() - 1]
    );
    assert_eq!(
        *names(&second).last().unwrap(),
        ["app-2.0x", "settings-1.0"]
    );
}

#[test]
fn adding_or_dropping_a_dependency_moves_nothing_that_did_not_change() {
    // With fewer, to move one layer once costs less than to pull what is added with each release.
    for most in 4..12 {
        let without = Service::new();
        let with = Service {
            added: true,
            ..Service::new()
        }
        .update("app");
        for (before, now) in [(&without, &with), (&with, &without)] {
            let first = planned(&before.closure(), &request(most));
            let closure = now.closure();
            let second = planned(&closure, &after(&first, most));
            for layer in &first.layers {
                if layer.paths.iter().all(|path| closure.get(path).is_some()) {
                    assert!(
                        second.layers.iter().any(|other| other.paths == layer.paths),
                        "{most}: {:?} of {:?} in {:?}",
                        layer.paths,
                        names(&first),
                        names(&second)
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_added_takes_the_place_of_layers_that_cost_little_to_join() {
    let packages = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let release = |number: usize| {
        let app = format!("app-{number}");
        let there = &packages[..4 + number];
        let size = |at: usize| if at < 4 { MIB } else { 20 * MIB };
        let below = (there.iter().enumerate()).map(|(at, name)| (*name, size(at), &[] as &[&str]));
        let app = [(app.as_str(), 2 * MIB, there)];
        closure(&below.chain(app).collect::<Vec<_>>())
    };
    let mut plan = planned(&release(0), &request(6));
    for number in 1..5 {
        plan = planned(&release(number), &after(&plan, 6));
        let app = format!("app-{number}");
        assert!(
            names(&plan).contains(&vec![app.as_str()]),
            "{:?}",
            names(&plan)
        );
    }
}

#[test]
fn what_changed_often_goes_up_and_what_did_not_goes_down() {
    // `fonts` and `icu` are alike but for the releases that are seen; each update gets a new name.
    let release = |number: usize| {
        let fonts = format!("fonts-{number}");
        let app = format!("app-{number}");
        closure(&[
            (fonts.as_str(), 9 * MIB, &[]),
            ("icu-1", 9 * MIB, &[]),
            ("zoneinfo-1", 9 * MIB, &[]),
            (app.as_str(), MIB, &[fonts.as_str(), "icu-1", "zoneinfo-1"]),
        ])
    };
    let mut plan = planned(&release(0), &request(10));
    for number in 1..6 {
        plan = planned(&release(number), &after(&plan, 10));
    }
    assert_eq!(names(&plan)[2..], [["fonts-5"], ["app-5"]]);
    let history = serde_json::to_value(plan.history.as_ref().unwrap()).unwrap();
    assert_eq!(
        history,
        serde_json::json!({"version": 1, "releases": 5, "changes": {"app": 5, "fonts": 5}})
    );
}

#[test]
fn a_plan_reads_back_with_its_history_and_a_damaged_history_is_none() {
    let first = planned(&Service::new().closure(), &request(9));
    let second = planned(&Service::new().update("app").closure(), &after(&first, 9));
    let text = serde_json::to_string(&second).unwrap();
    assert_eq!(Plan::from_json(&text).unwrap(), second);
    for damaged in [
        text.replace(r#""version":1"#, r#""version":2"#),
        text.replace(r#""releases":1"#, r#""releases":-1"#),
        text.replace(r#""app":1"#, r#""app":"often""#),
    ] {
        assert_ne!(damaged, text);
        assert_eq!(Plan::from_json(&damaged).unwrap().history, None);
    }
    let unlikely = text.replace(r#""app":1"#, r#""app":4000000000"#);
    let plan = Plan::from_json(&unlikely).unwrap();
    planned(&Service::new().update("ssl").closure(), &after(&plan, 9));
}

#[test]
fn the_plan_before_may_be_of_another_planner_or_have_too_many_layers() {
    let service = Service::new().closure();
    let auto = any_plan(&service, &Request::new(Strategy::Auto, 6)).unwrap();
    let plan = planned(&service, &after(&auto, 6));
    assert_eq!(
        names(&plan),
        names(&auto),
        "nothing changed, so nothing moves"
    );
    planned(&service, &after(&auto, 2));
    let foreign = planned(&closure(&[("other", 1, &[])]), &request(3));
    assert_eq!(
        names(&planned(&service, &after(&foreign, 6)))
            .last()
            .unwrap(),
        &["app-1.0", "settings-1.0"]
    );
}

#[test]
fn layers_that_are_asked_for() {
    let service = Service::new().closure();
    let asking = |patterns: &[&str]| Request {
        layers: patterns
            .iter()
            .map(|text| text.parse::<LayerPattern>().unwrap())
            .collect(),
        ..request(8)
    };
    let wanted = asking(&["closure:numpy-*", "fonts-*", "icu-*"]);
    let plan = planned(&service, &wanted);
    let asked: Vec<Vec<&str>> = plan
        .layers
        .iter()
        .zip(names(&plan))
        .filter(|(layer, _)| layer.reason == Reason::Asked)
        .map(|(_, names)| names)
        .collect();
    assert_eq!(
        asked,
        [
            vec!["libc-1.0", "numpy-1.0", "python-1.0", "ssl-1.0"],
            vec!["fonts-1.0"],
            vec!["icu-1.0"]
        ]
    );

    // They stay, stand in another order when asked to, and go when no longer asked for.
    let again = Request {
        previous: Some(plan.clone()),
        ..wanted
    };
    assert_eq!(planned(&service, &again), plan);
    let turned = Request {
        previous: Some(plan.clone()),
        ..asking(&["icu-*", "fonts-*", "closure:numpy-*"])
    };
    let turned = planned(&service, &turned);
    let place = |plan: &Plan, name: &str| {
        plan.layers
            .iter()
            .position(|layer| layer.paths == [path(name)])
    };
    assert!(place(&turned, "icu-1.0") < place(&turned, "fonts-1.0"));
    assert!(place(&plan, "icu-1.0") > place(&plan, "fonts-1.0"));

    let refused = |patterns: &[&str]| any_plan(&service, &asking(patterns)).unwrap_err();
    assert_eq!(
        refused(&["nothing-*"]),
        PlanError::NothingMatches("nothing-*".to_owned())
    );
    assert_eq!(
        refused(&["*", "libc-*"]),
        PlanError::NothingMatches("libc-*".to_owned())
    );
    let each = [
        "libc-*",
        "ssl-*",
        "icu-*",
        "python-*",
        "numpy-*",
        "fonts-*",
        "settings-*",
        "app-*",
    ];
    planned(&service, &asking(&each));
    let too_many = Request {
        max_store_layers: 5,
        ..asking(&each[..5])
    };
    assert_eq!(
        any_plan(&service, &too_many),
        Err(PlanError::TooManyAsked { needed: 6, most: 5 })
    );
    let auto = Request {
        strategy: Strategy::Auto,
        ..asking(&["icu-*"])
    };
    assert_eq!(any_plan(&service, &auto), Err(PlanError::OnlyStable));
}

#[test]
fn hidden_paths_get_no_layer_and_what_only_they_need_is_a_root() {
    let closure = closure(&[
        ("lib", 5 * MIB, &[]),
        ("app", MIB, &["lib"]),
        ("conf", 100, &["app"]),
    ]);
    let request = Request {
        hidden: [path("conf")].into(),
        ..request(5)
    };
    let plan = planned(&closure, &request);
    assert_eq!(names(&plan), [["lib"], ["app"]]);
    assert_eq!(plan.layers[1].reason, Reason::Root);
    assert_eq!(
        Plan {
            layers: vec![],
            ..plan
        }
        .check(&closure, &request.hidden),
        Err(CheckError::Missing(path("app").min(path("lib"))))
    );
}

#[test]
fn more_paths_than_are_told_apart() {
    let names: Vec<String> = (0..900).map(|at| format!("p{at}")).collect();
    let references: Vec<Vec<&str>> = (0..900usize)
        .map(|at| {
            [at / 2, at / 3, at.saturating_sub(7)]
                .into_iter()
                .filter(|&to| to < at)
                .map(|to| names[to].as_str())
                .collect()
        })
        .collect();
    let entries: Vec<(&str, u64, &[&str])> = names
        .iter()
        .zip(&references)
        .enumerate()
        .map(|(at, (name, below))| (name.as_str(), (at as u64 % 97) * 30_000, &below[..]))
        .collect();
    let closure = closure(&entries);
    let first = planned(&closure, &request(60));
    assert!(first.layers.len() > 40);
    assert_eq!(planned(&closure, &after(&first, 60)), first);
}

/// Any closure under some salt, which decides about all hashes and nothing else.
fn salted(entries: &[(u64, Vec<usize>)], salt: usize) -> Closure {
    let infos = entries.iter().enumerate().map(|(at, (size, references))| {
        let named =
            |number: usize| crate::testing::salted_path(&format!("p{number}-{}", number % 3), salt);
        let mut references: Vec<StorePath> = references
            .iter()
            .filter(|_| at > 0)
            .map(|r| named(r % at))
            .collect();
        references.sort();
        references.dedup();
        nix_compat::PathInfo {
            path: named(at),
            nar_hash: None,
            nar_size: size * 9_000,
            references,
        }
    });
    Closure::new(infos.collect()).unwrap()
}

fn entries() -> impl proptest::strategy::Strategy<Value = Vec<(u64, Vec<usize>)>> {
    proptest::collection::vec(
        (0u64..2_000, proptest::collection::vec(0usize..99, 0..4)),
        1..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_path_is_planned_once_in_no_more_layers_than_allowed(
        releases in proptest::collection::vec((entries(), 0usize..3, 1usize..12), 1..4),
    ) {
        let mut previous = None;
        for (entries, salt, most) in releases {
            let closure = salted(&entries, salt);
            let plan = planned(&closure, &Request { previous, ..request(most) });
            prop_assert_eq!(&planned(&closure, &after(&plan, most)), &plan, "a plan's own plan");
            previous = Some(plan);
        }
    }

    #[test]
    fn hashes_decide_nothing(entries in entries(), most in 1usize..12) {
        let plans = [0, 1].map(|salt| planned(&salted(&entries, salt), &request(most)));
        prop_assert_eq!(names(&plans[0]), names(&plans[1]));
    }

    #[test]
    fn the_order_of_the_list_decides_nothing(entries in entries(), most in 1usize..12) {
        let closure = salted(&entries, 0);
        let mut infos: Vec<_> = closure.paths().cloned().collect();
        infos.reverse();
        let reversed = Closure::new(infos).unwrap();
        prop_assert_eq!(planned(&closure, &request(most)), planned(&reversed, &request(most)));
    }

    #[test]
    fn the_number_of_threads_decides_nothing(
        entries in proptest::collection::vec(
            (0u64..2_000, proptest::collection::vec(0usize..99, 0..4)),
            100..150,
        ),
        most in 1usize..30,
    ) {
        let closure = salted(&entries, 0);
        let plans = [1, 2, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| planned(&closure, &request(most)))
        });
        prop_assert_eq!(&plans[0], &plans[1]);
        prop_assert_eq!(&plans[0], &plans[2]);
    }
}
