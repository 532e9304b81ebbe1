//! Two releases of one application: the second is planned after the first, and people are told
//! what lies between them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use test_peers::needs;

use crate::golden;
use crate::support::peer;
use crate::support::program::{fail, stderr, stream_layered, succeed};
use crate::support::store_tree::{Node, StoreRoot, store_path};

/// A version of the application with its closure.
struct Release {
    root: StoreRoot,
    app: String,
}

/// Name, size, references by name. Hashes follow from the names of all that is below.
type Packages<'a> = &'a [(&'a str, usize, &'a [&'a str])];

const FIRST: Packages<'static> = &[
    ("libc-2.40", 300_000, &[]),
    ("fonts-1", 500_000, &[]),
    ("openssl-3.0.1", 200_000, &["libc-2.40"]),
    ("curl-8.1", 150_000, &["openssl-3.0.1", "libc-2.40"]),
    ("jq-1.7", 80_000, &["libc-2.40"]),
    ("app-1.0", 100_000, &["curl-8.1", "fonts-1", "jq-1.7"]),
];

/// openssl changed by itself, curl because of it; jq is gone, and the application is another.
const SECOND: Packages<'static> = &[
    ("libc-2.40", 300_000, &[]),
    ("fonts-1", 500_000, &[]),
    ("openssl-3.0.2", 200_000, &["libc-2.40"]),
    ("curl-8.1", 150_000, &["openssl-3.0.2", "libc-2.40"]),
    ("app-1.1", 100_000, &["curl-8.1", "fonts-1"]),
];

impl Release {
    fn new(packages: Packages<'_>) -> Self {
        let root = StoreRoot::new();
        let mut entries = Vec::new();
        let mut base_names: Vec<(&str, String)> = Vec::new();
        for (name, size, references) in packages {
            let of = |other: &&str| {
                let (_, base_name) = base_names.iter().find(|(name, _)| name == other).unwrap();
                base_name.clone()
            };
            let references: Vec<String> = references.iter().map(of).collect();
            let base_name = format!("{}-{name}", hash(&(references.concat() + name)));
            let file = Node::Pattern {
                pattern: base_name.clone(),
                size: *size,
                exec: true,
            };
            let bin = Node::directory([(*name, file)]);
            root.add(&base_name, &Node::directory([("bin", bin)]), Path::new(""));
            let references: Vec<String> =
                references.iter().map(|other| store_path(other)).collect();
            entries.push(json!({
                "path": store_path(&base_name),
                "narHash": format!("sha256:{:0>52}", hash(&base_name)),
                "narSize": size + 400,
                "references": references,
            }));
            base_names.push((name, base_name));
        }
        root.describe(&entries);
        let (_, app) = base_names.pop().unwrap();
        Self {
            root,
            app: store_path(&app),
        }
    }

    fn directory(&self) -> &Path {
        self.root.path()
    }

    /// The program with this command, and the closure.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.root.command(words);
        command
            .arg("--cache")
            .arg(self.directory().join("cache"))
            .arg(&self.app);
        command
    }

    /// The program's `plan`, which knows no cache.
    fn plan(&self, words: &[&str]) -> String {
        let mut command = self.root.command(&[&["plan"], words].concat());
        String::from_utf8(succeed(command.arg(&self.app))).unwrap()
    }

    /// An archive, made with these options.
    fn archive(&self, name: &str, words: &[&str]) -> String {
        let archive = self.directory().join(name);
        let words = [&["stream", "--cmd", "app"], words].concat();
        succeed(self.command(&words).arg("-o").arg(&archive));
        archive.into_os_string().into_string().unwrap()
    }
}

