//! Files over HTTP: tried again when a server fails, and gone on with when a connection breaks.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, RANGE, RETRY_AFTER};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, BodyReader};

use super::environment::Environment;
use super::error::{BinaryCacheError, FetchError};

/// How often, and after which waits, a failed request is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How many tries in all, without progress between them.
    pub tries: u32,
    /// The wait before the second try. Each further one is twice as long, up to ten seconds.
    pub first_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: 5,
            first_wait: Duration::from_millis(200),
        }
    }
}

const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest that a server may ask to wait.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);
/// How much of an error's page is read.
const ERROR_PAGE: u64 = 4096;

/// Connections that are kept open, and the rules for trying again.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    retries: Retries,
}

/// What one try of a request asks for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) url: String,
    /// Value of the `Authorization` header.
    pub(super) authorization: Option<String>,
}

/// Makes the request of each try: a signed one holds for a while only.
pub(super) type Ask<'a> = Box<dyn Fn() -> Request + Send + 'a>;

/// An answer with a file, or the rest of one.
struct Answer {
    body: BodyReader<'static>,
    /// Bytes of the file that the body does not have.
    start: u64,
    /// Length of the whole file, where the server says it.
    length: Option<u64>,
    /// Value of `Content-Encoding`.
    encoding: Option<String>,
}

impl Client {
    pub(super) fn new(
        connections: usize,
        retries: Retries,
        environment: &Environment,
    ) -> Result<Self, BinaryCacheError> {
        let mut tls = TlsConfig::builder();
        if let Some(certificates) = certificates(environment)? {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls.build())
            .user_agent(concat!("stream-layered/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .timeout_resolve(Some(Duration::from_secs(20)))
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            // A download may take as long as it does, but must not stand still.
            .timeout_per_read(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Ok(Self { agent, retries })
    }

    /// Starts a download; nothing where the server has no such file.
    pub(super) fn download<'a>(
        &'a self,
        request: Ask<'a>,
    ) -> Result<Option<(Download<'a>, Option<String>)>, FetchError> {
        let mut tries = Tries::new(self.retries);
        let answer = loop {
            match self.get(&request(), 0) {
                Ok(answer) => break answer,
                Err(failed) => tries.again(failed)?,
            }
        };
        Ok(answer.map(|answer| {
            let download = Download {
                client: self,
                request,
                body: Some(answer.body),
                read: 0,
                length: answer.length,
                tries,
            };
            (download, answer.encoding)
        }))
    }

    /// One try, from some byte of the file on.
    fn get(&self, request: &Request, start: u64) -> Result<Option<Answer>, Failed> {
        let mut get = self
            .agent
            .get(&request.url)
            // The bytes that are kept, not others made of them: their hash and length are known.
            .header(ACCEPT_ENCODING, "identity");
        if let Some(authorization) = &request.authorization {
            get = get.header(AUTHORIZATION, authorization);
        }
        if start > 0 {
            get = get.header(RANGE, format!("bytes={start}-"));
        }
        let response = get.call().map_err(Failed::from)?;
        let status = response.status();
        let header = |name| response.headers().get(name)?.to_str().ok();
        let encoding = header(ureq::http::header::CONTENT_ENCODING)
            .filter(|encoding| *encoding != "identity")
            .map(str::to_owned);
        match status {
            StatusCode::OK => {
                let body = response.into_body();
                let length = body.content_length();
                Ok(Some(Answer {
                    body: body.into_reader(),
                    start: 0,
                    length,
                    encoding,
                }))
            }
            StatusCode::PARTIAL_CONTENT if start > 0 => {
                let range = header(CONTENT_RANGE).unwrap_or_default();
                let Some((from, length)) = parse_content_range(range).filter(|r| r.0 == start)
                else {
                    let why = format!("byte {start} was asked for, `{range}` came");
                    return Err(Failed::finally(FetchError::Resume(why)));
                };
                Ok(Some(Answer {
                    body: response.into_body().into_reader(),
                    start: from,
                    length,
                    encoding,
                }))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status => {
                let wait = header(RETRY_AFTER)
                    .and_then(|seconds| seconds.parse().ok())
                    .map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
                let mut page = Vec::new();
                // What can be had of it; the status says what matters.
                let _ = response
                    .into_body()
                    .into_reader()
                    .take(ERROR_PAGE)
                    .read_to_end(&mut page);
                Err(Failed {
                    error: FetchError::Status {
                        status: status.as_u16(),
                        message: message(status, &page),
                    },
                    again: matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
                    wait,
                })
            }
        }
    }
}

/// A file that is being downloaded. A broken connection is replaced by one that goes on where it
/// broke.
pub(super) struct Download<'a> {
    client: &'a Client,
    request: Ask<'a>,
    body: Option<BodyReader<'static>>,
    /// Bytes that were given on.
    read: u64,
    length: Option<u64>,
    tries: Tries,
}

impl Download<'_> {
    fn resume(&mut self) -> Result<BodyReader<'static>, Failed> {
        let gone = || Failed::finally(FetchError::Resume("it is not there any more".to_owned()));
        let answer = self
            .client
            .get(&(self.request)(), self.read)?
            .ok_or_else(gone)?;
        if answer.length.is_some() && self.length.is_some() && answer.length != self.length {
            let why = format!(
                "it had {} bytes, and now has {}",
                self.length.unwrap_or(0),
                answer.length.unwrap_or(0)
            );
            return Err(Failed::finally(FetchError::Resume(why)));
        }
        let mut body = answer.body;
        // A server that knows no ranges starts over.
        let skip = self.read - answer.start;
        match io::copy(&mut (&mut body).take(skip), &mut io::sink()) {
            Ok(skipped) if skipped == skip => Ok(body),
            Ok(_) => Err(Failed::broken(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(Failed::broken(error)),
        }
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // Where no length is known, the body's own end is the end.
        let whole = self.length.is_some_and(|length| self.read >= length);
        loop {
            let failed = match &mut self.body {
                None if whole => return Ok(0),
                None => match self.resume() {
                    Ok(body) => {
                        self.body = Some(body);
                        continue;
                    }
                    Err(failed) => failed,
                },
                Some(body) => match body.read(buffer) {
                    Ok(0) if whole || self.length.is_none() => return Ok(0),
                    Ok(0) => Failed::broken(io::ErrorKind::UnexpectedEof.into()),
                    Ok(count) => {
                        self.read += count as u64;
                        self.tries = Tries::new(self.client.retries);
                        return Ok(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Failed::broken(error),
                },
            };
            self.body = None;
            self.tries.again(failed)?;
        }
    }
}

/// A try that failed.
struct Failed {
    error: FetchError,
    /// Whether another try may help.
    again: bool,
    /// How long the server wants to be left alone.
    wait: Option<Duration>,
}

impl Failed {
    fn finally(error: FetchError) -> Self {
        Self {
            error,
            again: false,
            wait: None,
        }
    }

    fn broken(error: io::Error) -> Self {
        Self {
            again: true,
            ..Self::finally(FetchError::Io(error))
        }
    }
}

impl From<ureq::Error> for Failed {
    fn from(error: ureq::Error) -> Self {
        let again = match &error {
            // A server that is not there, or has a wrong certificate, has it a second later too; one
            // that hangs up may not.
            ureq::Error::Io(error) => !matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidData
            ),
            ureq::Error::Timeout(_) | ureq::Error::Protocol(_) => true,
            _ => false,
        };
        Self {
            again,
            ..Self::finally(FetchError::Http(Box::new(error)))
        }
    }
}

/// How often something was tried since it last went well.
struct Tries {
    retries: Retries,
    made: u32,
}

impl Tries {
    fn new(retries: Retries) -> Self {
        Self { retries, made: 0 }
    }

    /// Waits until the next try, or gives the error back where there is to be none.
    fn again(&mut self, failed: Failed) -> Result<(), FetchError> {
        self.made += 1;
        if !failed.again || self.made >= self.retries.tries {
            return Err(failed.error);
        }
        let factor = 1 << (self.made - 1).min(16);
        let wait = (self.retries.first_wait * factor).min(LONGEST_WAIT);
        thread::sleep(failed.wait.unwrap_or(wait));
        Ok(())
    }
}

/// `bytes START-END/LENGTH`; the length may be `*`.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let length = match length {
        "*" => None,
        length => Some(length.parse().ok()?),
    };
    Some((start.parse().ok()?, length))
}

/// What an answer says besides its number: S3's code, or the number's usual name.
fn message(status: StatusCode, page: &[u8]) -> String {
    let page = String::from_utf8_lossy(page);
    let code = page
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code)
        .filter(|code| code.len() < 100 && code.bytes().all(|b| b.is_ascii_alphanumeric()));
    let name = code.or(status.canonical_reason());
    name.unwrap_or_default().to_owned()
}

