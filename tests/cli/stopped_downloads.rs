//! Runs that are stopped in the middle of a download from a binary cache, by a server that stands
//! still there: nothing is left of them.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use nix_compat::nar;
use oci::Digest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::support::program::{stream_layered, succeed};

const PATH: &str = "/nix/store/g86nplrhlhz6lr3f7aj1fb17m460rakb-app-1.0";
/// More than a socket takes that nobody reads.
const LARGE: usize = 24 << 20;

/// A cache with one path, and a server that sends half of its NAR and then nothing.
struct Stalling {
    directory: TempDir,
    url: String,
    stalls: Arc<AtomicBool>,
    /// Connections that stand still. They are held open.
    stalled: Receiver<TcpStream>,
}

impl Stalling {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        for name in ["cache", "spools", "images"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        make_cache(&directory.path().join("cache"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stalls = Arc::new(AtomicBool::new(true));
        let (sender, stalled) = channel();
        let serve = Serve {
            cache: directory.path().join("cache"),
            stalls: Arc::clone(&stalls),
            sender: Mutex::new(sender),
        };
        thread::spawn(move || {
            thread::scope(|scope| {
                for stream in listener.incoming().flatten() {
                    // The client goes away when it is stopped.
                    scope.spawn(|| serve.connection(stream));
                }
            });
        });
        Self {
            directory,
            url,
            stalls,
            stalled,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = stream_layered();
        command
            .args(["-q", "--no-cache", "--no-require-sigs", "--cmd", "/bin/app"])
            .args(["--store", &self.url, PATH])
            .args(more)
            .env("TMPDIR", self.path("spools"));
        command
    }

    /// Starts a run, and stops it when the server stands still.
    fn stop(&self, more: &[&str], output: &Path, signal: Signal) {
        let mut child = self
            .command(more)
            .arg("-o")
            .arg(output)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _connection = self.stalled.recv().unwrap();
        assert!(has_open(&child, &self.path("spools")));
        assert!(has_open(&child, &self.path("images")));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(!child.wait().unwrap().success());
    }
}

/// Whether a process has a file of a directory open.
fn has_open(child: &Child, directory: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .any(|file| file.starts_with(directory))
}

fn make_cache(cache: &Path) {
    let contents = vec![7; LARGE];
    let mut nar = nar::Writer::new(Vec::new());
    nar.directory(b"").unwrap();
    // A name for which a part of the tree is put aside, since visitors have another order.
    let name = "\u{e000}".as_bytes();
    nar.file(name, false, LARGE as u64, &mut contents.as_slice())
        .unwrap();
    let nar = nar.finish().unwrap();
    let narinfo = format!(
        "StorePath: {PATH}\nURL: app.nar\nCompression: none\nNarHash: {}\nNarSize: {}\nReferences: \n",
        Digest::of(&nar),
        nar.len()
    );
    let hash = &PATH["/nix/store/".len()..][..32];
    // With a listing, the NAR is asked for once, for the layer.
    let file = json!({"type": "regular", "size": LARGE, "narOffset": 0});
    let root = json!({"type": "directory", "entries": {"\u{e000}": file}});
    let listing = json!({"version": 1, "root": root}).to_string();
    fs::write(cache.join(format!("{hash}.ls")), listing).unwrap();
    fs::write(cache.join("app.nar"), nar).unwrap();
    fs::write(cache.join(format!("{hash}.narinfo")), narinfo).unwrap();
    fs::write(cache.join("nix-cache-info"), "StoreDir: /nix/store\n").unwrap();
}

struct Serve {
    cache: PathBuf,
    stalls: Arc<AtomicBool>,
    sender: Mutex<Sender<TcpStream>>,
}

impl Serve {
    fn connection(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut request = String::new();
            reader.read_line(&mut request).ok()?;
            let name = request.strip_prefix("GET /")?.split(' ').next()?;
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).ok()?;
            }
            let Ok(file) = fs::read(self.cache.join(name)) else {
                stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    .ok()?;
                continue;
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
            stream.write_all(head.as_bytes()).ok()?;
            if name.ends_with(".nar") && self.stalls.load(Ordering::Relaxed) {
                stream.write_all(&file[..file.len() / 2]).ok()?;
                return self.sender.lock().ok()?.send(stream).ok();
            }
            stream.write_all(&file).ok()?;
        }
    }
}

/// All files and directories below one.
fn below(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let inside = below(&entry.path());
            names.extend(inside.iter().map(|inside| format!("{name}/{inside}")));
        }
        names.push(name);
    }
    names.sort();
    names
}

#[test]
fn nothing_is_left_of_a_run_that_was_stopped_in_the_middle_of_a_nar() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let server = Stalling::start();
        let images = server.path("images");
        server.stop(&[], &images.join("image.tar"), signal);
        server.stop(
            &["--format", "oci-archive"],
            &images.join("image.oci"),
            signal,
        );
        assert!(below(&images).is_empty(), "{:?}", below(&images));
        assert!(below(&server.path("spools")).is_empty());
    }
}

#[test]
fn a_layout_is_gone_on_with_after_a_run_that_was_stopped() {
    let server = Stalling::start();
    let images = server.path("images");
    let layout = images.join("layout");
    for signal in [Signal::INT, Signal::KILL] {
        server.stop(&["--format", "oci"], &layout, signal);
        let left = below(&layout);
        let of_layout = ["blobs", "blobs/sha256", "oci-layout"];
        assert!(
            left.iter()
                .all(|name| is_blob(name) || of_layout.contains(&&**name)),
            "{left:?}"
        );
        assert!(below(&server.path("spools")).is_empty());
    }
    // As a run leaves it where file systems have no files without a name.
    File::create(layout.join(".stream-layered-abcdef")).unwrap();
    server.stalls.store(false, Ordering::Relaxed);
    succeed(server.command(&["--format", "oci"]).arg("-o").arg(&layout));
    assert!(layout.join("index.json").exists());
    assert!(!layout.join(".stream-layered-abcdef").exists());
    assert!(below(&server.path("spools")).is_empty());
}

/// Whether a file is one of the blobs that are whole: of this image, only the small ones.
fn is_blob(name: &str) -> bool {
    name.strip_prefix("blobs/sha256/")
        .is_some_and(|name| name.len() == 64)
}
