//! `plan --fleet`, and `diff` and `why` for fleets: several images that are planned together.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::support::program::{fail, stream_layered, succeed};
use crate::support::store_tree::{StoreRoot, store_path};

/// A directory with the files of fleets, and a store that is not asked.
struct Files {
    root: StoreRoot,
}

impl Files {
    fn new() -> Self {
        Self {
            root: StoreRoot::new(),
        }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file: PathBuf = self.root.path().join(name);
        fs::write(&file, text).unwrap();
        file.into_os_string().into_string().unwrap()
    }

    fn plan(&self, words: &[&str]) -> String {
        String::from_utf8(succeed(&mut self.command(words))).unwrap()
    }

    fn mistake(&self, words: &[&str], code: i32) -> String {
        fail(&mut self.command(words), code)
    }

    fn why(&self, words: &[&str]) -> Command {
        let mut command = stream_layered();
        command
            .arg("why")
            .args(words)
            .arg("--store")
            .arg(self.root.path());
        command
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = stream_layered();
        command
            .arg("plan")
            .args(words)
            .arg("--store")
            .arg(self.root.path());
        command
    }
}

/// A path of a name, and of a version that is in its hash.
fn path(name: &str) -> String {
    let letters = name
        .bytes()
        .map(|byte| char::from(b"0123456789abcdfghijklmnpqrsvwxyz"[usize::from(byte) % 32]));
    let hash: String = letters.chain(['0'; 32]).take(32).collect();
    store_path(&format!("{hash}-{name}"))
}

/// The graph of an application above what all have, and above a library if there is one.
fn image(app: &str, library: Option<&str>) -> Value {
    let entry = |name: &str, size: u64, references: &[&str]| {
        let references: Vec<String> = references.iter().map(|name| path(name)).collect();
        json!({
            "path": path(name), "narSize": size, "references": references,
            "narHash": format!("sha256:{}", "0".repeat(64)),
        })
    };
    let mut graph = vec![
        entry("libc-2.40", 3_000_000, &[]),
        entry("python-3.12", 9_000_000, &["libc-2.40"]),
    ];
    let mut references = vec!["python-3.12"];
    if let Some(library) = library {
        graph.push(entry(library, 5_000_000, &["libc-2.40"]));
        references.push(library);
    }
    graph.push(entry(app, 800_000, &references));
    json!({ "graph": graph })
}

fn fleet(images: &[(&str, &str, Option<&str>)]) -> String {
    let images = images
        .iter()
        .map(|(name, app, library)| ((*name).to_owned(), image(app, *library)));
    json!({ "images": images.collect::<Map<String, Value>>() }).to_string()
}

const LIBRARY: Option<&str> = Some("numpy-1.24");

