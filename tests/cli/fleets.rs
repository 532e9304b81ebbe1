//! Fleets: several images that are planned and pushed together.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use test_peers::needs;

use crate::support::app::noise;
use crate::support::archive;
use crate::support::peer;
use crate::support::program::{fail, stderr, stream_layered, succeed};
use crate::support::registry::Registry;
use crate::support::store_tree::{Node, StoreRoot, store_path};

/// Two services, each with what it alone needs, and what both do.
const PATHS: [(&str, &[usize], usize); 6] = [
    (
        "0c4p0zvbd4dyfhivlpzj4q0nxh2z9x4m-libshared-1.0",
        &[],
        3 << 20,
    ),
    ("1d5q1bqxw9r8c7v6n5m4k3j2h1gafds0-tls-1.0", &[0], 2 << 20),
    (
        "2d5q1bqxw9r8c7v6n5m4k3j2h1gafds0-only-api-1.0",
        &[],
        2 << 20,
    ),
    (
        "3d5q1bqxw9r8c7v6n5m4k3j2h1gafds0-only-web-1.0",
        &[],
        2 << 20,
    ),
    ("g86nplrhlhz6lr3f7aj1fb17m460rakb-api-1.0", &[1, 2], 0),
    ("h86nplrhlhz6lr3f7aj1fb17m460rakb-web-1.0", &[1, 3], 0),
];

/// A store that Nix knows, with two services in it.
struct Services {
    root: StoreRoot,
}

impl Services {
    fn new() -> Self {
        let root = StoreRoot::new();
        let mut registration = String::new();
        for (number, (path, references, size)) in PATHS.iter().enumerate() {
            let directory = root.store().join(path);
            if *size == 0 {
                let bin = Node::directory([("bin", Node::directory([("app", Node::program())]))]);
                root.add(path, &bin, "".as_ref());
            } else {
                fs::create_dir(&directory).unwrap();
                fs::write(directory.join("lib.so"), noise(number as u64, *size)).unwrap();
            }
            let (path, hash) = (store_path(path), format!("{number:064x}"));
            let length = size + 1000;
            registration += &format!("{path}\nsha256:{hash}\n{length}\n\n{}\n", references.len());
            for reference in *references {
                registration += &format!("{}\n", store_path(PATHS[*reference].0));
            }
        }
        let nix = peer::program("STREAM_LAYERED_TEST_NIX").with_file_name("nix-store");
        let mut load = Command::new(nix);
        load.arg("--store").arg(root.path()).arg("--load-db");
        let mut load = load.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = load.stdin.take().unwrap();
        input.write_all(registration.as_bytes()).unwrap();
        drop(input);
        assert!(load.wait().unwrap().success());
        Self { root }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = stream_layered();
        command.arg(words[0]).arg("--store").arg(self.root.path());
        if words[0] != "plan" {
            command.arg("--cache").arg(self.root.path().join("cache"));
        }
        command.args(&words[1..]);
        command
    }

    /// The two services as `--fleet` takes them.
    fn fleet() -> [String; 2] {
        [
            format!("api={}", store_path(PATHS[4].0)),
            format!("web={}", store_path(PATHS[5].0)),
        ]
    }

    /// The fleet's plan, in a file.
    fn plan(&self) -> (PathBuf, Value) {
        let file = self.root.path().join("fleet.json");
        let mut plan = self.command(&["plan", "--format", "json", "-o"]);
        succeed(plan.arg(&file).arg("--fleet").args(Self::fleet()));
        let value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        (file, value)
    }
}

/// The digests of a manifest's layers.
fn layers(manifest: &[u8]) -> BTreeSet<String> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers
        .map(|layer| layer["digest"].as_str().unwrap().to_owned())
        .collect()
}

