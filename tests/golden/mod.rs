//! Configurations with the digests that nixpkgs' streamer gives for them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::support::archive;
use crate::support::program::{sha256, stream_layered, succeed};
use crate::support::store_tree::{Node, StoreRoot};

#[derive(Deserialize)]
pub struct Case {
    says: String,
    pub store: Vec<StorePath>,
    pub conf: Value,
    expect: Expect,
}

#[derive(Deserialize)]
pub struct StorePath {
    pub name: String,
    node: Node,
}

#[derive(Deserialize)]
struct Expect {
    layers: Vec<ExpectedLayer>,
    image_id: String,
    archive_sha256: String,
    archive_size: u64,
}

#[derive(Deserialize)]
struct ExpectedLayer {
    diff_id: String,
}

/// A case with its store laid out.
pub struct LaidOut {
    pub case: Case,
    pub root: StoreRoot,
}

fn directory() -> PathBuf {
    crate::support::program::repository().join("tests/golden")
}

pub fn lay_out(name: &str) -> LaidOut {
    let text = fs::read(directory().join(name).with_extension("json")).unwrap();
    let case: Case = serde_json::from_slice(&text).unwrap();
    let root = StoreRoot::new();
    for path in &case.store {
        root.add(&path.name, &path.node, &directory());
    }
    let conf = serde_json::to_string(&case.conf).unwrap();
    fs::write(root.path().join("conf.json"), conf).unwrap();
    LaidOut { case, root }
}

pub fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 14, "the cases are gone: {names:?}");
    names
}

impl LaidOut {
    /// The digests of the layers' tars that nixpkgs' streamer gives.
    pub fn diff_ids(&self) -> Vec<&str> {
        let layers = self.case.expect.layers.iter();
        layers.map(|layer| layer.diff_id.as_str()).collect()
    }

    fn stream(&self, jobs: &str, output: &Path) {
        succeed(
            stream_layered()
                .args(["--store", self.root.path().to_str().unwrap()])
                .args([
                    "--conf".as_ref(),
                    self.root.path().join("conf.json").as_os_str(),
                    "--jobs".as_ref(),
                    jobs.as_ref(),
                    "-o".as_ref(),
                    output.as_os_str(),
                ]),
        );
    }
}

#[test]
fn archives_are_nixpkgs_to_the_byte() {
    for name in names() {
        let laid_out = lay_out(&name);
        let says = &laid_out.case.says;
        let archive = laid_out.root.path().join("image.tar");
        laid_out.stream("2", &archive);
        let expect = &laid_out.case.expect;
        let (config, diff_ids) = config_of(&archive);
        assert_eq!(diff_ids, laid_out.diff_ids(), "{name}: {says}");
        assert_eq!(
            format!("sha256:{config}"),
            expect.image_id,
            "{name}: {says}"
        );
        assert_eq!(
            fs::metadata(&archive).unwrap().len(),
            expect.archive_size,
            "{name}: {says}"
        );
        assert_eq!(sha256(&archive), expect.archive_sha256, "{name}: {says}");
    }
}

#[test]
fn bytes_depend_on_no_machine() {
    let laid_out = lay_out("unicode");
    let expected = &laid_out.case.expect.archive_sha256;
    let archive = laid_out.root.path().join("image.tar");
    for (jobs, locale, zone) in [
        ("1", "C", "UTC"),
        ("2", "de_DE.UTF-8", "Asia/Tokyo"),
        ("7", "tr_TR", "America/Lima"),
    ] {
        let mut command = stream_layered();
        command
            .env("LC_ALL", locale)
            .env("TZ", zone)
            .args(["--jobs", jobs]);
        command
            .arg("--store")
            .arg(laid_out.root.path())
            .arg("--conf")
            .arg(laid_out.root.path().join("conf.json"));
        fs::write(&archive, succeed(&mut command)).unwrap();
        assert_eq!(&sha256(&archive), expected, "{jobs} {locale} {zone}");
    }
}

/// Processors without instructions for SHA-256 hash many layers at once in vector registers. Where
/// the processor lacks some of these, this is the same several times.
#[test]
fn bytes_depend_on_no_way_to_hash() {
    let laid_out = lay_out("many-layers");
    let expected = &laid_out.case.expect.archive_sha256;
    let archive = laid_out.root.path().join("image.tar");
    for lanes in ["off", "avx2", "avx512", "sha-ni", "armv8"] {
        let mut command = stream_layered();
        command
            .env("STREAM_LAYERED_LANES", lanes)
            .arg("--store")
            .arg(laid_out.root.path())
            .arg("--conf")
            .arg(laid_out.root.path().join("conf.json"))
            .arg("--no-cache");
        fs::write(&archive, succeed(&mut command)).unwrap();
        assert_eq!(&sha256(&archive), expected, "{lanes}");
    }
}

/// Name of the configuration, and the digests that it lists.
pub fn config_of(archive: &Path) -> (String, Vec<String>) {
    let (member, config) = archive::config(archive);
    let diff_ids = config["rootfs"]["diff_ids"].clone();
    (
        member.strip_suffix(".json").unwrap().to_owned(),
        serde_json::from_value(diff_ids).unwrap(),
    )
}