#[test]
fn layers_of_images_and_what_they_take_together() {
    let files = Files::new();
    let images = [
        ("api", "api-1.0", LIBRARY),
        ("web", "web-1.0", None),
        ("worker", "worker-1.0", LIBRARY),
    ];
    let file = files.write("fleet.json", &fleet(&images));
    let table = files.plan(&["--fleet", &file]);
    // How likely a change is, is told in other tests.
    let (layers, rest) = table.split_once("\n\n").unwrap();
    let layers: Vec<String> = layers
        .lines()
        .map(|line| format!("{}{}", &line[..11], &line[20..]))
        .collect();
    let table = format!("{}\n\n{rest}", layers.join("\n"));
    let expected = "\
     SIZE  IMAGES  STORE PATHS
  3.00 MB  ■■■     libc-2.40
  9.00 MB  ■■■     python-3.12
  5.00 MB  ■·■     numpy-1.24
800.00 kB  ■··     api-1.0
800.00 kB  ·■·     web-1.0
800.00 kB  ··■     worker-1.0

#  LAYERS  PATHS       SIZE  IMAGE
1       4      4   17.80 MB  api
2       3      3   12.80 MB  web
3       4      4   17.80 MB  worker

                                             TOGETHER  EACH ALONE
different layers                                    6           6
stored in a registry                         19.40 MB    19.40 MB
stored by chain (Docker's own store)         19.40 MB    19.40 MB
download after a change of an application   800.00 kB   800.00 kB
download after a change of one package       12.47 MB    12.47 MB
all store paths                              19.40 MB
";
    assert_eq!(table.trim_start(), expected.trim_start());

    let page = files.plan(&["--fleet", &file, "--format", "html"]);
    assert!(
        page.contains(r#""name":"worker""#) && page.contains("numpy-1.24"),
        "{page}"
    );
}

#[test]
fn the_next_release_keeps_the_layers_of_the_plan_and_of_images_before() {
    let files = Files::new();
    let before = [("api", "api-1.0", LIBRARY), ("web", "web-1.0", None)];
    let before = files.write("before.json", &fleet(&before));
    let plan = files.plan(&["--fleet", &before, "--format", "json"]);
    let plan_file = files.write("plan.json", &plan);
    let again = [
        "--fleet",
        &before,
        "--format",
        "json",
        "--previous",
        &plan_file,
    ];
    assert_eq!(files.plan(&again), plan, "what did not change stays");

    // api is deployed, worker is new.
    let now = [
        ("api", "api-1.1", LIBRARY),
        ("web", "web-1.0", None),
        ("worker", "worker-1.0", LIBRARY),
    ];
    let now = files.write("now.json", &fleet(&now));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let layers = |plan: &Value, image: &str| -> Vec<Value> {
        let layers = plan["images"][image]["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["paths"].clone()).collect()
    };
    let web = files.write("web.json", &plan["images"]["web"].to_string());
    let api = files.write("api.json", &plan["images"]["api"].to_string());
    let (api, web) = (format!("api={api}"), format!("web={web}"));
    for previous in [
        &["--previous", plan_file.as_str()][..],
        &["--previous", &api, "--previous", &web],
    ] {
        let words = [&["--fleet", now.as_str(), "--format", "json"], previous].concat();
        let next: Value = serde_json::from_str(&files.plan(&words)).unwrap();
        assert_eq!(next["images"]["web"], plan["images"]["web"]);
        let (old, new) = (layers(&plan, "api"), layers(&next, "api"));
        assert_eq!(new[..3], old[..3]);
        assert_eq!(layers(&next, "worker")[..3], old[..3]);
    }
}

/// The plan of a release, in a file.
fn planned(files: &Files, name: &str, images: &str, previous: &[&str]) -> String {
    let fleet = files.write(&format!("{name}.fleet.json"), images);
    let words = [&["--fleet", fleet.as_str(), "--format", "json"], previous].concat();
    files.write(name, &files.plan(&words))
}

/// The old plan, the new one, and that of one image.
fn releases(files: &Files) -> [String; 3] {
    let before = [
        ("api", "api-1.0", LIBRARY),
        ("job", "job-1.0", None),
        ("web", "web-1.0", None),
        ("worker", "worker-1.0", LIBRARY),
    ];
    let now = [
        ("api", "api-1.1", Some("numpy-1.25")),
        ("batch", "batch-1.0", Some("numpy-1.25")),
        ("web", "web-1.0", None),
        ("worker", "worker-1.1", Some("numpy-1.25")),
    ];
    let old = planned(files, "old.json", &fleet(&before), &[]);
    let new = planned(files, "new.json", &fleet(&now), &["--previous", &old]);
    let plan: Value = serde_json::from_slice(&fs::read(&new).unwrap()).unwrap();
    let image = files.write("image.json", &plan["images"]["api"].to_string());
    [old, new, image]
}

#[test]
fn what_a_release_of_a_fleet_downloads_and_which_package_moves_which_image() {
    let files = Files::new();
    let [old, new, image] = &releases(&files);
    let diff = |words: &[&str]| {
        let mut command = stream_layered();
        command.arg("diff").args(words);
        command
    };
    let text = String::from_utf8(succeed(&mut diff(&[old, new]))).unwrap();
    let expected = "\
What a machine with one image downloads:
NEW LAYERS   BY DIGEST    BY CHAIN  IMAGE
    2 of 4     5.80 MB     5.80 MB  api
    4 of 4    17.80 MB    17.80 MB  batch (is new)
    0 of 3         0 B         0 B  web
    2 of 4     5.80 MB     5.80 MB  worker
                                    job (is gone)

A machine with all images, each layer once: 7.40 MB by digest, 7.40 MB by chain (Docker's own store)
Store paths that no image had: 7.40 MB

Packages that changed, and the images that download layers for them:
   6.60 MB  numpy-1.25 (was numpy-1.24)
               5.80 MB  api
               5.80 MB  worker
";
    assert_eq!(text, expected);

    let json = succeed(&mut diff(&[old, new, "--format", "json"]));
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["pull"]["byDigest"], 7_400_000);
    assert_eq!(json["images"]["api"]["pull"]["byDigest"], 5_800_000);
    assert_eq!(json["images"]["batch"]["isNew"], true);
    assert_eq!(json["gone"], json!(["job"]));
    let moved = json!({ "api": 5_800_000, "worker": 5_800_000 });
    assert_eq!(json["packages"][0]["images"], moved);

    // All images count together, each layer once.
    succeed(&mut diff(&[old, new, "--budget", "pull=8MB"]));
    let over = diff(&[old, new, "--budget", "pull=7MB"]).output().unwrap();
    let said = String::from_utf8(over.stderr).unwrap();
    assert_eq!(over.status.code(), Some(1));
    assert!(said.contains("numpy: in api, worker"), "{said}");
    assert!(said.ends_with("pull 7.40 MB of 7.00 MB\n"), "{said}");
    for words in [[old, image], [image, new]] {
        let told = fail(&mut diff(&words.map(String::as_str)), 2);
        assert!(told.contains("is the plan of a fleet, and"), "{told}");
    }
}

#[test]
fn where_a_path_is_in_a_fleet_and_why_not_all_share_its_layer() {
    let files = Files::new();
    let images = [
        ("api", "api-1.0", LIBRARY),
        ("web", "web-1.0", None),
        ("worker", "worker-1.0", LIBRARY),
    ];
    let file = files.write("fleet.json", &fleet(&images));
    let why = |words: &[&str]| {
        let words = [words, &["--fleet", file.as_str()]].concat();
        String::from_utf8(succeed(&mut files.why(&words))).unwrap()
    };
    let [api, worker, numpy] = ["api-1.0", "worker-1.0", "numpy-1.24"].map(path);
    let expected = format!(
        "\
{numpy}
in 2 of 3 images

api, layer 3 of 4:
{api}
└ {numpy}

worker, layer 3 of 4:
{worker}
└ {numpy}

The layer of api, worker: large; alone, 5.00 MB
  the same images need all its paths; none of them is in web
"
    );
    assert_eq!(why(&["numpy"]), expected);
    assert_eq!(why(&[&numpy]), expected);
    assert!(why(&["libc"]).contains("\nAll images have the layer: large; alone, 3.00 MB\n"));

    // With few layers, paths that other images do not need keep a layer from these.
    let few = why(&["python", "--max-layers", "3"]);
    assert!(few.contains("  not in "), "{few}");
    let told = fail(&mut files.why(&["perl", "--fleet", &file]), 1);
    assert!(told.contains("no path of any of the closures"), "{told}");
}

#[test]
fn what_is_no_fleet_is_told_in_one_line() {
    let files = Files::new();
    let file = files.write("fleet.json", &fleet(&[("api", "api-1.0", None)]));
    let bare = files.write("bare.json", "{}");
    let empty = files.write("empty.json", r#"{"images": {"api": {}}}"#);
    let text = files.write("text.json", "images");
    for (words, expected) in [
        (
            &["--fleet", bare.as_str()][..],
            "bare.json: it has no object `images`",
        ),
        (
            &["--fleet", &empty],
            "image api: it has neither a list `graph` nor a list `roots`",
        ),
        (&["--fleet", &text], "it is not JSON"),
        (
            &["--fleet", &file, "--previous", &bare],
            "this is not a plan",
        ),
    ] {
        let told = files.mistake(words, 1);
        assert!(
            told.contains(expected) && told.lines().count() == 1,
            "{told}"
        );
    }
    for (words, expected) in [
        (
            &["--fleet", file.as_str(), file.as_str()][..],
            "two images api",
        ),
        (
            &["--fleet", &file, "--strategy", "auto"],
            "--strategy is for one image",
        ),
        (
            &["--fleet", &file, "--format", "dot"],
            "table, json or html",
        ),
        (&["--fleet", &file, "--max-layers", "1"], "--max-layers 1"),
    ] {
        let told = files.mistake(words, 2);
        assert!(told.contains(expected), "{told}");
    }
}
