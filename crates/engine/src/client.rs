//! Requests to an engine's API, and its answers as JSON.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use net::{Channel, Endpoint};
use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Body, SendBody};

use crate::error::Error;
use crate::podman;
use crate::timeouts::Timeouts;

/// Longest answer that is read, in bytes: the list of some hundred thousand images.
const MAX_ANSWER: u64 = 256 << 20;

/// A client of one engine.
pub struct Client {
    requests: Channel,
    /// For archives, before and after which an engine may be silent for long.
    loads: Channel,
    timeouts: Timeouts,
    /// The engine's name in errors.
    pub engine: String,
}

impl Client {
    /// A client for the engine at this place. Nothing is sent yet.
    pub fn new(endpoint: &Endpoint, timeouts: Timeouts) -> Self {
        Self {
            requests: Channel::new(endpoint, timeouts.request),
            loads: Channel::new(endpoint, timeouts.load),
            timeouts,
            engine: format!("the engine at {endpoint}"),
        }
    }

    /// Whether the engine says that it is podman.
    ///
    /// # Errors
    ///
    /// Why nothing answers within that time.
    pub fn is_podman(&self, within: Duration) -> Result<bool, ureq::Error> {
        let ping = self.requests.agent().get(self.requests.url("/_ping"));
        let config = ping.config();
        let config = config.timeout_connect(Some(within));
        let config = config.timeout_per_read(Some(within));
        let mut answer = config.timeout_per_write(Some(within)).build().call()?;
        // To its end, so that the connection can be used again.
        answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            return Err(ureq::Error::StatusCode(answer.status().as_u16()));
        }
        Ok(answer.headers().contains_key(podman::VERSION_HEADER))
    }

    /// Asks for `path`; nothing where the engine has no such thing. `what` is for errors.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, refuses, or gives something other than JSON.
    pub fn get(
        &self,
        what: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<Value>, Error> {
        let mut request = self.requests.agent().get(self.requests.url(path));
        for (name, value) in query {
            request = request.query(name, value);
        }
        let answer = request
            .call()
            .map_err(|error| self.connection(what, error, self.timeouts.request))?;
        if answer.status() == StatusCode::NOT_FOUND {
            use_up(answer);
            return Ok(None);
        }
        let mut answer = self.accept(what, answer)?;
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|error| self.connection(what, error, self.timeouts.request))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| self.answer(what, error.to_string()))
    }

    /// Sends a request that changes something.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, or refuses.
    pub fn post(&self, what: &str, path: &str, query: &[(&str, &str)]) -> Result<(), Error> {
        let mut request = self.requests.agent().post(self.requests.url(path));
        for (name, value) in query {
            request = request.query(name, value);
        }
        let answer = request
            .send_empty()
            .map_err(|error| self.connection(what, error, self.timeouts.request))?;
        self.accept(what, answer).map(use_up)
    }

    /// Deletes something.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, or refuses.
    pub fn delete(&self, what: &str, path: &str) -> Result<(), Error> {
        let answer = self
            .requests
            .agent()
            .delete(self.requests.url(path))
            .call()
            .map_err(|error| self.connection(what, error, self.timeouts.request))?;
        self.accept(what, answer).map(use_up)
    }

    /// Sends an archive of an image, as long as `archive` gives bytes and the engine takes them.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, or refuses the archive, or `archive` fails.
    pub fn load(&self, path: &str, archive: impl Read) -> Result<(), Error> {
        const WHAT: &str = "cannot load the image";
        let within = self.timeouts.load;
        let mut archive = self.loads.while_read(archive);
        let answer = self
            .loads
            .agent()
            .post(self.loads.url(path))
            .header("Content-Type", "application/x-tar")
            .send(SendBody::from_reader(&mut archive))
            .map_err(|error| self.connection(WHAT, error, within))?;
        let answer = self.accept(WHAT, answer)?;
        // Docker has said 200 by then, and tells what happens as a line of JSON each.
        let lines = BufReader::new(answer.into_body().into_reader());
        for line in lines.lines() {
            let line = line.map_err(|error| self.connection(WHAT, error.into(), within))?;
            if let Ok(value) = serde_json::from_str::<Value>(&line)
                && let Some(message) = value.get("error").and_then(Value::as_str)
            {
                return Err(self.refused(WHAT, message.to_owned()));
            }
        }
        Ok(())
    }

    /// Asks for an archive; nothing where the engine has no such thing.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, or refuses.
    pub fn archive(
        &self,
        what: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<impl Read + use<>>, Error> {
        let mut request = self.loads.agent().get(self.loads.url(path));
        for (name, value) in query {
            request = request.query(name, value);
        }
        let answer = request
            .call()
            .map_err(|error| self.connection(what, error, self.timeouts.load))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = self.accept(what, answer)?;
        Ok(Some(answer.into_body().into_reader()))
    }

    /// The error of an archive that the engine does not send to its end.
    pub fn broken_archive(&self, what: &str, error: io::Error) -> Error {
        self.connection(what, error.into(), self.timeouts.load)
    }

    fn accept(&self, what: &str, mut answer: Response<Body>) -> Result<Response<Body>, Error> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let message = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|value| Some(value.get("message")?.as_str()?.to_owned()))
            .filter(|message| !message.is_empty())
            .unwrap_or_else(|| format!("{status} {text}"));
        Err(self.refused(what, message))
    }

    fn connection(&self, what: &str, error: ureq::Error, within: Duration) -> Error {
        if matches!(error, ureq::Error::Timeout(_)) {
            return Error::Silent {
                what: what.to_owned(),
                engine: self.engine.clone(),
                within,
            };
        }
        Error::Connection {
            what: what.to_owned(),
            engine: self.engine.clone(),
            source: Box::new(error),
        }
    }

    fn refused(&self, what: &str, message: String) -> Error {
        Error::Refused {
            what: what.to_owned(),
            engine: self.engine.clone(),
            message,
        }
    }

    /// An answer that is not what the API promises.
    pub fn answer(&self, what: &str, why: String) -> Error {
        Error::Answer {
            what: what.to_owned(),
            engine: self.engine.clone(),
            why,
        }
    }
}

/// Reads an answer to its end, so that its connection can be used again.
fn use_up(mut answer: Response<Body>) {
    let _ = answer.body_mut().read_to_vec();
}
