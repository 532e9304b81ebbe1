//! Closures: the same from every place that Nix writes them to, and refused whole where they are
//! not right.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};
use test_peers::needs;

use crate::support::program::{fail, stream_layered, succeed, with_input};
use crate::support::store_tree::{Node, StoreRoot, store_path as path};

const HASH: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Base names of a small closure: the app uses the library and itself, both use the data.
const APP: &str = "g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0";
const LIB: &str = "a9xlmsmmpw9hg4lamgjcdhnfmixsai23-lib-2.1";
const DATA: &str = "kbl2sfalv5db7a88a86zb45cyvp8qcqy-data";

/// Path, size, references.
fn graph() -> [(String, u64, Vec<String>); 3] {
    [
        (path(APP), 500, vec![path(LIB), path(APP), path(DATA)]),
        (path(LIB), 300, vec![path(DATA)]),
        (path(DATA), 1000, vec![]),
    ]
}

fn store() -> StoreRoot {
    let root = StoreRoot::new();
    let bin = Node::directory([("app", Node::program())]);
    let library = Node::directory([("lib.so", Node::text("lib"))]);
    let data = Node::directory([("data", Node::text("data"))]);
    root.add(APP, &Node::directory([("bin", bin)]), Path::new(""));
    root.add(LIB, &library, Path::new(""));
    root.add(DATA, &data, Path::new(""));
    root
}

fn entries(extra: &Value) -> Vec<Value> {
    let entry = |(path, size, references): &(String, u64, Vec<String>)| {
        let mut entry =
            json!({"path": path, "narHash": HASH, "narSize": size, "references": references});
        entry
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        entry
    };
    graph().iter().map(entry).collect()
}

