//! Unlucky and hostile runs, many of each kind: killed at any time, at the same time, with a damaged
//! cache, under limits. Whatever happens, what has its final name is whole, and the bytes are the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use test_peers::needs;

use crate::support::app::App;
use crate::support::program::{sha256, stderr, stream_layered, succeed};

/// Kills spread over the time that a run takes, and past its end.
const KILLS: u64 = 24;

/// Runs at the same time.
const AT_ONCE: usize = 12;

fn start(command: &mut Command) -> Child {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().unwrap()
}

/// Kills runs of a command, each some milliseconds later than the one before, and checks after each.
fn killed(command: impl Fn() -> Command, check: impl Fn()) {
    for number in 0..KILLS {
        let mut child = start(&mut command());
        std::thread::sleep(Duration::from_millis(number * number));
        // It may have ended.
        let _ = child.kill();
        child.wait().unwrap();
        check();
    }
}

/// Names in a directory, without the app's own.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// All blobs of a layout, each of which must be what its name says.
fn blobs(layout: &Path) -> Vec<PathBuf> {
    let directory = layout.join("blobs/sha256");
    if !directory.exists() {
        return Vec::new();
    }
    let blobs = names(&directory);
    let blobs = blobs.into_iter().filter(|name| !name.starts_with('.'));
    let blobs: Vec<PathBuf> = blobs.map(|name| directory.join(name)).collect();
    for blob in &blobs {
        assert!(blob.ends_with(sha256(blob)), "{}", blob.display());
    }
    blobs
}

#[test]
fn killed_while_an_archive_is_written() {
    let app = App::new(2 << 20);
    let out = app.directory().join("out");
    fs::create_dir(&out).unwrap();
    let image = out.join("image.tar");
    for compression in ["none", "gzip"] {
        let run = || {
            let mut command = app.command(&["stream", "-q", "--compression", compression]);
            command.arg("-o").arg(&image);
            command
        };
        succeed(&mut run());
        let whole = fs::read(&image).unwrap();
        fs::write(&image, "before").unwrap();
        killed(run, || {
            let now = fs::read(&image).unwrap();
            assert!(now == b"before" || now == whole);
        });
        succeed(&mut run());
        assert!(fs::read(&image).unwrap() == whole);
    }
    assert_eq!(names(&out), ["image.tar"]);
}

#[test]
fn killed_while_a_layout_is_written() {
    let app = App::new(2 << 20);
    let layout = app.directory().join("layout");
    let run = || {
        let mut command = app.command(&["stream", "-q", "--format", "oci"]);
        command.arg("-o").arg(&layout);
        command
    };
    killed(run, || drop(blobs(&layout)));
    succeed(&mut run());
    let blobs = blobs(&layout);
    // Nothing that was begun is left beside them.
    assert_eq!(names(&layout.join("blobs/sha256")).len(), blobs.len());
}

#[test]
fn many_at_once_with_one_cache_and_one_layout() {
    let app = App::new(300_000);
    let layout = app.directory().join("layout");
    let whole = succeed(&mut app.command(&["stream", "-q", "--no-cache"]));
    let at = |number: usize| app.directory().join(format!("image-{number}"));
    let mut children = Vec::new();
    for number in 0..AT_ONCE {
        let mut archive = app.command(&["stream", "-q"]);
        children.push(start(archive.arg("-o").arg(at(number))));
        let name = format!("app:{number}");
        let mut oci = app.command(&["stream", "-q", "--format", "oci", "-t", &name]);
        children.push(start(oci.arg("-o").arg(&layout)));
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for number in 0..AT_ONCE {
        assert!(fs::read(at(number)).unwrap() == whole, "{number}");
    }
    blobs(&layout);
    let index = fs::read_to_string(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), AT_ONCE);
    assert!(
        manifests
            .iter()
            .all(|other| other["digest"] == manifests[0]["digest"])
    );
}

#[test]
fn a_damaged_cache_changes_no_byte() {
    let app = App::new(300_000);
    let whole = succeed(&mut app.command(&["stream", "-q"]));
    let file = app.directory().join("cache/layers-v1");
    let good = fs::read(&file).unwrap();
    let lines: Vec<&[u8]> = good.split(|&byte| byte == b'\n').collect();
    let mut reversed = lines.clone();
    reversed.reverse();
    let mut damaged = vec![
        Vec::new(),
        vec![0; 5000],
        reversed.join(&b'\n'),
        good[good.len() / 3..].to_vec(),
        good[..good.len() - 20].to_vec(),
        [&good[..], &[0xff; 300]].concat(),
    ];
    for at in (0..good.len()).step_by(37) {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        damaged.push(flipped);
    }
    for bytes in damaged {
        fs::write(&file, &bytes).unwrap();
        let again = succeed(&mut app.command(&["stream", "-q"]));
        assert!(again == whole, "{:?}", String::from_utf8_lossy(&bytes));
    }
}

/// The same bytes, or one line.
#[needs("prlimit")]
#[test]
fn limits_of_the_system_with_several_jobs() {
    let app = App::new(300_000);
    let whole = succeed(&mut app.command(&["stream", "-q", "--no-cache"]));
    for limit in [
        "--nofile=64",
        "--nofile=24",
        "--nofile=8",
        "--stack=1000000",
        "--core=0",
    ] {
        for jobs in ["1", "2", "64"] {
            let command = app.command(&["stream", "-q", "--no-cache", "--jobs", jobs]);
            let mut limited = Command::new("prlimit");
            limited
                .args([limit, "--"])
                .arg(stream_layered().get_program());
            let output = limited.args(command.get_args()).output().unwrap();
            let text = stderr(&output);
            if output.status.success() {
                assert!(output.stdout == whole, "{limit} {jobs}");
            } else {
                assert_eq!(output.status.code(), Some(1), "{limit} {jobs}: {text}");
                assert_eq!(text.matches("error: ").count(), 1, "{limit} {jobs}: {text}");
            }
        }
    }
}