/// Authorities to trust in place of those that are built in, as Nix takes them.
fn certificates(
    environment: &Environment,
) -> Result<Option<Vec<Certificate<'static>>>, BinaryCacheError> {
    let file = ["NIX_SSL_CERT_FILE", "SSL_CERT_FILE"]
        .into_iter()
        .find_map(|name| environment.get(name));
    let Some(file) = file else { return Ok(None) };
    let settings = |source| BinaryCacheError::Settings {
        path: file.into(),
        source,
    };
    // Nix's builders say so, for a build that must not reach anything.
    if file == "/no-cert-file.crt" {
        return Ok(None);
    }
    let pem = std::fs::read(file).map_err(|error| settings(error.into()))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| settings(error.into()))? {
            certificates.push(certificate);
        }
    }
    Ok(Some(certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_answers() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_content_range("bytes 5-9/*"), Some((5, None)));
        for text in [
            "",
            "bytes */10",
            "bytes 5/10",
            "lines 1-2/3",
            "bytes a-9/10",
        ] {
            assert_eq!(parse_content_range(text), None, "{text}");
        }
    }

    #[test]
    fn the_code_of_s3_is_the_message() {
        let page = b"<?xml?><Error><Code>SignatureDoesNotMatch</Code></Error>";
        assert_eq!(
            message(StatusCode::FORBIDDEN, page),
            "SignatureDoesNotMatch"
        );
        assert_eq!(message(StatusCode::FORBIDDEN, b"<html>"), "Forbidden");
    }
}
