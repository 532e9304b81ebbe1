//! Files over HTTP: requests are repeated when a server fails, downloads resume when a connection
//! breaks.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use net::{Agents, Attempts, Retry, Settings, content_range, is_passing_status, retry_after};
use ureq::BodyReader;
use ureq::http::StatusCode;
use ureq::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, RANGE};

use super::environment::Environment;
use super::error::{BinaryCacheError, FetchError};

/// A server that sends nothing for this long will not go on. Caches have their files at hand; a
/// download may take as long as it does.
const SILENCE: Duration = Duration::from_secs(60);
/// More redirects than any cache needs: to a bucket, and from there to a network of copies.
const REDIRECTS: u32 = 10;
/// How much of an error's page is read.
const ERROR_PAGE: u64 = 4096;

/// Connections that are kept open, and the rules for trying again.
#[derive(Debug)]
pub(super) struct Client {
    agents: Agents,
    retry: Retry,
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
        retry: Retry,
        ca_files: &[PathBuf],
        environment: &Environment,
    ) -> Result<Self, BinaryCacheError> {
        let settings = Settings {
            ca_files,
            connections,
            redirects: REDIRECTS,
            silence: SILENCE,
        };
        let variable = |name: &str| environment.get(name).map(Into::into);
        let agents = Agents::new(variable, settings)?;
        Ok(Self { agents, retry })
    }

    /// Starts a download; nothing where the server has no such file.
    pub(super) fn download<'a>(
        &'a self,
        request: Ask<'a>,
    ) -> Result<Option<(Download<'a>, Option<String>)>, FetchError> {
        let mut attempts = Attempts::new(self.retry);
        let answer = loop {
            match self.get(&request(), 0) {
                Ok(answer) => break answer,
                Err(failed) => failed.wait(&mut attempts)?,
            }
        };
        Ok(answer.map(|answer| {
            let download = Download {
                client: self,
                request,
                body: Some(answer.body),
                read: 0,
                length: answer.length,
                attempts,
            };
            (download, answer.encoding)
        }))
    }

    /// One try, from some byte of the file on.
    fn get(&self, request: &Request, start: u64) -> Result<Option<Answer>, Failed> {
        let uri = request.url.parse().unwrap_or_default();
        let mut get = self.agents.agent(&uri).get(&request.url);
        if let Some(authorization) = &request.authorization {
            get = get.header(AUTHORIZATION, authorization);
        }
        if start > 0 {
            get = get.header(RANGE, format!("bytes={start}-"));
        }
        let response = get.call().map_err(Failed::from)?;
        let status = response.status();
        let header = |name| response.headers().get(name)?.to_str().ok();
        let encoding = header(CONTENT_ENCODING)
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
                let Some(part) = content_range(range).filter(|part| part.start == start) else {
                    let why = format!("byte {start} was asked for, `{range}` came");
                    return Err(Failed::finally(FetchError::Resume(why)));
                };
                Ok(Some(Answer {
                    body: response.into_body().into_reader(),
                    start,
                    length: part.length,
                    encoding,
                }))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status => {
                let wait = retry_after(response.headers());
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
                    again: is_passing_status(status.as_u16()),
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
    attempts: Attempts,
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
                        self.attempts.progressed();
                        return Ok(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Failed::broken(error),
                },
            };
            self.body = None;
            failed.wait(&mut self.attempts)?;
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

    /// Waits until the next try, or gives the error back where there is to be none.
    fn wait(self, attempts: &mut Attempts) -> Result<(), FetchError> {
        if self.again && attempts.wait(self.wait) {
            return Ok(());
        }
        Err(self.error)
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
        Self {
            again: net::may_pass(&error, false),
            ..Self::finally(FetchError::Http(Box::new(error)))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
