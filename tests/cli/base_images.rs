//! Images on a base image: every kind of docker-archive, and what is wrong with some.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use test_peers::needs;

use crate::support::archive;
use crate::support::program::{fail, sha256, succeed};
use crate::support::store_tree::{Node, StoreRoot, store_path};

const APP: &str = "g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0";

struct Fixture {
    root: StoreRoot,
}

/// Members of an archive: names, and contents or the target of a link.
type Members = Vec<(String, Result<Vec<u8>, &'static str>)>;

impl Fixture {
    fn new() -> Self {
        let root = StoreRoot::new();
        let bin = Node::directory([("app", Node::program())]);
        root.add(APP, &Node::directory([("bin", bin)]), Path::new(""));
        root.describe(&[json!({"path": store_path(APP), "narSize": 1, "references": []})]);
        Self { root }
    }

    fn write(&self, name: &str, members: &Members) -> PathBuf {
        let file = self.root.path().join(name);
        let mut archive = tar::Builder::new(fs::File::create(&file).unwrap());
        for (name, contents) in members {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_mtime(1);
            // Set by hand, since the library would take `./` away.
            header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            match contents {
                Ok(bytes) => {
                    header.set_size(bytes.len() as u64);
                    header.set_cksum();
                    archive.append(&header, bytes.as_slice()).unwrap();
                }
                Err(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    header.set_link_name(target).unwrap();
                    header.set_cksum();
                    archive.append(&header, std::io::empty()).unwrap();
                }
            }
        }
        archive.finish().unwrap();
        file
    }

    fn command(&self, base: &Path) -> Command {
        let mut command = self.root.command(&[]);
        command.arg("--no-cache").arg("--from-image").arg(base);
        command
    }

    fn image(&self, base: &Path) -> PathBuf {
        let image = self.root.path().join("image.tar");
        succeed(self.command(base).arg("-o").arg(&image));
        image
    }
}

/// A layer that holds one file.
fn layer(name: &str, size: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive
        .append_data(&mut header, name, vec![b'x'; size].as_slice())
        .unwrap();
    archive.into_inner().unwrap()
}

fn digest(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    format!("sha256:{}", sha256(file.path()))
}

/// A base of two layers; the upper one's member comes first in the archive.
fn base(prefix: &str) -> Members {
    let (lower, upper) = (layer("lower", 1000), layer("upper", 100_000));
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Env": ["A=base", "B=base"], "Cmd": ["/base"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&lower), digest(&upper)]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": ["base:1"], "Layers": ["lower/layer.tar", "upper/layer.tar"]}]);
    vec![
        (format!("{prefix}upper/layer.tar"), Ok(upper)),
        (
            format!("{prefix}config.json"),
            Ok(config.to_string().into_bytes()),
        ),
        (format!("{prefix}lower/layer.tar"), Ok(lower)),
        (
            format!("{prefix}manifest.json"),
            Ok(manifest.to_string().into_bytes()),
        ),
    ]
}

fn config_of(image: &Path) -> Value {
    archive::config(image).1
}

#[needs("gzip", "zstd", "bzip2", "xz")]
#[test]
fn compressed_and_prefixed_archives_give_the_same_image() {
    let fixture = Fixture::new();
    let plain = fixture.write("base.tar", &base(""));
    let expected = sha256(&fixture.image(&plain));
    let config = config_of(&fixture.image(&plain));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 4);
    assert_eq!(config["config"]["Env"], json!(["A=base", "B=base"]));
    assert_eq!(config["config"]["Cmd"], json!(["/bin/app"]));
    assert_eq!(
        sha256(&fixture.image(&fixture.write("prefixed.tar", &base("./")))),
        expected
    );
    for program in ["gzip", "zstd", "bzip2", "xz"] {
        let compressed = fixture.root.path().join(format!("base.tar.{program}"));
        let bytes = succeed(Command::new(program).arg("-c").arg(&plain));
        fs::write(&compressed, bytes).unwrap();
        assert_eq!(sha256(&fixture.image(&compressed)), expected, "{program}");
    }
}

