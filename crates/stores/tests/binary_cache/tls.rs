//! Caches whose certificates are signed by an authority that only their users know.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use nix_compat::narinfo::Compression;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use stores::binary_cache::Environment;

use crate::made::{Made, open_with, path, some_nar};
use crate::shown::chain;

/// Serves a directory until the process ends; gives its address, and puts its certificate into a
/// file.
fn start(directory: &Path, certificate: &Path) -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(certificate, cert.pem()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let directory = directory.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let directory = directory.clone();
            thread::spawn(move || answer(StreamOwned::new(connection, stream), &directory));
        }
    });
    format!("https://{address}")
}

/// One request and its answer.
fn answer(stream: StreamOwned<ServerConnection, TcpStream>, directory: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
    }
    let name = request.strip_prefix("GET /")?.split(' ').next()?;
    let (status, body) = match fs::read(directory.join(name)) {
        Ok(file) => ("200 OK", file),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let stream = reader.get_mut();
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

#[test]
fn an_authority_is_trusted_that_a_variable_or_an_option_names() {
    let made = Made::new();
    made.add(&path(1), &some_nar(10), Compression::None, &[], |_| {});
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path().join("ca.pem");
    let url = start(made.path(), &certificate);
    let open = |variable: Option<&Path>, ca_files: &[PathBuf]| {
        let variables = variable.map(|file| {
            let file = file.to_str().unwrap().to_owned();
            ("SSL_CERT_FILE".to_owned(), file)
        });
        let environment: Environment = variables.into_iter().collect();
        open_with(&[&url], made.trust(), environment, ca_files)
    };
    for caches in [
        open(Some(&certificate), &[]),
        open(None, std::slice::from_ref(&certificate)),
    ] {
        assert_eq!(caches.unwrap().closure(&[path(1)]).unwrap().len(), 1);
    }
    let error = chain(&open(None, &[]).unwrap_err());
    assert!(error.contains("--ca-file"), "{error}");
    let missing = directory.path().join("missing.pem");
    let error = chain(&open(None, std::slice::from_ref(&missing)).unwrap_err());
    assert!(error.contains("missing.pem: cannot use these"), "{error}");
}
