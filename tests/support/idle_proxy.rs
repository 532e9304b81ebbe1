//! A proxy that closes a request on which nothing moves for a while, as load balancers do after a minute.
//! The while is counted in bytes of other requests rather than by the clock.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A proxy in front of a server.
pub struct IdleProxy {
    /// Host and port.
    pub address: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Bytes that came from clients.
    received: AtomicU64,
    closed: AtomicUsize,
}

impl IdleProxy {
    /// Starts one that closes what is idle while clients send so many bytes.
    pub fn start(server: &str, idle: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            counts: Arc::default(),
        };
        let (counts, server) = (Arc::clone(&proxy.counts), server.to_owned());
        // It ends with the process of the tests.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counts, server) = (Arc::clone(&counts), server.clone());
                thread::spawn(move || pass(&client, &server, idle, &counts));
            }
        });
        proxy
    }

    /// Bytes that came from clients.
    pub fn received(&self) -> u64 {
        self.counts.received.load(Ordering::SeqCst)
    }

    /// How many requests were closed because they were idle.
    pub fn closed(&self) -> usize {
        self.counts.closed.load(Ordering::SeqCst)
    }
}

/// Passes bytes on in both directions.
fn pass(mut client: &TcpStream, server: &str, idle: u64, counts: &Counts) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    // Whether the client has begun a request that is not answered.
    let is_open = AtomicBool::new(false);
    client.set_read_timeout(Some(Duration::from_millis(1)))?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = pass_answers(&server, client, &is_open);
            let _ = client.shutdown(Shutdown::Both);
        });
        let mut buffer = vec![0; 64 << 10];
        let mut last = counts.received.load(Ordering::SeqCst);
        loop {
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    is_open.store(true, Ordering::SeqCst);
                    counts.received.fetch_add(count as u64, Ordering::SeqCst);
                    (&server).write_all(&buffer[..count])?;
                    last = counts.received.load(Ordering::SeqCst);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    let now = counts.received.load(Ordering::SeqCst);
                    if !is_open.load(Ordering::SeqCst) {
                        last = now;
                    } else if now - last > idle {
                        counts.closed.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        server.shutdown(Shutdown::Both)
    })
}

fn pass_answers(
    mut server: &TcpStream,
    mut client: &TcpStream,
    is_open: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = server.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        // After this answer, the request's body is still to come.
        if !buffer[..count].starts_with(b"HTTP/1.1 100") {
            is_open.store(false, Ordering::SeqCst);
        }
        client.write_all(&buffer[..count])?;
    }
}
