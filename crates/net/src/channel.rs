//! HTTP to one server whose place is known: a unix socket, a port, a program; `ureq` itself reaches no unix
//! sockets.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};

use crate::USER_AGENT;
use crate::endpoint::{Endpoint, Port, Stream};

/// What stands for the host where there is none.
const NO_HOST: &str = "http://127.0.0.1";

/// Requests to one server, without proxies.
#[derive(Debug)]
pub struct Channel {
    agent: Agent,
    base: String,
    write_closed: Arc<AtomicBool>,
}

impl Channel {
    /// The server at this place. A request is given up after `silence` without a byte in either
    /// direction. Nothing is sent yet.
    pub fn new(endpoint: &Endpoint, silence: Duration) -> Self {
        let write_closed = Arc::new(AtomicBool::new(false));
        let connector = EndpointConnector {
            endpoint: endpoint.clone(),
            write_closed: Arc::clone(&write_closed),
        };
        let (base, tls) = match endpoint {
            Endpoint::Port(Port { host, port, tls }) => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                (format!("{scheme}://{host}:{port}"), tls.clone())
            }
            Endpoint::Unix(_) | Endpoint::Program(_) => (NO_HOST.to_owned(), None),
        };
        // To connect to a socket of this machine costs less than to keep a connection.
        let kept = match endpoint {
            Endpoint::Unix(_) => 0,
            Endpoint::Port(_) | Endpoint::Program(_) => 1,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls.unwrap_or_else(|| TlsConfig::builder().build()))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(kept)
            .max_idle_connections_per_host(kept)
            // Others connect at each request, and may be gone for longer while layers are hashed.
            .max_idle_age(Duration::from_secs(600))
            .timeout_connect(Some(silence))
            .timeout_per_read(Some(silence))
            .timeout_per_write(Some(silence))
            .user_agent(USER_AGENT)
            .build();
        let connector = connector.chain(RustlsConnector::default());
        Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            base,
            write_closed,
        }
    }

    /// Makes requests, to what [`url`](Self::url) gives.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The URL of a path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
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

/// See [`Channel::while_read`].
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

/// Connects to one place, whatever the URL says.
#[derive(Debug)]
struct EndpointConnector {
    endpoint: Endpoint,
    /// Set when the server takes no more of what it is sent.
    write_closed: Arc<AtomicBool>,
}

impl Connector for EndpointConnector {
    type Out = EndpointTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let timeout = details.timeout.not_zero().map(|timeout| *timeout);
        let stream = match &self.endpoint {
            Endpoint::Unix(path) => Stream::unix(path, timeout),
            Endpoint::Port(_) => Stream::tcp(&details.addrs, timeout),
            Endpoint::Program(program) => Stream::program(program),
        };
        let stream = stream.map_err(|error| timed_out(error, details.timeout))?;
        let config = details.config;
        Ok(Some(EndpointTransport {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            write_closed: Arc::clone(&self.write_closed),
        }))
    }
}

/// A connection.
#[derive(Debug)]
struct EndpointTransport {
    stream: Stream,
    buffers: LazyBuffers,
    write_closed: Arc<AtomicBool>,
}

impl Transport for EndpointTransport {
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
        !self.write_closed.load(Ordering::Relaxed) && self.stream.is_quiet()
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
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::thread;

    use crate::Program;

    use super::*;

    const SILENCE: Duration = Duration::from_millis(50);

    fn get(path: &Path) -> Result<String, ureq::Error> {
        get_from(&Endpoint::Unix(path.to_owned()))
    }

    fn get_from(endpoint: &Endpoint) -> Result<String, ureq::Error> {
        let channel = Channel::new(endpoint, SILENCE);
        let mut answer = channel.agent().get(channel.url("/")).call()?;
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
            match Stream::unix(&path, Some(SILENCE)) {
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

    /// The program of a shell's script.
    fn script(text: &str) -> Endpoint {
        let words = ["sh", "-c", text].map(Into::into).to_vec();
        Endpoint::Program(Arc::new(Program::new(words, "a script".to_owned())))
    }

    #[test]
    fn a_program_is_a_connection_for_several_requests() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        // It answers each request line, to the end of its input.
        let text = format!(
            "echo started >> {}; while read -r word _; do [ \"$word\" = GET ] && \
             printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok'; done",
            log.display()
        );
        let channel = Channel::new(&script(&text), Duration::from_secs(20));
        for _ in 0..3 {
            let mut answer = channel.agent().get(channel.url("/")).call().unwrap();
            assert_eq!(answer.body_mut().read_to_string().unwrap(), "ok");
        }
        assert_eq!(std::fs::read_to_string(log).unwrap(), "started\n");
    }

    #[test]
    fn what_a_program_says_when_it_fails_is_the_error() {
        let error = get_from(&script("echo one >&2; echo two >&2; exit 255")).unwrap_err();
        let ureq::Error::Io(error) = error else {
            panic!("{error}");
        };
        let error = error.get_ref().unwrap().downcast_ref().unwrap();
        let expected = crate::ProgramError {
            code: Some(255),
            said: "two".to_owned(),
        };
        assert_eq!(&expected, error);
        let words = vec!["/there/is/no/program".into()];
        let program = Program::new(words, String::new());
        let error = get_from(&Endpoint::Program(Arc::new(program))).unwrap_err();
        assert!(
            error.to_string().contains("cannot run /there/is/no"),
            "{error}"
        );
    }
}
