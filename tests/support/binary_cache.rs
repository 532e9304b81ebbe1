//! Binary caches without Nix: a directory that is filled from a store, and a web server for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use nix_compat::StoreDir;
use nix_compat::tree::{Contents, Opened, TreeError, Trees as _, Visit};
use oci::Digest;
use stores::LocalStore;

/// A directory on the loopback device, until the process ends.
pub struct Server {
    /// Its address.
    pub url: String,
    sent: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Server {
    /// Serves a directory.
    pub fn start(directory: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::default();
        let server = Self {
            url,
            sent: Arc::clone(&sent),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (directory, sent) = (directory.clone(), Arc::clone(&sent));
                thread::spawn(move || answer(&stream, &directory, &sent));
            }
        });
        server
    }

    /// How many bytes of each file were sent since this was asked last.
    pub fn sent(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

/// Answers the requests of one connection.
fn answer(stream: &TcpStream, directory: &Path, sent: &Mutex<BTreeMap<String, u64>>) {
    let mut reader = BufReader::new(stream);
    let mut stream = stream;
    loop {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(count) if count > 2 => {}
                Ok(2) => break,
                _ => return,
            }
            if let Some(rest) = line.strip_prefix("GET /") {
                name = rest.split(' ').next().unwrap().to_owned();
            }
        }
        let Ok(file) = fs::read(directory.join(&name)) else {
            let none = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(none.as_bytes());
            continue;
        };
        *sent.lock().unwrap().entry(name).or_default() += file.len() as u64;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&file);
    }
}

/// Makes an empty cache.
pub fn create(cache: &Path) {
    fs::create_dir_all(cache.join("nar")).unwrap();
    fs::write(cache.join("nix-cache-info"), "StoreDir: /nix/store\n").unwrap();
}

/// Adds a store path of a store to a cache, unsigned.
pub fn add(cache: &Path, store: &LocalStore, base_name: &str) {
    let path = StoreDir::default().parse_base_name(base_name).unwrap();
    let mut sorted = ByBytes::default();
    store.files().visit(&path, &mut sorted).unwrap();
    let nar = sorted.nar(path.as_str().len());
    let hash = Digest::of(&nar);
    let name = format!("nar/{}.nar", path.hash());
    fs::write(cache.join(&name), &nar).unwrap();
    let narinfo = format!(
        "StorePath: {path}\nURL: {name}\nCompression: none\nNarHash: {hash}\nNarSize: {}\nReferences: \n",
        nar.len()
    );
    fs::write(cache.join(format!("{}.narinfo", path.hash())), narinfo).unwrap();
}

enum Kept {
    Directory,
    File(bool, Vec<u8>),
    Symlink(Vec<u8>),
}

/// A tree in the order of a NAR: that of its names' bytes, part by part.
#[derive(Default)]
struct ByBytes(BTreeMap<Vec<Vec<u8>>, Kept>);

impl ByBytes {
    fn keep(&mut self, path: &[u8], kept: Kept) {
        let parts = path.split(|&byte| byte == b'/').map(<[u8]>::to_vec);
        self.0.insert(parts.collect(), kept);
    }

    fn nar(&self, root: usize) -> Vec<u8> {
        let mut nar = nix_compat::nar::Writer::new(Vec::new());
        for (parts, kept) in &self.0 {
            let path = parts.join(&b'/');
            let inside = path.get(root + 1..).unwrap_or_default();
            match kept {
                Kept::Directory => nar.directory(inside),
                Kept::Symlink(target) => nar.symlink(inside, target),
                Kept::File(executable, bytes) => nar.file(
                    inside,
                    *executable,
                    bytes.len() as u64,
                    &mut bytes.as_slice(),
                ),
            }
            .unwrap();
        }
        nar.finish().unwrap()
    }
}

impl Visit for ByBytes {
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.keep(path, Kept::Directory);
        Ok(())
    }

    fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        contents: &mut dyn Contents,
    ) -> Result<(), TreeError> {
        let mut bytes = Vec::new();
        match contents.open()? {
            Opened::File(mut file) => std::io::Read::read_to_end(&mut file, &mut bytes),
            Opened::Stream(mut stream) => stream.read_to_end(&mut bytes),
            _ => panic!("opened otherwise"),
        }
        .unwrap();
        self.keep(path, Kept::File(executable, bytes));
        Ok(())
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        self.keep(path, Kept::Symlink(target.to_vec()));
        Ok(())
    }
}
