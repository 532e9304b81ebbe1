//! A proxy before a registry that takes only small requests, as nginx does by itself.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::http::{Reply, read_body, read_request, send};

/// Starts one that refuses bodies above `limit` bytes; gives its address.
pub(crate) fn limiting(target: &str, limit: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let target = target.to_owned();
    // It ends with the process of the tests.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let target = target.clone();
            thread::spawn(move || pass_on(&stream, &target, limit));
        }
    });
    address
}

/// Passes one request on, and ends the connection after its answer.
fn pass_on(mut stream: &TcpStream, target: &str, limit: usize) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(request) = read_request(&mut reader)? else {
        return Ok(());
    };
    let length = request.headers.get("content-length");
    let is_small = match length.map(|length| length.parse::<usize>()) {
        Some(length) => length.unwrap() <= limit,
        None => !request.headers.contains_key("transfer-encoding"),
    };
    if !is_small {
        let reply = Reply::error(413, "").with("Connection", "close");
        send(stream, &request, &reply, None)?;
        return stream.shutdown(Shutdown::Both);
    }
    if request.headers.contains_key("expect") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = read_body(&request, &mut reader, usize::MAX)?;
    let query: Vec<_> = request
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut head = format!(
        "{} {}?{} HTTP/1.1\r\nConnection: close\r\n",
        request.method,
        request.path,
        query.join("&")
    );
    for (name, value) in &request.headers {
        if !matches!(name.as_str(), "expect" | "connection") {
            head += &format!("{name}: {value}\r\n");
        }
    }
    let mut upstream = TcpStream::connect(target)?;
    upstream.write_all(&[head.as_bytes(), b"\r\n", &body].concat())?;
    io::copy(&mut upstream, &mut stream)?;
    stream.shutdown(Shutdown::Both)
}