/// 32 characters that a store path's hash may have.
fn hash(text: &str) -> String {
    let mut state = 7u64;
    let digits = b"0123456789abcdfghijklmnpqrsvwxyz";
    text.bytes()
        .for_each(|byte| state = state.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let digit = |at: u64| char::from(digits[(state.wrapping_mul(at * 2 + 1) >> 40) as usize % 32]);
    (0..32).map(digit).collect()
}

#[test]
fn the_next_release_is_planned_after_any_form_of_the_one_before() {
    let (first, second) = (Release::new(FIRST), Release::new(SECOND));
    let plan = first.directory().join("plan.json");
    fs::write(&plan, first.plan(&["--format", "json"])).unwrap();
    let after = |previous: &str| second.plan(&["--format", "json", "--previous", previous]);
    let expected = after(plan.to_str().unwrap());
    let kept = expected.matches("\"kept\"").count();
    assert!(kept >= 2, "what did not change stays: {expected}");

    assert_eq!(after(&first.archive("app.tar", &[])), expected);
    assert_eq!(
        after(&first.archive("app.oci.tar.gz", &["--compression", "gzip"])),
        expected
    );
    let layout = first.archive("layout", &["--format", "oci", "-t", "app:1"]);
    assert_eq!(after(&layout), expected, "a layout's directory");
    assert_eq!(after(&format!("oci:{layout}:1")), expected);
}

#[needs(registry)]
#[test]
fn the_next_release_is_planned_after_the_one_in_a_registry() {
    let registry = peer::setting("STREAM_LAYERED_TEST_REGISTRY");
    let (first, second) = (Release::new(FIRST), Release::new(SECOND));
    let after = |previous: &str| second.plan(&["--format", "json", "--previous", previous]);
    let expected = after(&first.archive("app.tar", &[]));
    let reference = format!("{registry}/releases-{}:1", std::process::id());
    succeed(&mut first.command(&["push", &reference, "--cmd", "app"]));
    assert_eq!(after(&format!("docker://{reference}")), expected);
}

#[test]
fn a_plan_after_its_own_image_is_the_same() {
    let first = Release::new(FIRST);
    let plan = first.plan(&["--format", "json"]);
    let archive = first.archive("app.tar", &[]);
    assert_eq!(
        first.plan(&["--format", "json", "--previous", &archive]),
        plan
    );
    let again = first.archive("again.tar", &["--previous", &archive]);
    assert_eq!(fs::read(archive).unwrap(), fs::read(again).unwrap());
}

#[test]
fn a_budget_that_is_exceeded_fails_with_what_takes_most() {
    let (first, second) = (Release::new(FIRST), Release::new(SECOND));
    let plan = |budget: &str| {
        let mut command = second.root.command(&["plan", "--budget", budget]);
        command.arg(&second.app);
        command
    };
    succeed(&mut plan("size=1252kB,layer=2MiB,closure=5"));
    let line = fail(&mut plan("size=1MB,closure=4"), 1);
    assert_eq!(
        line,
        "error: the budget is exceeded: size 1.25 MB of 1.00 MB, closure 5 store paths of 4"
    );
    let said = stderr(&plan("size=1MB").output().unwrap());
    let chain = "200.40 kB  app-1.1 → curl-8.1 → openssl-3.0.2";
    assert!(said.contains(chain), "{said}");
    for usage in ["", "pull=1", "size=1,size=2", "size=1PB"] {
        fail(&mut plan(usage), 2);
    }

    let old = first.archive("app.tar", &[]);
    let new = second.archive("app.tar", &["--previous", &old]);
    let diff = |budget: &str| {
        let mut command = stream_layered();
        command.args(["diff", &old, &new, "--budget", budget]);
        command
    };
    succeed(&mut diff("pull=2MB"));
    assert!(fail(&mut diff("pull=5kB"), 1).ends_with("of 5.00 kB"));
    let said = stderr(&diff("pull=5kB").output().unwrap());
    assert!(said.contains("451.20 kB  openssl-3.0.2: 3 paths"), "{said}");
}

#[test]
fn what_a_pull_moves_and_why() {
    let (first, second) = (Release::new(FIRST), Release::new(SECOND));
    let old = first.archive("app.tar", &[]);
    let new = second.archive("app.tar", &["--previous", &old]);
    let text = String::from_utf8(succeed(stream_layered().args(["diff", &old, &new]))).unwrap();
    for line in [
        "451.20 kB of store paths changed",
        "openssl-3.0.2 (was openssl-3.0.1)",
        "curl-8.1 because of openssl-3.0.2",
        "app-1.1 (was app-1.0) because of openssl-3.0.2",
        "jq-1.7",
    ] {
        assert!(text.contains(line), "`{line}` is missing in:\n{text}");
    }
    let json = succeed(stream_layered().args(["diff", "--format", "json", &old, &new]));
    let json: Value = serde_json::from_slice(&json).unwrap();
    let pull = json["pull"]["byDigest"].as_u64().unwrap();
    let new_layers = json["layers"].as_array().unwrap().iter();
    let new_layers = new_layers.filter(|layer| layer["change"] == "new");
    assert_eq!(
        pull,
        new_layers
            .map(|layer| layer["size"].as_u64().unwrap())
            .sum::<u64>()
    );
    assert!(
        (450_000..600_000).contains(&pull),
        "libc and fonts stay: {json}"
    );
    assert_eq!(json["pull"]["floor"], 450_000 + 3 * 400);

    let none = String::from_utf8(succeed(stream_layered().args(["diff", &new, &new]))).unwrap();
    assert!(none.contains(" 0 move, 0 new; 0 gone"), "{none}");
}

#[test]
fn images_of_nixpkgs_tell_their_layers_too() {
    let case = golden::lay_out("plain");
    let archive = case.root.path().join("image.tar");
    let conf = case.root.path().join("conf.json");
    let mut command = stream_layered();
    command
        .arg("--conf")
        .arg(conf)
        .arg("--store")
        .arg(case.root.path());
    succeed(command.arg("-o").arg(&archive));
    let json = succeed(
        stream_layered()
            .args(["diff", "--format", "json"])
            .arg(&archive)
            .arg(&archive),
    );
    let json: Value = serde_json::from_slice(&json).unwrap();
    let layers: Vec<Value> = json["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["paths"].clone())
        .collect();
    assert_eq!(Value::from(layers), case.case.conf["store_layers"]);
}

#[test]
fn what_carries_no_plan_is_refused() {
    let first = Release::new(FIRST);
    let file = first.directory().join("file");
    let file = file.to_str().unwrap();
    let refused = |what: &str| {
        let error = fail(stream_layered().args(["diff", file, file]), 1);
        assert!(error.contains(file) && error.contains(what), "{error}");
    };
    refused("No such file");
    fs::write(file, "{\"layers\": 7}").unwrap();
    refused("it has no list of `layers`");
    fs::write(file, "neither ".repeat(200)).unwrap();
    refused("cannot be used as the archive of an image");
}

#[test]
fn why_a_path_is_there() {
    let first = Release::new(FIRST);
    let text = String::from_utf8(succeed(&mut why(&first, "libc"))).unwrap();
    let names: Vec<&str> = text
        .lines()
        .map(|line| line.rsplit_once('-').map_or(line, |(name, _)| name))
        .collect();
    assert!(names[0].ends_with("-app"), "{text}");
    assert!(
        names[1].ends_with("-curl") && names[2].ends_with("-libc"),
        "a shortest chain: {text}"
    );
    assert!(
        text.lines().last().unwrap().starts_with("layer 2 of "),
        "{text}"
    );
    assert_eq!(
        text.as_bytes(),
        succeed(&mut why(&first, "libc-2.40")),
        "with its version"
    );

    assert!(fail(&mut why(&first, "zlib"), 1).contains("is named `zlib`"));
}

fn why(release: &Release, what: &str) -> Command {
    let mut command = stream_layered();
    command
        .args(["why", what, "--store"])
        .arg(release.directory());
    command
        .arg("--closure")
        .arg(release.directory().join("graph.json"))
        .arg(&release.app);
    command
}

#[test]
fn the_page_needs_nothing_else_and_holds_the_plan() {
    let first = Release::new(FIRST);
    let page = first.plan(&["--format", "html"]);
    for elsewhere in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    let plan: Value = serde_json::from_str(&first.plan(&["--format", "json"])).unwrap();
    let layers = plan["layers"].as_array().unwrap();
    assert_eq!(data["layers"].as_array().unwrap().len(), layers.len());
    for (shown, layer) in data["layers"].as_array().unwrap().iter().zip(layers) {
        let numbers = shown["paths"].as_array().unwrap().iter();
        let paths: Vec<Value> = numbers
            .map(|number| data["paths"][number.as_u64().unwrap() as usize]["path"].clone())
            .collect();
        assert_eq!(Value::from(paths), layer["paths"]);
        assert_eq!(shown["why"], layer["reason"]);
    }
}

#[test]
fn strategies_are_compared_with_what_changed() {
    let text = Release::new(FIRST).plan(&["--compare"]);
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for name in ["popularity", "auto", "stable", "what"] {
        assert!(names.contains(&name), "{name}:\n{text}");
    }
}

#[test]
fn layers_are_stable_unless_something_else_is_asked() {
    let first = Release::new(FIRST);
    assert_eq!(
        first.plan(&["--format", "json"]),
        first.plan(&["--format", "json", "--strategy", "stable"])
    );
    let auto = first.plan(&["--format", "json", "--strategy", "auto"]);
    assert!(
        !auto.contains("history"),
        "it keeps nothing in mind: {auto}"
    );
    let archive = first.archive("auto.tar", &["--strategy", "auto"]);
    let text = succeed(Command::new("tar").args(["--wildcards", "-xOf", &archive, "*.json"]));
    assert!(
        !String::from_utf8(text).unwrap().contains("stream-layered"),
        "nixpkgs' bytes"
    );
}
