//! Every file that is read from outside, as a pipe, a device, a huge file, and with one byte changed.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};
use serde_json::json;

use crate::support::app::App;
use crate::support::program::{stderr, stream_layered};

/// What a run may take before it counts as one that hangs: far more than any does.
const TOO_LONG: Duration = Duration::from_secs(60);

/// Memory that no run comes near to, in KiB, and each of these would fill.
const MOST_MEMORY: &str = "1500000";

/// Puts something at a path.
type Make = fn(&Path);

/// How the program is brought to read a file.
struct Reader {
    name: &'static str,
    /// A file that it can read.
    good: Vec<u8>,
    /// Where it has to lie.
    file: PathBuf,
    command: Command,
    /// What cannot be read is passed over: the run succeeds.
    passes_over: bool,
    /// Whether a changed byte is found: it breaks the form.
    finds_changes: bool,
}

/// All of them, on one app.
fn readers(app: &App) -> Vec<Reader> {
    let directory = app.directory();
    let at = |name: &str| directory.join(name);
    let text = |path: PathBuf| path.into_os_string().into_string().unwrap();
    let closure = fs::read(at("graph.json")).unwrap();
    let stream = |options: &[&str]| app.command(&[&["stream", "-q"], options].concat());
    let fails = |name, good: &[u8], file: PathBuf, command| Reader {
        name,
        good: good.to_vec(),
        file,
        command,
        passes_over: false,
        finds_changes: true,
    };
    let image = at("image");
    let conf = json!({
        "architecture": "amd64", "config": {}, "os": "linux", "store_dir": "/nix/store",
        "from_image": null, "store_layers": [], "customisation_layer": image, "repo_tag": "a:1",
        "created": "1970-01-01T00:00:01+00:00", "mtime": "1970-01-01T00:00:01+00:00",
        "uid": "0", "gid": "0", "uname": "root", "gname": "root",
    });
    fs::create_dir_all(&image).unwrap();
    fs::write(image.join("layer.tar"), [0; 1024]).unwrap();
    fs::write(at("good.conf"), conf.to_string()).unwrap();
    let of_conf = |file: &str| {
        let mut command = stream_layered();
        command
            .args(["stream", "-q", "--no-cache", "--conf"])
            .arg(at(file));
        command
    };
    let registry = registry_that_asks_for_a_login();
    let push = |variable: &str, value: &Path| {
        let mut command = app.command(&["push", "-q", &format!("{registry}/a:1")]);
        command.env(variable, value);
        command
    };
    let bucket = |variable: &str, value: &Path| {
        let mut command = stream_layered();
        command.args([
            "stream",
            "-q",
            "--store",
            "s3://bucket?endpoint=127.0.0.1:1&scheme=http",
        ]);
        command.env("HOME", at("home")).env(variable, value);
        command.arg("/nix/store/g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0");
        command
    };
    let http = |variable: &str, value: &Path| {
        let mut command = stream_layered();
        command.args(["stream", "-q", "--store", "http://127.0.0.1:1"]);
        command.env("HOME", at("home")).env(variable, value);
        command.arg("/nix/store/g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0");
        command
    };
    let file_cache = {
        let mut command = stream_layered();
        command
            .arg("--store")
            .arg(format!("file://{}", text(at("binary-cache"))));
        command.arg("/nix/store/g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0");
        command
    };
    let database = {
        let mut command = stream_layered();
        command.arg("--store").arg(at("other-store"));
        command.arg("/nix/store/g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0");
        command
    };
    for directory in [
        "home",
        "docker",
        "nix",
        "binary-cache",
        "other-store/nix/var/nix/db",
        "other-store/nix/store",
    ] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    let closure_option = |file: &str| {
        let mut command = stream_layered();
        command
            .args(["stream", "-q", "--cmd", "x", "--no-cache", "--store"])
            .arg(directory);
        command.arg("--closure").arg(at(file));
        command.arg("/nix/store/g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0");
        command
    };
    vec![
        fails(
            "--closure",
            &closure,
            at("closure"),
            closure_option("closure"),
        ),
        fails(
            "--conf",
            conf.to_string().as_bytes(),
            at("conf"),
            of_conf("conf"),
        ),
        Reader {
            finds_changes: false,
            ..fails(
                "layer.tar",
                &[0; 1024],
                image.join("layer.tar"),
                of_conf("good.conf"),
            )
        },
        Reader {
            passes_over: true,
            ..fails(
                "checksum",
                &[b'0'; 64],
                image.join("checksum"),
                of_conf("good.conf"),
            )
        },
        fails(
            "--config",
            b"{}",
            at("config"),
            stream(&["--config", &format!("@{}", text(at("config")))]),
        ),
        fails(
            "--strategy",
            br#"[["popularity_contest"]]"#,
            at("pipeline.json"),
            {
                let mut command = closure_option("graph.json");
                command.arg("--strategy").arg(at("pipeline.json"));
                command
            },
        ),
        fails(
            "--previous",
            b"{\"layers\": []}",
            at("plan"),
            stream(&["--previous", &text(at("plan"))]),
        ),
        fails(
            "config.json",
            b"{}",
            at("docker/config.json"),
            push("DOCKER_CONFIG", &at("docker")),
        ),
        fails(
            "REGISTRY_AUTH_FILE",
            b"{}",
            at("auth.json"),
            push("REGISTRY_AUTH_FILE", &at("auth.json")),
        ),
        Reader {
            finds_changes: false,
            ..fails(
                "AWS_CONFIG_FILE",
                b"[default]\n",
                at("aws"),
                bucket("AWS_CONFIG_FILE", &at("aws")),
            )
        },
        Reader {
            finds_changes: false,
            ..fails(
                "NETRC",
                b"default login x",
                at("netrc"),
                http("NETRC", &at("netrc")),
            )
        },
        Reader {
            finds_changes: false,
            ..fails(
                "nix.conf",
                b"cores = 1\n",
                at("nix/nix.conf"),
                http("NIX_CONF_DIR", &at("nix")),
            )
        },
        fails(
            "NIX_SSL_CERT_FILE",
            b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
            at("certificates"),
            http("NIX_SSL_CERT_FILE", &at("certificates")),
        ),
        fails("--trusted-key", b"a-1:AAAA", at("key"), {
            let mut command = http("X", Path::new(""));
            command
                .arg("--trusted-key")
                .arg(format!("@{}", text(at("key"))));
            command
        }),
        fails(
            "nix-cache-info",
            b"StoreDir: /nix/store\n",
            at("binary-cache/nix-cache-info"),
            file_cache,
        ),
        fails(
            "db.sqlite",
            b"no database",
            at("other-store/nix/var/nix/db/db.sqlite"),
            database,
        ),
        Reader {
            passes_over: true,
            ..fails("layers-v1", b"", at("cache/layers-v1"), stream(&[]))
        },
    ]
}