#[test]
fn the_environment_is_the_base_s_under_the_own() {
    let fixture = Fixture::new();
    let plain = fixture.write("base.tar", &base(""));
    let image = fixture.root.path().join("image.tar");
    succeed(
        fixture
            .command(&plain)
            .args(["-e", "C=own", "-e", "A=own", "-o"])
            .arg(&image),
    );
    assert_eq!(
        config_of(&image)["config"]["Env"],
        json!(["A=own", "B=base", "C=own"])
    );
}

#[test]
fn names_and_links_of_docker_save_are_kept() {
    let fixture = Fixture::new();
    let bytes = layer("file", 10);
    let id = digest(&bytes);
    let blob = format!("blobs/sha256/{}", &id["sha256:".len()..]);
    let config = json!({"rootfs": {"type": "layers", "diff_ids": [id, id]}});
    let manifest =
        json!([{"Config": "config", "RepoTags": null, "Layers": [blob, "again/layer.tar"]}]);
    let members: Members = vec![
        (blob.clone(), Ok(bytes)),
        ("again/layer.tar".to_owned(), Err("../blobs")),
        ("config".to_owned(), Ok(config.to_string().into_bytes())),
        (
            "manifest.json".to_owned(),
            Ok(manifest.to_string().into_bytes()),
        ),
    ];
    let image = fixture.image(&fixture.write("base.tar", &members));
    let output = Command::new("tar")
        .arg("-tvf")
        .arg(&image)
        .output()
        .unwrap();
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        list.contains(&blob) && list.contains("again/layer.tar -> ../blobs"),
        "{list}"
    );
}

#[test]
fn layers_of_the_base_count() {
    let fixture = Fixture::new();
    let plain = fixture.write("base.tar", &base(""));
    let image = fixture.root.path().join("image.tar");
    succeed(
        fixture
            .command(&plain)
            .args(["--max-layers", "4", "-o"])
            .arg(&image),
    );
    let line = fail(
        fixture
            .command(&plain)
            .args(["--max-layers", "3", "-o"])
            .arg(&image),
        2,
    );
    assert!(line.contains("4 or more"), "{line}");
}

#[test]
fn what_is_no_base_image_is_refused() {
    let fixture = Fixture::new();
    let without = |name: &str| -> Members {
        base("")
            .into_iter()
            .filter(|(member, _)| member != name)
            .collect()
    };
    let with = |name: &str, text: &str| -> Members {
        let mut members = without(name);
        members.push((name.to_owned(), Ok(text.as_bytes().to_vec())));
        members
    };
    let cases = [
        (without("manifest.json"), "no manifest.json"),
        (without("config.json"), "no config.json"),
        (without("lower/layer.tar"), "lower/layer.tar"),
        (with("manifest.json", "[]"), "empty"),
        (with("manifest.json", "[{"), "manifest.json"),
        (with("config.json", "{}"), "diff_ids"),
        (
            with("config.json", r#"{"rootfs": {"diff_ids": ["sha256:00"]}}"#),
            "2 layers",
        ),
        (
            with(
                "config.json",
                r#"{"rootfs": {"diff_ids": ["sha256:00", "x"]}}"#,
            ),
            "is not a digest",
        ),
    ];
    for (members, says) in cases {
        let file = fixture.write("base.tar", &members);
        let line = fail(fixture.command(&file).args(["-o", "/dev/null"]), 1);
        assert!(
            line.contains("base.tar") && line.contains(says),
            "{says}: {line}"
        );
    }
    let whole = fs::read(fixture.write("base.tar", &base(""))).unwrap();
    let cut = fixture.root.path().join("cut.tar");
    for end in [0, 100, 5000, 60_000, whole.len() - 3000] {
        fs::write(&cut, &whole[..end]).unwrap();
        let line = fail(fixture.command(&cut).args(["-o", "/dev/null"]), 1);
        assert!(line.contains("cut.tar"), "{end}: {line}");
    }
    let line = fail(
        fixture
            .command(Path::new("/nowhere.tar"))
            .args(["-o", "/dev/null"]),
        1,
    );
    assert!(line.contains("/nowhere.tar"), "{line}");
}