#[needs(nix, registry, skopeo)]
#[test]
fn services_that_are_pushed_together_send_what_they_share_once() {
    let services = Services::new();
    let registry = Registry::find("fleet");
    let of = |name: &str| Registry {
        repository: format!("{}/{name}", registry.repository),
        ..Registry::find("fleet")
    };
    let to = format!("{}/{}/{{name}}:1", registry.host, registry.repository);
    let push = |more: &[&str]| {
        let mut push = services.command(&["push", &to]);
        push.args(more).arg("--fleet").args(Services::fleet());
        push.output().unwrap()
    };
    let output = push(&["--no-cache"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (api, web) = (of("api"), of("web"));
    let (of_api, of_web) = (api.manifest("1").unwrap(), web.manifest("1").unwrap());
    let shared: BTreeSet<String> = &layers(&of_api) & &layers(&of_web);
    assert_eq!(
        shared.len(),
        2,
        "the two that both need: {}",
        stderr(&output)
    );
    let all: BTreeSet<String> = &layers(&of_api) | &layers(&of_web);

    // Each layer is sent to one of the two, and the other takes it over.
    let requests = [api.requests(), web.requests()].concat();
    let is_sent = |request: &&String| request.starts_with("PUT") && request.contains("/uploads/");
    let sent = requests.iter().filter(is_sent).count();
    assert_eq!(sent, all.len() + 2, "and two configurations: {requests:#?}");
    assert!(
        stderr(&output).contains(" 2 taken over, "),
        "{}",
        stderr(&output)
    );

    // A service by itself is the same image as in its fleet.
    let (file, _) = services.plan();
    let plan = format!("{}#web", file.display());
    let alone = of("alone");
    let mut push_alone = services.command(&["push", &alone.reference("1"), "--fleet-plan", &plan]);
    succeed(push_alone.args([
        "--cmd",
        &format!("{}/bin/app", store_path(PATHS[5].0)),
        &store_path(PATHS[5].0),
    ]));
    assert_eq!(layers(&alone.manifest("1").unwrap()), layers(&of_web));

    // Again, nothing is sent.
    let again = push(&[]);
    assert_eq!(again.stdout, output.stdout);
    assert!(
        stderr(&again).contains(" 0 sent, 0 B of "),
        "{}",
        stderr(&again)
    );
}

#[needs(nix)]
#[test]
fn an_image_takes_its_layers_from_the_plan_of_its_fleet() {
    let services = Services::new();
    let (file, fleet) = services.plan();
    let plan = format!("{}#api", file.display());
    let mut show = services.command(&["plan", "--format", "json", "--fleet-plan", &plan]);
    let shown: Value = serde_json::from_slice(&succeed(show.arg(store_path(PATHS[4].0)))).unwrap();
    assert_eq!(shown["layers"], fleet["images"]["api"]["layers"]);

    // The image's own plan is that of the fleet, so that it is a --previous for either.
    let image = services.root.path().join("api.tar");
    let mut stream = services.command(&["stream", "--fleet-plan", &plan, "-o"]);
    succeed(stream.arg(&image).arg(store_path(PATHS[4].0)));
    let (_, config) = archive::config(&image);
    let layers = config["rootfs"]["diff_ids"].as_array().unwrap().len();
    assert_eq!(layers, shown["layers"].as_array().unwrap().len() + 1);
    let mut again = services.command(&["plan", "--format", "json", "--previous"]);
    again.arg(format!("api={}", image.display())).arg("--fleet");
    let again: Value = serde_json::from_slice(&succeed(again.args(Services::fleet()))).unwrap();
    let paths = |plan: &Value| -> Vec<Value> {
        let layers = plan["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["paths"].clone()).collect()
    };
    for image in ["api", "web"] {
        assert_eq!(
            paths(&again["images"][image]),
            paths(&fleet["images"][image])
        );
    }
}

#[needs(nix)]
#[test]
fn plans_and_names_that_do_not_fit_are_refused() {
    let services = Services::new();
    let (file, _) = services.plan();
    let [api, web] = [4, 5].map(|at: usize| store_path(PATHS[at].0));
    let plan = |name: &str| format!("{}{name}", file.display());
    let refused = |words: &[&str], code: i32| fail(&mut services.command(words), code);
    let line = refused(&["stream", &api, "--fleet-plan", &plan("#web")], 1);
    assert!(
        line.contains("is not for these store paths: the plan contains"),
        "{line}"
    );
    let line = refused(&["stream", &api, "--fleet-plan", &plan("#other")], 1);
    assert!(
        line.contains("the plan has no image other; it has api, web"),
        "{line}"
    );
    let line = refused(&["stream", &api, "--fleet-plan", &plan("")], 2);
    assert!(
        line.contains("Write FILE#NAME; the plan has api, web"),
        "{line}"
    );
    let line = refused(
        &["push", "localhost:1/x:1", "--fleet", &format!("api={api}")],
        2,
    );
    assert!(line.contains("write {name}"), "{line}");
    let line = refused(&["push", "localhost:1/{name}:1", &api], 2);
    assert!(line.contains("--fleet"), "{line}");
    let two = [format!("a={api}"), format!("b={web}")];
    let line = refused(
        &["push", "localhost:1/x:{tag}", "--fleet", &two[0], &two[1]],
        2,
    );
    assert!(
        line.contains("two images would be pushed to localhost:1/x:latest"),
        "{line}"
    );
    let line = refused(&["push", "localhost:1/{name}", "--fleet", &two[0], &api], 2);
    assert!(
        line.contains("is a package, and has no name as an image"),
        "{line}"
    );
    // A graph has sizes, and no files.
    let graph = json!({"images": {"api": {"graph": []}}}).to_string();
    let file = services.root.path().join("graphs.json");
    fs::write(&file, graph).unwrap();
    let line = refused(
        &[
            "push",
            "localhost:1/{name}",
            "--fleet",
            file.to_str().unwrap(),
        ],
        2,
    );
    assert!(
        line.contains("image api: a closure alone has no files"),
        "{line}"
    );
}
