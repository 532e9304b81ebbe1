//! A web server on the loopback device that serves a directory, and fails as tests ask it to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// As asked, with ranges.
    Right,
    /// After a while.
    Late(Duration),
    /// With a status, and a line of headers.
    Status(u16, &'static str),
    /// Some bytes of the file, and then the connection ends.
    Cut(usize),
    /// The connection ends before any answer.
    HangUp,
    /// The whole file, also where a part was asked for.
    Whole,
    /// Some bytes of the whole file, and the end.
    WholeCut(usize),
    /// The whole file without its length.
    WithoutLength,
    /// A part that was not asked for.
    OtherPart,
    /// These bytes, encoded.
    Encoded(&'static str, Vec<u8>),
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    connections: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Log {
    asked: Vec<Asked>,
    /// How often each name was asked for.
    counts: BTreeMap<String, usize>,
}

/// A request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Without the slash before it.
    pub(crate) name: String,
    /// First byte of the range.
    pub(crate) from: Option<usize>,
    pub(crate) authorization: Option<String>,
    /// How often this name was asked for before.
    pub(crate) before: usize,
}

impl Server {
    /// Serves until the process ends.
    pub(crate) fn start(
        directory: &Path,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let serve = Arc::new(Serve {
            directory: directory.to_owned(),
            log: Arc::clone(&log),
            answer: Box::new(answer),
        });
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let serve = Arc::clone(&serve);
                // The client hangs up when it has what it wants.
                thread::spawn(move || serve.connection(&stream));
            }
        });
        Self {
            address,
            log,
            connections,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// What was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().asked.clone()
    }
}

struct Serve {
    directory: PathBuf,
    log: Arc<Mutex<Log>>,
    answer: Box<dyn Fn(&Asked) -> Answer + Send + Sync>,
}

impl Serve {
    /// One connection, for as many requests as come.
    fn connection(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::new(stream);
        loop {
            let asked = self.request(&mut reader)?;
            self.reply(stream, &asked)?;
        }
    }

    fn request(&self, reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let target = line.strip_prefix("GET /")?.split(' ').next()?;
        let mut asked = Asked {
            name: target.split('?').next()?.to_owned(),
            ..Asked::default()
        };
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "range" => {
                    let from = value.strip_prefix("bytes=")?.strip_suffix('-')?;
                    asked.from = Some(from.parse().ok()?);
                }
                "authorization" => asked.authorization = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut log = self.log.lock().unwrap();
        let count = log.counts.entry(asked.name.clone()).or_default();
        asked.before = *count;
        *count += 1;
        log.asked.push(asked.clone());
        Some(asked)
    }

    /// Nothing where the connection is to end.
    fn reply(&self, mut stream: &TcpStream, asked: &Asked) -> Option<()> {
        let answer = (self.answer)(asked);
        let mut file = Vec::new();
        let found = std::fs::File::open(self.directory.join(&asked.name))
            .and_then(|mut open| open.read_to_end(&mut file))
            .is_ok();
        let length = file.len();
        let mut send = |head: &str, body: &[u8]| {
            let bytes = [head.as_bytes(), b"\r\n", body].concat();
            stream.write_all(&bytes).ok()
        };
        let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n");
        let part = |from: usize| {
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{length}\r\n",
                length - from,
                length - 1,
            )
        };
        match (answer, asked.from) {
            (Answer::HangUp, _) => return None,
            (Answer::Status(status, headers), _) => {
                let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: 4\r\n{headers}");
                send(&head, b"page")?;
            }
            (Answer::Encoded(encoding, bytes), _) => {
                let length = bytes.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Encoding: {encoding}\r\n"
                );
                send(&head, &bytes)?;
            }
            _ if !found => send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n", b"")?,
            (Answer::Late(wait), None) => {
                thread::sleep(wait);
                send(&whole, &file)?;
            }
            (Answer::WithoutLength, None) => {
                send("HTTP/1.1 200 OK\r\nConnection: close\r\n", &file)?;
                return None;
            }
            (Answer::Right, None) | (Answer::Whole, _) => send(&whole, &file)?,
            (Answer::Cut(count), None) | (Answer::WholeCut(count), _) => {
                send(&whole, &file[..count.min(length)])?;
                return None;
            }
            (Answer::Cut(count), Some(from)) => {
                send(&part(from), &file[from..(from + count).min(length)])?;
                return None;
            }
            (Answer::OtherPart, Some(from)) => send(&part(from - 1), &file[from - 1..])?,
            (_, Some(from)) => send(&part(from), &file[from..])?,
            (Answer::OtherPart, None) => send(&whole, &file)?,
        }
        Some(())
    }
}
