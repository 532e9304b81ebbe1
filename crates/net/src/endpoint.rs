//! Where a server is that is reached without proxies, and streams that lead there.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketType, connect, recv, socket};
use ureq::tls::TlsConfig;

use crate::program::{Program, Running};

/// Where a server is.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// A unix socket of this machine.
    Unix(PathBuf),
    /// A port.
    Port(Port),
    /// The input and output of a program that is started for each connection.
    Program(Arc<Program>),
}

/// A port of this machine or another one.
#[derive(Debug, Clone)]
pub struct Port {
    /// A name, or an address: one of IPv6 stands in brackets.
    pub host: String,
    /// Its number.
    pub port: u16,
    /// How the connection is encrypted, if it is.
    pub tls: Option<TlsConfig>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Port(Port { host, port, .. }) => write!(f, "tcp://{host}:{port}"),
            Self::Program(program) => program.fmt(f),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Program(UnixStream, Running),
}

impl Stream {
    /// Connects to a unix socket. The kernel makes a client wait where a server accepts nobody and its
    /// queue is full, and knows no time limit for that; so it is asked again and again.
    pub(crate) fn unix(path: &Path, timeout: Option<Duration>) -> io::Result<Self> {
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
        Ok(Self::Unix(stream))
    }

    /// Connects to the first of some addresses that accepts.
    pub(crate) fn tcp(addresses: &[SocketAddr], timeout: Option<Duration>) -> io::Result<Self> {
        let mut result = Err(io::Error::other("its host has no address"));
        for address in addresses {
            result = match timeout {
                Some(timeout) => TcpStream::connect_timeout(address, timeout),
                None => TcpStream::connect(address),
            };
            if result.is_ok() {
                break;
            }
        }
        let stream = result?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Starts a program.
    pub(crate) fn program(program: &Program) -> io::Result<Self> {
        let (stream, running) = program.start()?;
        Ok(Self::Program(stream, running))
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) | Self::Program(stream, _) => stream.set_read_timeout(timeout),
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
        }
    }

    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) | Self::Program(stream, _) => stream.set_write_timeout(timeout),
            Self::Tcp(stream) => stream.set_write_timeout(timeout),
        }
    }

    /// Reads; where the end has come because a program failed, that is the error.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            Self::Program(stream, running) => match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    running.check().and(Err(error))
                }
                Ok(0) => running.check().map(|()| 0),
                result => result,
            },
        }
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) | Self::Program(stream, _) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }

    /// Whether the server has neither closed the connection nor said anything.
    pub(crate) fn is_quiet(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(self, &mut [0; 1][..], flags).is_err_and(|error| error == Errno::AGAIN)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) | Self::Program(stream, _) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}