/// The closure in every form that Nix prints or writes.
fn forms() -> Vec<(&'static str, String)> {
    let by_path = |key: fn(&str) -> String, references: fn(&str) -> String| -> Value {
        let entry = |(path, size, refs): &(String, u64, Vec<String>)| {
            let refs: Vec<String> = refs.iter().map(|reference| references(reference)).collect();
            (
                key(path),
                json!({"ca": null, "narHash": HASH, "narSize": size, "references": refs, "version": 2}),
            )
        };
        graph()
            .iter()
            .map(entry)
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let base = |path: &str| path["/nix/store/".len()..].to_owned();
    let list = |with_hash: bool| {
        let line = |(path, size, references): &(String, u64, Vec<String>)| {
            let hash = if with_hash {
                format!("{}\n{size}\n", &HASH[7..])
            } else {
                String::new()
            };
            let list: String = references
                .iter()
                .map(|reference| format!("{reference}\n"))
                .collect();
            format!("{path}\n{hash}\n{}\n{list}", references.len())
        };
        graph().iter().map(line).collect::<String>()
    };
    vec![
        (
            "path-info of Nix 2.8",
            json!(entries(
                &json!({"deriver": "/nix/store/x.drv", "valid": true})
            ))
            .to_string(),
        ),
        (
            "path-info by path",
            by_path(str::to_owned, str::to_owned).to_string(),
        ),
        (
            "path-info, format 2",
            json!({"info": by_path(base, base), "storeDir": "/nix/store", "version": 2})
                .to_string(),
        ),
        (
            ".attrs.json",
            json!({"name": "x", "graph": entries(&json!({"closureSize": 1}))}).to_string(),
        ),
        ("a registration", list(true)),
        ("exportReferencesGraph", list(false)),
    ]
}

fn plan(root: &StoreRoot, closure: &str) -> Value {
    let output = with_input(
        stream_layered()
            .arg("plan")
            .arg("--store")
            .arg(root.path())
            .args(["--closure", "-", "--format", "layers"])
            .args(["--strategy", "auto"]),
        closure.as_bytes(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Nix's own tables, as far as they are read.
fn database(root: &StoreRoot) -> Connection {
    let directory = root.path().join("nix/var/nix/db");
    fs::create_dir_all(&directory).unwrap();
    let connection = Connection::open(directory.join("db.sqlite")).unwrap();
    connection
        .execute_batch(
            "pragma journal_mode = wal;
             create table ValidPaths (id integer primary key autoincrement not null, path text unique not null,
                 hash text not null, registrationTime integer not null, deriver text, narSize integer,
                 ultimate integer, sigs text, ca text);
             create table Refs (referrer integer not null, reference integer not null,
                 primary key (referrer, reference));",
        )
        .unwrap();
    connection
}

fn register(connection: &Connection) {
    for (path, size, _) in graph() {
        let values =
            "insert into ValidPaths (path, hash, registrationTime, narSize) values (?1, ?2, 1, ?3)";
        connection
            .execute(values, (path, HASH, i64::try_from(size).unwrap()))
            .unwrap();
    }
    let refer = "insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = ?1 and b.path = ?2";
    for (path, _, references) in graph() {
        for reference in references {
            connection.execute(refer, (&path, reference)).unwrap();
        }
    }
}

#[test]
fn every_form_is_the_same_closure() {
    let root = store();
    let expected = json!([[path(DATA)], [path(LIB)], [path(APP)]]);
    for (form, text) in forms() {
        assert_eq!(plan(&root, &text), expected, "{form}");
    }
    let connection = database(&root);
    register(&connection);
    let from_database = succeed(
        stream_layered()
            .arg("plan")
            .arg("--store")
            .arg(root.path())
            .arg(path(APP))
            .args(["--format", "layers", "--strategy", "auto"]),
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&from_database).unwrap(),
        expected
    );
}

#[test]
fn what_nix_printed_is_read() {
    let root = StoreRoot::new();
    let samples = crate::support::program::repository().join("tests/samples");
    let mut plans = Vec::new();
    for sample in fs::read_dir(samples).unwrap() {
        let file = sample.unwrap().path();
        if file
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            plans.push(plan(&root, &fs::read_to_string(file).unwrap()));
        }
    }
    assert_eq!(plans.len(), 6);
    assert!(plans.iter().all(|plan| plan == &plans[0]), "{plans:?}");
}

#[test]
fn excluded_paths_get_no_layer() {
    let text = json!({"graph": entries(&json!({})), "exclude_paths": [path(APP)]}).to_string();
    for strategy in ["auto", "popularity"] {
        let output = with_input(
            stream_layered().args([
                "plan",
                "--strategy",
                strategy,
                "--closure",
                "-",
                "--format",
                "layers",
            ]),
            text.as_bytes(),
        );
        let layers: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(layers.concat().len(), 2, "{strategy}");
        assert!(!layers.concat().contains(&path(APP)), "{strategy}");
    }
}

#[test]
fn the_database_is_read_while_nix_writes_to_it() {
    let root = store();
    let connection = database(&root);
    // What is committed stays in the write-ahead log while the connection is open.
    register(&connection);
    assert!(
        root.path()
            .join("nix/var/nix/db/db.sqlite-wal")
            .metadata()
            .unwrap()
            .len()
            > 0
    );
    connection
        .execute_batch("begin immediate; delete from Refs")
        .unwrap();
    let mut command = stream_layered();
    command
        .arg("plan")
        .arg("--store")
        .arg(root.path())
        .arg(path(APP))
        .args(["--format", "layers"]);
    let layers: Vec<Vec<String>> = serde_json::from_slice(&succeed(&mut command)).unwrap();
    assert_eq!(layers.concat().len(), 3);
}

#[needs(root)]
#[test]
fn the_database_is_read_by_who_may_not_write_there() {
    let root = store();
    register(&database(&root));
    let everyone =
        |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    everyone(root.path());
    for log in [false, true] {
        let writer =
            log.then(|| Connection::open(root.path().join("nix/var/nix/db/db.sqlite")).unwrap());
        if let Some(writer) = &writer {
            writer
                .execute("update ValidPaths set registrationTime = 2", ())
                .unwrap();
        }
        // The program itself may lie where nobody else may look.
        let program = root.path().join("stream-layered");
        // Not copied by this process: a child of another test's would still have the file open.
        succeed(
            std::process::Command::new("cp")
                .arg(env!("CARGO_BIN_EXE_stream-layered"))
                .arg(&program),
        );
        let mut command = std::process::Command::new(&program);
        command
            .arg("plan")
            .arg("--store")
            .arg(root.path())
            .arg(path(APP))
            .args(["--format", "layers"])
            .uid(65534);
        let layers: Vec<Vec<String>> = serde_json::from_slice(&succeed(&mut command)).unwrap();
        assert_eq!(layers.concat().len(), 3, "a log: {log}");
    }
}

#[test]
fn what_is_not_right_is_refused_with_one_line() {
    let entry = |path: &str, references: &[&str]| json!({"path": path, "narSize": 1, "narHash": HASH, "references": references});
    let (a, b) = (path(APP), path(LIB));
    let cases = [
        (json!([entry(&a, &[&b])]).to_string(), vec![APP, LIB]),
        (
            json!([entry(&a, &[&b]), entry(&b, &[&a])]).to_string(),
            vec![APP, LIB],
        ),
        (
            json!([entry("/etc/passwd", &[])]).to_string(),
            vec!["/etc/passwd"],
        ),
        (
            json!([entry(&format!("{a} b"), &[])]).to_string(),
            vec!["illegal character ' '"],
        ),
        (
            json!([entry(&format!("{a}/bin"), &[])]).to_string(),
            vec!["/bin"],
        ),
        (
            json!([{"path": &a, "narSize": 1}]).to_string(),
            vec![APP, "references"],
        ),
        (
            json!([{"path": &a, "narSize": -1, "references": []}]).to_string(),
            vec!["-1"],
        ),
        (
            json!([entry(&a, &[]), {"path": &a, "narSize": 2, "references": []}]).to_string(),
            vec![APP],
        ),
        (json!({&a: null}).to_string(), vec![APP, "not valid"]),
        (json!("text").to_string(), vec!["exportReferencesGraph"]),
        (format!("{a}\n\n2\n{b}\n"), vec![APP, "not whole"]),
        (format!("{a}\n\nmany\n"), vec!["line 3"]),
        ("\0\u{1}nonsense".to_owned(), vec!["nonsense"]),
    ];
    for (text, says) in cases {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &text).unwrap();
        let line = fail(
            stream_layered()
                .arg("plan")
                .arg("--closure")
                .arg(file.path()),
            1,
        );
        for word in says {
            assert!(line.contains(word), "{text}: {line}");
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_or_a_smaller_closure() {
    for (form, text) in forms() {
        for end in (0..text.len()).step_by(7) {
            let output = with_input(
                stream_layered().args(["plan", "--closure", "-"]),
                &text.as_bytes()[..end],
            );
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "{form} {end}: {said}"
            );
            assert!(!said.contains("panicked"), "{form} {end}: {said}");
        }
    }
}

#[test]
fn paths_that_lead_nowhere_are_told() {
    let root = store();
    register(&database(&root));
    let link = root.path().join("result");
    std::os::unix::fs::symlink(path(APP), &link).unwrap();
    let plan = |place: &Path| {
        let mut command = stream_layered();
        command
            .arg("plan")
            .arg("--store")
            .arg(root.path())
            .arg(place);
        command
    };
    succeed(&mut plan(&link));
    succeed(&mut plan(Path::new(&format!("{}/bin/app", path(APP)))));
    let missing = path(&APP.replace("app", "ape"));
    assert!(fail(&mut plan(Path::new(&missing)), 1).contains("not a valid path"));
    assert!(fail(&mut plan(Path::new("/etc")), 1).contains("does not lie in the store"));
    assert!(fail(&mut plan(Path::new("/nowhere/at/all")), 1).contains("/nowhere/at/all"));
    let nowhere = StoreRoot::new();
    let mut command = stream_layered();
    command
        .arg("plan")
        .arg("--store")
        .arg(nowhere.path())
        .arg(path(APP));
    assert!(fail(&mut command, 1).contains("no Nix database"));
}
