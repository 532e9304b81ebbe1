//! Servers of this machine, at a unix socket or a port; `ureq` itself reaches no unix sockets.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use ureq::Agent;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::USER_AGENT;

/// Where a server of this machine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// A port.
    Tcp(SocketAddr),
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// A server of this machine, with a connection for each request.
#[derive(Debug)]
pub struct LocalSocket {
    agent: Agent,
    write_closed: Arc<AtomicBool>,
}

impl LocalSocket {
    /// A server at this address. A request is given up after `silence` without a byte in either
    /// direction. Nothing is sent yet.
    pub fn new(address: &SocketAddress, silence: Duration) -> Self {
        let write_closed = Arc::new(AtomicBool::new(false));
        let connector = LocalConnector {
            address: address.clone(),
            write_closed: Arc::clone(&write_closed),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Connecting to a socket of this machine costs less than keeping a connection.
            .max_idle_connections(0)
            .timeout_connect(Some(silence))
            .timeout_per_read(Some(silence))
            .timeout_per_write(Some(silence))
            .user_agent(USER_AGENT)
            .build();
        Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            write_closed,
        }
    }

    /// Makes requests. Their URL's host counts for the `Host` header alone.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// `body` for one request, which ends where the server takes no more of it. A server that
    /// answers before the end of a request, because its disk is full, say, closes the connection
    /// for writing; `ureq` would give its answer up, which says why.
    pub fn while_read<'a, R: Read>(&'a self, body: R) -> WhileRead<'a, R> {
        self.write_closed.store(false, Ordering::Relaxed);
        WhileRead {
            body,
            write_closed: &self.write_closed,
        }
    }
}

/// See [`LocalSocket::while_read`].
#[derive(Debug)]
pub struct WhileRead<'a, R> {
    body: R,
    write_closed: &'a AtomicBool,
}

impl<R: Read> Read for WhileRead<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.write_closed.load(Ordering::Relaxed) {
            return Ok(0);
        }
        self.body.read(buffer)
    }
}

/// Connects to one address, whatever the URL says.
#[derive(Debug)]
struct LocalConnector {
    address: SocketAddress,
    /// Set when the server takes no more of what it is sent.
    write_closed: Arc<AtomicBool>,
}

impl Connector for LocalConnector {
    type Out = LocalTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let timeout = details.timeout.not_zero().map(|timeout| *timeout);
        let stream = match (&self.address, timeout) {
            (SocketAddress::Unix(path), timeout) => connect_unix(path, timeout).map(Stream::Unix),
            (SocketAddress::Tcp(address), None) => TcpStream::connect(address).map(Stream::Tcp),
            (SocketAddress::Tcp(address), Some(timeout)) => {
                TcpStream::connect_timeout(address, timeout).map(Stream::Tcp)
            }
        };
        let stream = stream.map_err(|error| timed_out(error, details.timeout))?;
        let config = details.config;
        Ok(Some(LocalTransport {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            write_closed: Arc::clone(&self.write_closed),
        }))
    }
}

/// Connects to a unix socket. The kernel makes a client wait where a server accepts nobody and its
/// queue is full, and knows no time limit for that; so it is asked again and again.
fn connect_unix(path: &Path, timeout: Option<Duration>) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let stream = UnixStream::from(socket(AddressFamily::UNIX, SocketType::STREAM, None)?);
    rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::CLOEXEC)?;
    stream.set_nonblocking(true)?;
    let start = Instant::now();
    loop {
        match connect(&stream, &address) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if timeout.is_none_or(|timeout| start.elapsed() < timeout) => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        }
    }
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(timeout),
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
        }
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_write_timeout(timeout),
            Self::Tcp(stream) => stream.set_write_timeout(timeout),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }
}

/// A connection, used for one request.
#[derive(Debug)]
struct LocalTransport {
    stream: Stream,
    buffers: LazyBuffers,
    write_closed: Arc<AtomicBool>,
}

impl Transport for LocalTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.write_closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let timeout = timeout.for_write();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_write_timeout(limit)?;
        match self.stream.write_all(&self.buffers.output()[..amount]) {
            Ok(()) => {}
            Err(error) if is_closed(&error) => self.write_closed.store(true, Ordering::Relaxed),
            Err(error) => return Err(timed_out(error, timeout)),
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_read_timeout(limit)?;
        let buffer = self.buffers.input_append_buf();
        let count = loop {
            match self.stream.read(buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed_out(error, timeout)),
            }
        };
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// Systems tell a socket's timeout by either kind.
fn timed_out(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const SILENCE: Duration = Duration::from_millis(50);

    fn get(path: &Path) -> Result<String, ureq::Error> {
        let socket = LocalSocket::new(&SocketAddress::Unix(path.to_owned()), SILENCE);
        let mut answer = socket.agent().get("http://localhost/").call()?;
        answer.body_mut().read_to_string()
    }

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let error = get(&path).unwrap_err();
        assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
    }

    #[test]
    fn a_server_whose_queue_is_full_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            match connect_unix(&path, Some(SILENCE)) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error = get(&path).unwrap_err();
        assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
    }

    #[test]
    fn a_server_that_stops_in_the_middle_of_its_answer_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = client.read(&mut request).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
            client.write_all(answer).unwrap();
            client
        });
        let error = get(&path).unwrap_err();
        assert!(
            error.to_string().contains("timeout") || matches!(error, ureq::Error::Timeout(_)),
            "{error}"
        );
        drop(server.join());
    }
}