/// The address of a registry that nobody gets into: a client looks for logins.
fn registry_that_asks_for_a_login() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                          Content-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// Runs a command that must neither hang nor take much memory.
fn run(reader: &mut Reader, how: &str) -> Output {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--data={}", MOST_MEMORY.to_owned() + "000"));
    limited
        .arg("--")
        .arg(reader.command.get_program())
        .args(reader.command.get_args());
    for (name, value) in reader.command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let mut child = limited
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > TOO_LONG {
            child.kill().unwrap();
            panic!("{} hangs on {how}", reader.name);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

fn remove(file: &Path) {
    let _ = fs::remove_file(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
}

#[test]
fn no_reader_waits_for_a_pipe_or_reads_without_end() {
    let ways: [(&str, &str, Make); 4] = [
        ("a pipe", "named pipe", |file| {
            rustix::fs::mknodat(CWD, file, FileType::Fifo, Mode::RWXU, 0).unwrap();
        }),
        ("/dev/zero", "device", |file| {
            symlink("/dev/zero", file).unwrap();
        }),
        ("3 GB", "limit of", |file| {
            // As JSON begins.
            fs::write(file, "{").unwrap();
            let file = File::options().write(true).open(file).unwrap();
            file.set_len(3 << 30).unwrap();
        }),
        ("a directory", "", |file| fs::create_dir(file).unwrap()),
    ];
    for (how, says, make) in ways {
        let app = App::new(10);
        for mut reader in readers(&app) {
            // The layer of 3 GB is one, and has no limit.
            if reader.name == "layer.tar" && how == "3 GB" {
                continue;
            }
            let before = fs::read(&reader.file).ok();
            remove(&reader.file);
            make(&reader.file);
            let output = run(&mut reader, how);
            let text = stderr(&output);
            let name = reader.name;
            if reader.passes_over {
                assert!(output.status.success(), "{name}, {how}: {text}");
            } else {
                let code = output.status.code();
                assert!(
                    matches!(code, Some(1 | 2)),
                    "{name}, {how}: {code:?}: {text}"
                );
                let errors = text.lines().filter(|line| line.starts_with("error: "));
                assert_eq!(errors.count(), 1, "{name}, {how}: {text}");
                let file = reader.file.to_str().unwrap();
                assert!(text.contains(file), "{name}, {how}: {text}");
                // SQLite reads pages as it needs them, whatever the size; a cache's documents have
                // the same limit from a server.
                let is_large = how == "3 GB" && ["db.sqlite", "nix-cache-info"].contains(&name);
                let is_told = text.contains(says) || is_large;
                assert!(is_told, "{name}, {how}: {text}");
            }
            match fs::symlink_metadata(&reader.file).unwrap().is_dir() {
                true => fs::remove_dir(&reader.file).unwrap(),
                false => fs::remove_file(&reader.file).unwrap(),
            }
            if let Some(before) = before {
                fs::write(&reader.file, before).unwrap();
            }
        }
    }
}

/// A byte that is no part of the form, at the start and at the end.
#[test]
fn a_changed_byte_is_an_error_and_no_panic() {
    let app = App::new(10);
    for mut reader in readers(&app) {
        for at_end in [false, true] {
            let before = fs::read(&reader.file).ok();
            let mut bytes = reader.good.clone();
            let at = if at_end {
                bytes.len().saturating_sub(1)
            } else {
                0
            };
            match bytes.get_mut(at) {
                Some(byte) => *byte = 0xff,
                None => bytes.push(0xff),
            }
            remove(&reader.file);
            fs::write(&reader.file, bytes).unwrap();
            let output = run(&mut reader, "a changed byte");
            let (name, text) = (reader.name, stderr(&output));
            assert!(!text.contains("panicked"), "{name}: {text}");
            if reader.passes_over {
                assert!(output.status.success(), "{name}: {text}");
            } else if reader.finds_changes {
                assert!(!output.status.success(), "{name}");
            }
            fs::remove_file(&reader.file).unwrap();
            if let Some(before) = before {
                fs::write(&reader.file, before).unwrap();
            }
        }
    }
}

/// What shells put in place of `<(command)`, and standard input.
#[test]
fn a_closure_that_a_command_prints() {
    let app = App::new(10);
    let closure = app.directory().join("graph.json");
    for word in ["<(cat \"$1\")", "- < \"$1\"", "/dev/stdin < \"$1\""] {
        let mut run = Command::new("bash");
        let script = format!(
            "exec \"$0\" stream -q --no-cache --cmd x --store \"$2\" --closure {word} \
             /nix/store/g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0"
        );
        run.args(["-c", &script])
            .arg(stream_layered().get_program());
        run.arg(&closure).arg(app.directory());
        let output = run.output().unwrap();
        assert!(output.status.success(), "{word}: {}", stderr(&output));
    }
}
