//! A server that answers as Docker does, or otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

/// What becomes of a request.
pub(crate) enum Reply {
    /// It is answered.
    Answer(u16, String),
    /// It is never answered.
    Silence,
    /// Half of this answer comes, and then the connection ends.
    Cut(String),
}

impl Reply {
    pub(crate) fn json(value: &Value) -> Self {
        Self::Answer(200, value.to_string())
    }

    pub(crate) fn not_found() -> Self {
        Self::Answer(404, json!({"message": "No such image"}).to_string())
    }
}

/// A request, with all of its body.
pub(crate) struct Request {
    /// Method and path: `GET /info`.
    pub(crate) line: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Docker {
    directory: TempDir,
    log: Arc<Mutex<Vec<String>>>,
}

impl Docker {
    /// Serves until the process ends.
    pub(crate) fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("sock")).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (noted, reply) = (Arc::clone(&log), Arc::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, reply) = (Arc::clone(&noted), Arc::clone(&reply));
                thread::spawn(move || serve(&stream, &noted, &*reply));
            }
        });
        Self { directory, log }
    }

    /// One that answers nothing.
    pub(crate) fn silent() -> Self {
        Self::start(|_| Reply::Silence)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    pub(crate) fn host(&self) -> String {
        host(&self.socket())
    }

    /// Methods and paths of the requests so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

/// A socket's address as variables have it.
pub(crate) fn host(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

fn serve(
    stream: &UnixStream,
    log: &Mutex<Vec<String>>,
    reply: &dyn Fn(&Request) -> Reply,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    let mut is_chunked = false;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        is_chunked |= header
            .to_ascii_lowercase()
            .starts_with("transfer-encoding: chunked");
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = Vec::new();
    while is_chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = u64::from_str_radix(size.trim(), 16).ok()?;
        (&mut reader).take(size).read_to_end(&mut body).ok()?;
        reader.read_line(&mut String::new()).ok()?;
        is_chunked = size > 0;
    }
    log.lock().unwrap().push(line.clone());
    let head = |status, body: &str| {
        format!(
            "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
    };
    let mut stream = stream;
    match reply(&Request { line, body }) {
        Reply::Answer(status, body) => stream
            .write_all((head(status, &body) + &body).as_bytes())
            .ok(),
        Reply::Cut(body) => {
            let half = &body[..body.len() / 2];
            stream.write_all((head(200, &body) + half).as_bytes()).ok()
        }
        Reply::Silence => {
            // Until the client goes away.
            let _ = stream.read(&mut [0]);
            None
        }
    }
}

/// Answers as a Docker with its own store that has no images, and takes every one.
pub(crate) struct Classic {
    /// What `GET /info` gives.
    pub(crate) info: Value,
    /// Digests of the layers of the image that was loaded last.
    loaded: Mutex<Option<Vec<String>>>,
}

impl Classic {
    pub(crate) fn new(info: Value) -> Self {
        Self {
            info,
            loaded: Mutex::default(),
        }
    }

    pub(crate) fn reply(&self, request: &Request) -> Reply {
        let line = request.line.as_str();
        if line == "GET /_ping" {
            Reply::Answer(200, "OK".to_owned())
        } else if line == "GET /info" {
            Reply::json(&self.info)
        } else if line.starts_with("GET /images/json") {
            Reply::json(&json!([]))
        } else if line == "POST /images/load" {
            *self.loaded.lock().unwrap() = Some(diff_ids(&request.body));
            Reply::json(&json!({"stream": "Loaded image"}))
        } else if line.starts_with("GET /images/sha256:") {
            self.inspected(line)
        } else if line.starts_with("POST /images/") && line.contains("/tag?") {
            Reply::Answer(201, String::new())
        } else if line.starts_with("DELETE /images/") {
            Reply::json(&json!([]))
        } else {
            Reply::not_found()
        }
    }

    fn inspected(&self, line: &str) -> Reply {
        let Some(layers) = &*self.loaded.lock().unwrap() else {
            return Reply::not_found();
        };
        let id = line
            .trim_start_matches("GET /images/")
            .split('/')
            .next()
            .unwrap();
        let manifest = json!({
            "Available": true,
            "Size": {"Content": 1},
            "Descriptor": {"digest": id},
        });
        let mut image = json!({"Id": id, "RootFS": {"Layers": layers}});
        if line.contains("manifests=") {
            image["Manifests"] = json!([manifest]);
        }
        Reply::json(&image)
    }
}

/// The layers' digests in the last configuration of an archive.
fn diff_ids(archive: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(archive);
    let (_, list) = text.rsplit_once("\"diff_ids\"").unwrap_or_default();
    let list = list.split(']').next().unwrap_or_default();
    let words = list.split('"').filter(|word| word.starts_with("sha256:"));
    words.map(str::to_owned).collect()
}
