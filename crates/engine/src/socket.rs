//! The HTTP client's way to a unix socket, which it does not bring itself.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::address::Address;

/// Connects to one address, whatever the URL says.
#[derive(Debug)]
pub struct SocketConnector {
    /// The address.
    pub address: Address,
    /// Set when the engine takes no more of what it is sent. It has answered then, before the end
    /// of the request, and that answer is read all the same: it says why.
    pub deaf: Arc<AtomicBool>,
}

trait Stream: Read + Write + Send + Sync {}

impl<S: Read + Write + Send + Sync> Stream for S {}

/// A connection, used for one request.
pub struct SocketTransport {
    stream: Box<dyn Stream>,
    buffers: LazyBuffers,
    deaf: Arc<AtomicBool>,
}

impl Connector for SocketConnector {
    type Out = SocketTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let stream: Box<dyn Stream> = match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path)?),
            Address::Tcp(address) => Box::new(TcpStream::connect(address)?),
        };
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let deaf = Arc::clone(&self.deaf);
        Ok(Some(SocketTransport {
            stream,
            buffers,
            deaf,
        }))
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        if self.deaf.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.stream.write_all(&self.buffers.output()[..amount]) {
            Err(error) if is_closed(&error) => self.deaf.store(true, Ordering::Relaxed),
            result => result?,
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let buffer = self.buffers.input_append_buf();
        let count = loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        // Connecting to a socket of this machine costs less than keeping a connection.
        false
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketTransport").finish_non_exhaustive()
    }
}
