//! Just enough HTTP for a server of the tests.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;

use serde_json::json;

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = json!({"errors": [{"code": code, "message": "as told"}]})
            .to_string()
            .into_bytes();
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }
}

pub(crate) fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            (
                name.to_owned(),
                value
                    .replace("%3A", ":")
                    .replace("%2C", ",")
                    .replace("%2F", "/"),
            )
        })
        .collect();
    let (path, mut headers) = (path.to_owned(), BTreeMap::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())
            }
            None => {
                return Ok(Some(Request {
                    method,
                    path,
                    query,
                    headers,
                }));
            }
        };
    }
}

pub(crate) fn read_body(
    request: &Request,
    reader: &mut impl BufRead,
    most: usize,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = request.headers.get("content-length") {
        let wanted = length.parse::<usize>().unwrap().min(most);
        reader.take(wanted as u64).read_to_end(&mut body)?;
        if body.len() < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    } else if request.headers.contains_key("transfer-encoding") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let wanted = size.min(most - body.len());
            reader.take(wanted as u64).read_to_end(&mut body)?;
            if body.len() == most {
                break;
            }
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    }
    Ok(body)
}

pub(crate) fn send(
    mut stream: &TcpStream,
    request: &Request,
    reply: &Reply,
    cut: Option<usize>,
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} As told\r\nContent-Length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let body = if request.method == "HEAD" {
        &[]
    } else {
        &reply.body[..cut.unwrap_or(usize::MAX).min(reply.body.len())]
    };
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat())
}
